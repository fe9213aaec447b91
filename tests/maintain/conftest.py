"""Every test here runs under both strategies."""

from tests.chronicle import base, manager, models

__all__ = ["base", "manager", "models"]

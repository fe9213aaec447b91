"""Every test here runs under both strategies."""

from tests.chronicle import base, manager, models
from tests.kit.own import own

__all__ = ["base", "manager", "models", "own"]

"""Every test here that asks for `models` runs under both strategies."""

from tests.kit.own import own
from tests.relations.library import base, manager, models

__all__ = ["base", "manager", "models", "own"]

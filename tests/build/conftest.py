"""Give every test here a Base and a manager of its own."""

from tests.kit.own import own

__all__ = ["own"]

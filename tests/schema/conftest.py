"""Each test may have models of its own."""

from tests.kit.own import own

__all__ = ["own"]

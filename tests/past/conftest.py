"""Tests here that need models of their own have their managers taken away afterwards."""

from tests.kit.own import own

__all__ = ["own"]

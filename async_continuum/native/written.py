"""Turn a plan into literals that a migration script writes down, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def listed(given: Any) -> Any:
    """Give lists for tuples, at every depth."""
    if isinstance(given, Mapping):
        return {name: listed(value) for name, value in given.items()}
    return [listed(each) for each in given] if isinstance(given, (list, tuple)) else given


def frozen(given: Any) -> Any:
    """Give tuples for lists, at every depth."""
    if isinstance(given, Mapping):
        return {name: frozen(value) for name, value in given.items()}
    return tuple(frozen(each) for each in given) if isinstance(given, (list, tuple)) else given

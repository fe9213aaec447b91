"""Resolve what a context was given: callables, coroutine functions, users of any state."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import iscoroutine, iscoroutinefunction
from types import MappingProxyType
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.exc import NoInspectionAvailable

from async_continuum.build import identity_of


def waits(value: object) -> bool:
    """Say whether a value is a coroutine function, or an object that is called like one."""
    return iscoroutinefunction(value) or iscoroutinefunction(getattr(value, "__call__", None))  # noqa: B004


async def all_awaited(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Await the coroutine functions among values; what they have nothing to say of is left out."""
    found = {name: await value() if waits(value) else value for name, value in values.items()}
    return MappingProxyType({name: value for name, value in found.items() if value is not None})


def now(value: Any) -> Any:
    """Call what is to be called at the first recording of a transaction."""
    if not callable(value) or is_mapped(value):
        return value
    given = value()
    if iscoroutine(given):
        given.close()
        raise TypeError(f"{value!r} gave a coroutine, which a flush cannot await: declare it with `async def`.")
    return given


def is_mapped(value: object) -> bool:
    """Say whether a value is an object of a mapped class."""
    if isinstance(value, type):
        return False
    try:
        return getattr(inspect(value), "mapper", None) is not None
    except NoInspectionAvailable:
        return False


def key_of(user: object) -> Any:
    """Read a user's key from its identity, without IO. Raises `ValueError` where it has none yet."""
    key = identity_of(user)
    if key is None:
        raise ValueError(
            f"the user {user!r} of this transaction has no key yet: flush it first, or give its key as user=."
        )
    return key[0]

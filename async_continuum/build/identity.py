"""Read the key of an object from its identity, without IO and without touching its session."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import InstanceState


def identity_of(instance: object) -> tuple[Any, ...] | None:
    """Give the primary key of a mapped object, also an expired or detached one; None where it has none yet."""
    state: InstanceState[Any] = inspect(instance)
    if state.identity is not None:
        return tuple(state.identity)
    mapper = state.mapper
    key = tuple(state.dict.get(mapper.get_property_by_column(column).key) for column in mapper.primary_key)
    return None if None in key else key


def key_after_flush(state: InstanceState[Any], attributes: tuple[str, ...]) -> tuple[Any, ...]:
    """Give the key under which the row is stored now, in the flush that has just written it."""
    values = state.dict
    if len(attributes) == 1 and attributes[0] in values:
        return (values[attributes[0]],)
    if state.key is None:
        return tuple(values[name] for name in attributes)
    # A key attribute that is expired has not been changed: the identity still holds.
    return tuple(values.get(name, old) for name, old in zip(attributes, state.key[1], strict=True))

"""Choose what a version can bring back, and copy it, so that the past never shares a value with the present."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.ext.mutable import MutableBase
from sqlalchemy.orm import Mapper

from async_continuum.build import Blueprint


def is_settable(name: str, mapper: Mapper[Any]) -> bool:
    """Say whether an UPDATE may set this attribute.

    A computed value follows from the others, the database keeps a GENERATED ALWAYS one, and the counter of optimistic
    locking goes on counting.
    """
    column = mapper.columns[name]
    if column.computed is not None or column is mapper.version_id_col:
        return False
    return column.identity is None or not column.identity.always


def copied(value: Any) -> Any:
    """Copy a value that can change in place: changing the live object must not change the version."""
    if value is None or isinstance(value, (str, bytes, int, float)):
        return value
    copy = deepcopy(value)
    if isinstance(copy, MutableBase):
        # Whom a mutable value tells of its changes: https://docs.sqlalchemy.org/en/20/orm/extensions/mutable.html
        copy._parents.clear()
    return copy


def missing_column(blueprint: Blueprint) -> str | None:
    """Name an attribute that a row needs and history does not hold; None where there is none."""
    mapper: Mapper[Any] = inspect(blueprint.model)
    for name, column in mapper.columns.items():
        if name in blueprint.attributes or getattr(column, "table", None) not in mapper.tables:
            continue
        supplied = column.default is not None or column.server_default is not None or column is mapper.version_id_col
        if not column.nullable and not supplied:
            return name
    return None

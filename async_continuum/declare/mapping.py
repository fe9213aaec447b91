"""Ask a mapper what of its class is to be kept: its table, its columns, its key."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.orm import Mapper

from async_continuum.declare.options import Settings, nearest
from async_continuum.errors import ImproperlyConfigured


def declared_options(model: type) -> Any | None:
    """Give what a class declares as ``__versioned__``, its own or inherited; None where it declares nothing."""
    return getattr(model, "__versioned__", None)


def versioned_table(mapper: Mapper[Any]) -> Table:
    """Give the one table of a plainly mapped class.

    Raises `ImproperlyConfigured` for a mapping that cannot be recorded, with the reason.
    """
    model = mapper.class_
    if mapper.inherits is not None:
        raise ImproperlyConfigured("mapped inheritance is not versioned by this version of the package.", model=model)
    if not isinstance(mapper.local_table, Table):
        raise ImproperlyConfigured(
            f"it is mapped to {mapper.local_table.description}, which is no table: only tables keep a history.",
            model=model,
        )
    if any(column.table is not mapper.local_table for column in mapper.primary_key):
        raise ImproperlyConfigured("its primary key is not of its own table.", model=model)
    return mapper.local_table


def key_columns(mapper: Mapper[Any]) -> tuple[Column[Any], ...]:
    """List the columns that identify an entity, in the order of its identity."""
    return tuple(column for column in mapper.primary_key if isinstance(column, Column))


def refuse_past_default(mapper: Mapper[Any], kept: tuple[Column[Any], ...]) -> None:
    """Refuse a value declared for a column whose past values history holds, or that is none of the class's."""
    own = declared_options(mapper.class_) or {}
    excluded = {
        name
        for attribute, column in mapper.columns.items()
        if column not in set(kept)
        for name in (attribute, column.key, column.name)
    }
    for name in own.get("past_default") or ():
        if name not in excluded and not mapper.has_property(name):
            problem = f"which is no column of it that is excluded. {nearest(name, frozenset(excluded))}"
        elif name not in excluded:
            problem = "which is not excluded: history holds its past values."
        else:
            continue
        raise ImproperlyConfigured(
            f"option 'past_default' names {name!r}, {problem}", model=mapper.class_, option="past_default"
        )


def kept_columns(mapper: Mapper[Any], settings: Settings) -> tuple[Column[Any], ...]:
    """List the columns of the table that history holds: all but those excluded, in the table's order."""
    table = versioned_table(mapper)
    # Mapper.columns, unlike column_attrs, does not configure mappers, for which it is too early here.
    attributes = {column: name for name, column in mapper.columns.items()}
    names = {name for column in table.c for name in (column.name, column.key, attributes.get(column, column.key))}
    excluded = settings.exclude - settings.include
    # A column that is excluded everywhere need not be everywhere.
    own = declared_options(mapper.class_) or {}
    for option in ("exclude", "include"):
        for name in sorted(own.get(option, ())):
            if name not in names and not mapper.has_property(name):
                raise ImproperlyConfigured(
                    f"option {option!r} names {name!r}, which is no column of it. {nearest(name, frozenset(names))}",
                    model=mapper.class_,
                    option=option,
                )
    kept = []
    for column in table.c:
        if excluded.isdisjoint({column.name, column.key, attributes.get(column, column.key)}):
            kept.append(column)
        elif column in mapper.primary_key:
            raise ImproperlyConfigured(
                f"option 'exclude' names {column.name!r}, which is of the primary key: a version needs its key.",
                model=mapper.class_,
                option="exclude",
            )
    return tuple(kept)

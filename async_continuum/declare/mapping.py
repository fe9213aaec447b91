"""Ask a mapper what of its class is to be kept: which columns, and under which names they may be left out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.orm import Mapper

from async_continuum.declare.lineage import attribute_of, lineage, parent_of, versioned_table
from async_continuum.declare.options import Settings, nearest, read_options
from async_continuum.errors import ImproperlyConfigured


def declared_options(model: type) -> Any | None:
    """Give what a class declares as ``__versioned__``, its own or inherited; None where it declares nothing."""
    return getattr(model, "__versioned__", None)


def settings_of(mapper: Mapper[Any], defaults: Settings) -> Settings:
    """Resolve the options of a class: its own over those of the class from which it inherits its rows.

    Raises `ImproperlyConfigured`.
    """
    parent = parent_of(mapper)
    if parent is not None and declared_options(parent.class_) is not None:
        above = settings_of(parent, defaults)
        # That the class above keeps no history, or that it does, says nothing of this one.
        defaults = replace(above, versioning=defaults.versioning)
    declared = declared_options(mapper.class_)
    return read_options({} if declared is None else declared, defaults=defaults, model=mapper.class_)


def kept_columns(
    mapper: Mapper[Any], settings: Settings, *, decided: Collection[str] = frozenset()
) -> tuple[Column[Any], ...]:
    """List the columns of a class's own table that history holds: all but those excluded, in the table's order.

    Those that are ``decided`` already, and those that another class maps and this one does not, are left out.
    """
    table = versioned_table(mapper)
    _refuse_unknown(mapper, settings)
    excluded = settings.exclude - settings.include
    kept = []
    for column in table.c:
        if column.key in decided or _belongs_elsewhere(column, mapper):
            continue
        if excluded.isdisjoint(_names(mapper, column)):
            kept.append(column)
            continue
        if column in lineage(mapper)[0].primary_key:
            raise ImproperlyConfigured(
                f"option 'exclude' names {column.name!r}, which is of the primary key: a version needs its key.",
                model=mapper.class_,
                option="exclude",
            )
    return tuple(kept)


def decided_columns(mapper: Mapper[Any]) -> frozenset[str]:
    """Name the columns of a class's own table on which it decides, kept or not: all that no other class decides on."""
    return frozenset(column.key for column in versioned_table(mapper).c if not _belongs_elsewhere(column, mapper))


def refuse_inherited(mapper: Mapper[Any], kept: Collection[Column[Any]]) -> None:
    """Refuse a class that excludes a column which the class above it keeps: they share its version table.

    ``kept`` are the columns that the classes above keep. Raises `ImproperlyConfigured`.
    """
    declared = mapper.class_.__dict__.get("__versioned__") or {}
    given = set(declared.get("exclude", ())) - set(declared.get("include", ()))
    if not given:
        return
    inherited = set(kept)
    table = versioned_table(mapper)
    own = {name for column in table.c if column not in inherited for name in _names(mapper, column)}
    for column in kept:
        for name in sorted((given & _names(mapper, column)) - own):
            raise ImproperlyConfigured(
                f"option 'exclude' names {name!r}, which is inherited, and kept by the class above: exclude it there.",
                model=mapper.class_,
                option="exclude",
            )


def refuse_past_default(mapper: Mapper[Any], kept: Collection[Column[Any]]) -> None:
    """Refuse a value declared for a column whose past values history holds, or that is none of the class's.

    ``kept`` are the columns that history holds. Raises `ImproperlyConfigured`.
    """
    declared = declared_options(mapper.class_) or {}
    excluded = {
        name
        for attribute, column in mapper.columns.items()
        if column not in set(kept)
        for name in (attribute, column.key, column.name)
    }
    for name in declared.get("past_default") or ():
        if name in excluded:
            continue
        problem = "which is not excluded: history holds its past values."
        if not mapper.has_property(name):
            problem = f"which is no column of it that is excluded. {nearest(name, frozenset(excluded))}"
        raise ImproperlyConfigured(
            f"option 'past_default' names {name!r}, {problem}", model=mapper.class_, option="past_default"
        )


def _names(mapper: Mapper[Any], column: Column[Any]) -> set[str]:
    """List what an option may call a column: its name, its key, its attribute."""
    return {column.name, column.key, attribute_of(mapper, column) or column.key}


def _belongs_elsewhere(column: Column[Any], mapper: Mapper[Any]) -> bool:
    """Say whether only another class maps a column: under single table inheritance each decides on its own."""
    if attribute_of(mapper, column) is not None:
        return False
    others = lineage(mapper)[0].self_and_descendants
    return any(each.local_table is mapper.local_table and attribute_of(each, column) is not None for each in others)


def _refuse_unknown(mapper: Mapper[Any], settings: Settings) -> None:
    tables: list[Any] = [each.local_table for each in lineage(mapper) if isinstance(each.local_table, Table)]
    names = {name for table in tables for column in table.c for name in _names(mapper, column)}
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

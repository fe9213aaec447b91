"""Ask a mapper of which tables its rows are made: one, or under joined inheritance one for each class above it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BinaryExpression, Column, Table
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.exc import UnmappedColumnError
from sqlalchemy.sql import operators, visitors

from async_continuum.errors import ImproperlyConfigured


def lineage(mapper: Mapper[Any]) -> tuple[Mapper[Any], ...]:
    """List the mappers whose tables make up the rows of a class, the topmost first.

    A concrete class begins anew: its table holds all of its columns.
    """
    found = []
    for each in mapper.iterate_to_root():
        found.append(each)
        if each.concrete:
            break
    return tuple(reversed(found))


def parent_of(mapper: Mapper[Any]) -> Mapper[Any] | None:
    """Give the mapper whose rows this one's are as well; None for the topmost, and for a concrete class."""
    return None if mapper.concrete else mapper.inherits


def versioned_table(mapper: Mapper[Any]) -> Table:
    """Give the table that a class adds to its rows; under single table inheritance that of the class above it.

    Raises `ImproperlyConfigured` for a mapping that cannot be recorded, with the reason.
    """
    model = mapper.class_
    table = mapper.local_table
    if not isinstance(table, Table):
        raise ImproperlyConfigured(
            f"it is mapped to {table.description}, which is no table: only tables keep a history. "
            "Version the classes of its tables, and leave this one out with `__versioned__ = {'versioning': False}`.",
            model=model,
        )
    root = lineage(mapper)[0].local_table
    if any(column.table is not root for column in mapper.primary_key):
        raise ImproperlyConfigured(
            f"its primary key is not of the table {getattr(root, 'name', root)!r}, by which its rows are identified.",
            model=model,
        )
    return table


def key_columns(mapper: Mapper[Any]) -> tuple[Column[Any], ...]:
    """List the columns of a class's own table that identify an entity, in the order of its identity.

    Raises `ImproperlyConfigured` where the table is joined to the one above it by something else.
    """
    root, *below = lineage(mapper)
    stands_for: dict[Any, int] = {column: place for place, column in enumerate(root.primary_key)}
    for each in below:
        for one, other in _equated(each.inherit_condition):
            if one in stands_for and other not in stands_for:
                stands_for[other] = stands_for[one]
            elif other in stands_for and one not in stands_for:
                stands_for[one] = stands_for[other]
    table = mapper.local_table
    found = {place: column for column, place in stands_for.items() if column.table is table}
    if len(found) != len(root.primary_key):
        raise ImproperlyConfigured(
            f"its table {table.description!r} is not joined to that of {root.class_.__name__} by the whole primary "
            "key, so that nothing says which of its rows belong to an entity.",
            model=mapper.class_,
        )
    return tuple(found[place] for place in sorted(found))


def _equated(condition: Any) -> list[tuple[Any, Any]]:
    if condition is None:
        return []
    # Without the annotations that remote() and foreign() leave.
    plain = condition._deannotate() if hasattr(condition, "_deannotate") else condition
    return [
        (each.left, each.right)
        for each in visitors.iterate(plain)
        if isinstance(each, BinaryExpression) and each.operator is operators.eq
    ]


def attribute_of(mapper: Mapper[Any], column: Any) -> str | None:
    """Give the attribute that a column is mapped to, without configuring mappers; None where it is not mapped."""
    try:
        return mapper.get_property_by_column(column).key
    except UnmappedColumnError:
        return None

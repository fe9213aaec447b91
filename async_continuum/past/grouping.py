"""Let a query of the past group by a primary key alone, as it may where a database knows the table's key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column
from sqlalchemy.sql import ClauseElement, FromClause, visitors

from async_continuum.past.standin import stand_in


def depending_columns(select: Any) -> list[Column[Any]]:
    """List the columns that a select shows and that the primary keys among its groups decide.

    At one moment an entity has one row, so that naming them changes no group. PostgreSQL takes them unnamed of a table,
    and not of the subquery that stands in for it.
    """
    # Private, as below. The ORM's annotations make another object of each mention of a column.
    plain = {_plain(each) for each in select._group_by_clauses if isinstance(each, Column)}
    by_key = {column.table for column in plain if _has_key(column.table, plain)}
    found = {_plain(column): column for part in _shown(select) for column in _columns(part)}
    return [column for each, column in found.items() if each.table in by_key and each not in plain]


def _plain(column: Any) -> Any:
    # Private: annotations are part of no name.
    return column._deannotate()


def _has_key(table: FromClause, grouped: set[Any]) -> bool:
    original: Any = getattr(table, "element", table)
    return stand_in(original) is not None and all(table.c[column.key] in grouped for column in original.primary_key)


def _shown(select: Any) -> Iterator[ClauseElement]:
    yield from select.inner_columns
    # Private: what SQLAlchemy's own compilers read.
    yield from select._order_by_clauses
    yield from select._having_criteria


def _columns(part: ClauseElement) -> Iterator[Any]:
    return (element for element in visitors.iterate(part) if isinstance(element, Column))

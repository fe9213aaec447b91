"""Let a query of the past group by a primary key alone, as it may where a database knows the table's key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Dialect, Select, Table, Text, cast, type_coerce
from sqlalchemy.sql import ClauseElement, FromClause, visitors
from sqlalchemy.types import NullType, TypeEngine

from async_continuum.past.standin import StandIn, stand_in

# They have no order, and no hash or no equality at all.
_UNGROUPED = frozenset({"json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle"})


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


def ungrouped_columns(statement: Any, dialect: Dialect) -> frozenset[tuple[StandIn, str]]:
    """Find the columns that PostgreSQL cannot group by, of tables that a statement groups by their keys.

    They stand as text in the subquery, and are cast back wherever they are read. Each is told by its table's stand-in
    and its name.
    """
    if dialect.name != "postgresql":
        return frozenset()
    found: set[tuple[StandIn, str]] = set()
    for each in visitors.iterate(statement):
        grouped = getattr(each, "_group_by_clauses", ())
        plain = {_plain(column) for column in grouped if isinstance(column, Column)}
        for table in {column.table for column in plain if _has_key(column.table, plain)}:
            original: Any = getattr(table, "element", table)
            stood = stand_in(original)
            if stood is not None:
                found.update((stood, column.name) for column in original.c if _is_ungrouped(column.type, dialect))
    return frozenset(found)


def as_text(rows: Select[Any], names: set[str]) -> Select[Any]:
    """Show these columns as text, under the same names."""
    return rows.with_only_columns(
        *(
            cast(type_coerce(column, NullType()), Text).label(column.name) if column.name in names else column
            for column in rows.selected_columns
        )
    )


def told_by(column: Any) -> tuple[StandIn, str] | None:
    """Tell a column, also one of a table under another name; None for one of a table without history."""
    table = getattr(column.table, "element", column.table)
    stood = stand_in(table) if isinstance(table, Table) else None
    return None if stood is None else (stood, column.name)


def _is_ungrouped(type_: TypeEngine[Any], dialect: Dialect) -> bool:
    # Here, because importing a dialect takes longer than importing all of this package.
    from sqlalchemy.dialects.postgresql import DOMAIN

    if isinstance(type_, DOMAIN):
        return _is_ungrouped(type_.data_type, dialect)
    if isinstance(type_, NullType):
        return False
    return type_.compile(dialect).lower().rstrip("[]") in _UNGROUPED


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

"""Take rows that store one link several times for one: a table without a key may hold such twins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, UniqueConstraint, exists, literal_column, null, select, tuple_
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ColumnElement, FromClause

from async_continuum.build.table import TableHistory

_ROW_PLACES = {"postgresql": "ctid", "sqlite": "rowid"}


def may_have_twins(history: TableHistory) -> bool:
    """Say whether nothing keeps two rows of an association table from storing the same link."""
    key = {history.table.c[name] for name in history.key}
    return history.is_link and not any(key.issuperset(columns) for columns in _unique(history))


def _unique(history: TableHistory) -> Iterator[list[Column[Any]]]:
    table = history.table
    if table.primary_key.columns:
        yield list(table.primary_key.columns)
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield list(constraint.columns)
    for index in table.indexes:
        partial = any(name.endswith("_where") for name in index.dialect_kwargs)
        if index.unique and not partial and len(index.columns) == len(index.expressions):
            yield list(index.columns)


def live_rows(history: TableHistory, dialect: Dialect, *, name: str | None = None) -> FromClause:
    """Give the live rows of a table, under a name; of twins the first, so that each key is there once."""
    table = history.table
    if not may_have_twins(history):
        return table if name is None else table.alias(name)
    row, twin = table.alias("ac_link_row"), table.alias("ac_link_twin")
    earlier = _earlier(history, dialect, twin, row)
    if earlier is None:
        return select(*row.c).distinct().subquery(name)
    same = [a == b for a, b in zip(history.key_of(twin), history.key_of(row), strict=True)]
    # Not DISTINCT nor a window, into which PostgreSQL passes no list of keys: it would go through the whole table.
    second = exists(select(null()).select_from(twin).where(*same, earlier).correlate(row))
    return select(*row.c).where(~second).subquery(name)


def _earlier(history: TableHistory, dialect: Dialect, a: FromClause, b: FromClause) -> ColumnElement[bool] | None:
    names = [column.key for column in history.table.primary_key.columns]
    if names:
        return tuple_(*(a.c[name] for name in names)) < tuple_(*(b.c[name] for name in names))
    place = _ROW_PLACES.get(dialect.name)
    if place is None:
        return None
    return literal_column(f"ac_link_twin.{place}") < literal_column(f"ac_link_row.{place}")

"""Move the conditions of a model's relations into the past, side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, and_, or_
from sqlalchemy.orm import Mapper, foreign, remote
from sqlalchemy.sql import ClauseElement, ColumnElement, FromClause, visitors

from async_continuum.build.table import TableHistory, ends_of
from async_continuum.build.types import DELETE_IN_SQL

Place = Callable[[Column[Any]], ColumnElement[Any] | None]
"""Where a column of the present stands in the past; None where history does not hold it."""


class NotKept(Exception):
    """A relation depends on what history does not hold; says on what."""


def alive(history: TableHistory, at: ColumnElement[Any]) -> ColumnElement[bool]:
    """Restrict the remote side of a relation to the versions that were alive at a transaction."""
    versions = history.version_table
    begins, operation = remote(versions.c[history.begins]), remote(versions.c[history.operation])
    if history.ends is not None:
        ends: Any = remote(versions.c[history.ends])
    else:
        ends = _said_to_be_remote(ends_of(history, versions), versions)
    return alive_of(begins, ends, operation, at)


def alive_of(begins: Any, ends: Any, operation: Any, at: ColumnElement[Any]) -> ColumnElement[bool]:
    """Restrict versions, by their own columns, to those that were alive at a transaction."""
    return and_(begins <= at, or_(ends.is_(None), ends > at), operation != DELETE_IN_SQL)


def _said_to_be_remote(ends: ColumnElement[Any], versions: FromClause) -> ColumnElement[Any]:
    # Where a relation leads back to its own table, SQLAlchemy takes for local what nobody says is remote.
    def say(element: ClauseElement, **_: Any) -> Any:
        return remote(element) if isinstance(element, Column) and element.table is versions else None

    said: ColumnElement[Any] = visitors.replacement_traverse(ends, {}, say)
    return said


def moved_to_versions(*histories: TableHistory, rows: FromClause | None = None) -> Place:
    """Give the place of each column in the version tables, or in an alias of the only one."""
    by_table = {history.table: history for history in histories}

    def place(column: Column[Any]) -> ColumnElement[Any] | None:
        history = by_table.get(column.table)
        if history is None:
            return None
        if column.key not in history.columns:
            raise NotKept(f"{history.table.name}.{column.name}, which history excludes")
        return (history.version_table if rows is None else rows).c[column.key]

    return place


def staying(target: FromClause | Mapper[Any]) -> Place:
    """Give the place of columns that have no past: where they are."""
    tables = set(target.tables) if isinstance(target, Mapper) else {target}
    return lambda column: column if column.table in tables else None


def either(*places: Place) -> Place:
    """Look in one place after the other."""

    def place(column: Column[Any]) -> ColumnElement[Any] | None:
        return next((found for found in (each(column) for each in places) if found is not None), None)

    return place


def adapted(
    clause: Any,
    local: Place,
    to: Place,
    *,
    foreign_to: Place | None = None,
    plain: bool = False,
    strict: bool = True,
) -> Any:
    """Move a join condition into the past, side by side, with the annotations that say which side is which.

    What it takes from other tables would be of the present, and is refused, unless it only orders.
    """

    def move(element: ClauseElement, **_: Any) -> ClauseElement | None:
        if not isinstance(element, Column):
            return None
        # Private, for want of a public way to read what remote() and foreign() have said.
        annotations = element._annotations
        column: Any = element._deannotate()
        sides = (to, local) if "remote" in annotations else (local, to)
        found = either(*sides)(column)
        if found is None and strict:
            raise NotKept(f"{column}, which is of neither of its ends")
        if found is None or plain:
            return found
        moved: Any = found
        if "remote" in annotations and foreign_to is None:
            moved = remote(moved)
        if "foreign" in annotations or (foreign_to is not None and foreign_to(column) is not None):
            moved = foreign(moved)
        return moved  # type: ignore[no-any-return]

    return visitors.replacement_traverse(clause, {}, move)


def alive_in(history: TableHistory, versions: FromClause, at: ColumnElement[Any]) -> ColumnElement[bool]:
    """Restrict version rows to those that were alive at a transaction."""
    ends = ends_of(history, versions)
    begins = versions.c[history.begins]
    return and_(begins <= at, or_(ends.is_(None), ends > at), versions.c[history.operation] != DELETE_IN_SQL)

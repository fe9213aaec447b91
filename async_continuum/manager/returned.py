"""Have PostgreSQL's INSERT return the keys of its rows, read them, and leave the result as it would be without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Connection, Row, literal_column
from sqlalchemy.engine import CursorResult
from sqlalchemy.engine.cursor import _NO_CURSOR_DML, _NO_RESULT_METADATA

from async_continuum.build import TableHistory
from async_continuum.dialects import name_on
from async_continuum.record import Key

_INSERTED = "async_continuum_inserted"


def was_inserted(history: TableHistory, connection: Connection) -> str:
    """Tell in PostgreSQL's SQL of a row that an INSERT returns whether it was inserted, rather than updated.

    A statement does not see what it does itself. A row that another writer has added since it began is taken for
    inserted, which matters to nobody where that writer has recorded it.
    """
    quote = connection.dialect.identifier_preparer
    name, before = quote.quote(history.table.name), "async_continuum_before"
    keys = [quote.quote(history.table.c[each].name) for each in history.key]
    same = " AND ".join(f"{before}.{key} = {name}.{key}" for key in keys)
    return f"NOT EXISTS (SELECT 1 FROM {name_on(connection, history.table)} AS {before} WHERE {same})"


def inserted_column(history: TableHistory, connection: Connection) -> ColumnElement[Any]:
    """Give `was_inserted` as a column to be returned, for `fresh_returned`."""
    text = was_inserted(history, connection)
    if connection.dialect.paramstyle in ("format", "pyformat"):
        # A name's percent signs were doubled for the driver, and would be once more.
        text = text.replace("%%", "%")
    return literal_column(text, Boolean()).label(_INSERTED)


def fresh_returned(history: TableHistory, rows: Sequence[Row[Any]]) -> frozenset[Key]:
    """Read those keys out of returned rows that were inserted, where an INSERT updates others."""
    columns = [history.table.c[name] for name in history.key]
    return frozenset(tuple(row._mapping[column] for column in columns) for row in rows if row._mapping[_INSERTED])


def rows_returned(result: CursorResult[Any]) -> Sequence[Row[Any]] | None:
    """Give the rows that an INSERT was made to return, beside its result or as it; None where there are none."""
    return result.all() if result.returns_rows else result.returned_defaults_rows


def keys_returned(history: TableHistory, rows: Sequence[Row[Any]] | None) -> list[Key] | None:
    """Read the keys out of returned rows; None where they are not there."""
    columns = [history.table.c[name] for name in history.key]
    if rows is None or any(column not in row._mapping for row in rows[:1] for column in columns):
        return None
    return [tuple(row._mapping[column] for column in columns) for row in rows]


def hide_returned(result: CursorResult[Any], rowcount: int | None) -> None:
    """Let a result look as it would if its statement had not been asked for keys; None: the cursor knows the count."""
    # Private: SQLAlchemy has no way to fetch the keys of many inserted rows without a result that tells of it.
    result._metadata, result.cursor_strategy = _NO_RESULT_METADATA, _NO_CURSOR_DML
    if rowcount is not None or "preserve_rowcount" not in result.context.execution_options:
        result.context._rowcount = rowcount

"""Leave out the rows that are not recorded at all: the option ``record_if``, where it is a SQL expression."""

from __future__ import annotations

from typing import Any

from sqlalchemy import FromClause, literal_column, or_, select
from sqlalchemy.sql import ColumnElement

from async_continuum.build import condition_on
from async_continuum.operation import Operation


def recorded(pieces: Any, rows: FromClause, *, gone: bool = False) -> list[ColumnElement[bool]]:
    """Restrict live rows to those that are recorded; rows that go also where history says that they are there."""
    given = pieces.history.record_if
    if given is None:
        return []
    wanted = condition_on(given, pieces.history.table, rows)
    return [or_(wanted, _has_history(pieces, rows))] if gone else [wanted]


def _has_history(pieces: Any, rows: FromClause) -> ColumnElement[bool]:
    known = pieces.history.version_table.alias("ac_known")
    newest = select(pieces.operation(known)).where(pieces.same(known, rows)).order_by(pieces.begins(known).desc())
    alive: ColumnElement[bool] = newest.limit(1).correlate(rows).scalar_subquery() != literal_column(
        str(int(Operation.DELETE))
    )
    return alive

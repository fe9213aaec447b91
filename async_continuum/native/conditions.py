"""Say in SQL which rows triggers record: those of classes that keep a history, and those that ``record_if`` wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column
from sqlalchemy.exc import CompileError
from sqlalchemy.sql import ClauseElement, ColumnElement, literal_column, visitors

from async_continuum.build import TableHistory, condition_on, kept_rows
from async_continuum.errors import ImproperlyConfigured


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on one row, as a text of SQL. A value.

    It becomes the body of a function, so that its names and operators mean what they mean to whoever creates the
    triggers, whatever the search path of a writer.
    """

    sql: str
    """With ``@@given0@@`` and so on for the columns."""
    columns: tuple[str, ...]


def kept_condition(history: TableHistory) -> Condition | None:
    """Say which rows are of a class that keeps a history; None where all are."""
    kept = kept_rows(history, history.table)
    return _condition(history, kept[0]) if kept else None


def recorded_condition(history: TableHistory) -> Condition | None:
    """Give the option ``record_if``. Raises `ImproperlyConfigured` for a value that has no literal."""
    given = history.record_if
    return None if given is None else _condition(history, condition_on(given, history.table, history.table))


def _condition(history: TableHistory, given: ColumnElement[bool]) -> Condition:
    # Here, because importing a dialect takes longer than importing all of this package.
    from sqlalchemy.dialects import postgresql

    columns: dict[str, None] = {}

    def replaced(element: ClauseElement, **_: Any) -> ClauseElement | None:
        if not isinstance(element, Column):
            return None
        columns.setdefault(element.name)
        return literal_column(f"@@given{list(columns).index(element.name)}@@", element.type)

    plain: ColumnElement[bool] = visitors.replacement_traverse(given, {}, replaced)
    # Of the ways to write parameters the one in which no % is doubled; there are none here.
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    try:
        compiled = plain.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    except CompileError as error:
        raise ImproperlyConfigured(
            f"option 'record_if' has a value that cannot be written into a trigger: {error}",
            model=history.table,
            option="record_if",
        ) from error
    return Condition(str(compiled), tuple(columns))

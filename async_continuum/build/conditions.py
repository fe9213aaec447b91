"""Read the option ``record_if``: which rows are recorded, as SQL on the columns of their table."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.sql import ClauseElement, ColumnElement, FromClause, visitors
from sqlalchemy.sql.elements import ColumnClause

from async_continuum.declare import Settings
from async_continuum.errors import ImproperlyConfigured


def condition(table: Table, settings: Settings, *, model: type) -> ColumnElement[bool] | None:
    """Give the SQL expression of the option; None where there is none, or a function. Raises `ImproperlyConfigured`."""
    given = settings.record_if
    if not isinstance(given, ColumnElement):
        return None
    for element in visitors.iterate(given):
        if isinstance(element, ColumnClause) and _named(table, element) is None:
            raise ImproperlyConfigured(
                f"option 'record_if' speaks of {element}, which is no column of its table {table.name!r}.",
                model=model,
                option="record_if",
            )
    return given


def refuse_another(settings: Settings, above: Settings, *, model: type) -> None:
    """Refuse an expression that differs from that of the class above: one hierarchy is recorded in one way."""
    if settings.record_if is not above.record_if:
        raise ImproperlyConfigured(
            "option 'record_if' is an expression of its own, and it inherits from a class that is recorded otherwise: "
            "give it to the topmost class, on columns of its table.",
            model=model,
            option="record_if",
        )


def condition_on(given: ColumnElement[bool], table: Table, rows: FromClause) -> ColumnElement[bool]:
    """Let a condition speak of the rows of a table, or of an alias of it."""

    def replaced(element: ClauseElement, **_: Any) -> ClauseElement | None:
        if not isinstance(element, ColumnClause):
            return None
        column = _named(table, element)
        return None if column is None else rows.c[column.key]

    adapted: ColumnElement[bool] = visitors.replacement_traverse(given, {}, replaced)
    return adapted


def _named(table: Table, element: ColumnClause[Any]) -> Column[Any] | None:
    # As ``column("status")`` names it: the class is not there yet when its options are written.
    if element.table is None:
        return next((column for column in table.c if element.name in (column.name, column.key)), None)
    return element if isinstance(element, Column) and element.table is table else None

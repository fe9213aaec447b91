"""Say in SQL which rows triggers record: those of classes that keep a history, and those that ``record_if`` wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, literal
from sqlalchemy.exc import CompileError
from sqlalchemy.sql import ClauseElement, ColumnElement, literal_column, visitors
from sqlalchemy.types import TypeEngine

from async_continuum.build import TableHistory, condition_on, find_blueprint, kept_rows
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


def can_name_classes(history: TableHistory) -> bool:
    """Say whether each row tells, in a column that history keeps, of which class it is: of one table alone."""
    alone = history.leader is None and not history.followers
    return not history.shared or (alone and history.names_class in history.columns)


def classes_of(history: TableHistory) -> tuple[tuple[str, str], ...]:
    """Say what that column holds, as SQL, for each class whose history is kept, and what the class is called."""
    if not history.shared or not can_name_classes(history) or history.mapper is None:
        return ()
    column = history.table.c[history.names_class or ""]
    return tuple(
        (_literal(history, each.polymorphic_identity, column.type), each.class_.__name__)
        for each in history.mapper.self_and_descendants
        if not each.concrete and each.polymorphic_identity is not None and find_blueprint(each.class_) is not None
    )


def _literal(history: TableHistory, value: Any, type_: TypeEngine[Any]) -> str:
    return _sql(history, literal(value, type_), "polymorphic_identity")


def _condition(history: TableHistory, given: ColumnElement[bool]) -> Condition:
    columns: dict[str, None] = {}

    def replaced(element: ClauseElement, **_: Any) -> ClauseElement | None:
        if not isinstance(element, Column):
            return None
        columns.setdefault(element.name)
        return literal_column(f"@@given{list(columns).index(element.name)}@@", element.type)

    plain: ColumnElement[bool] = visitors.replacement_traverse(given, {}, replaced)
    return Condition(_sql(history, plain, "record_if"), tuple(columns))


def _sql(history: TableHistory, given: ColumnElement[Any], option: str) -> str:
    # Here, because importing a dialect takes longer than importing all of this package.
    from sqlalchemy.dialects import postgresql

    # Of the ways to write parameters the one in which no % is doubled; there are none here.
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    try:
        return str(given.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    except CompileError as error:
        raise ImproperlyConfigured(
            f"option {option!r} has a value that cannot be written into a trigger: {error}",
            model=history.table,
            option=option,
        ) from error

"""Fill what a version holds besides its row: columns that plugins have added, in the statement that copies it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, func, literal_column, or_, select, true, type_coerce
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ColumnElement, FromClause
from sqlalchemy.types import NullType

from async_continuum.build import TableHistory
from async_continuum.dialects import differs
from async_continuum.operation import Operation


@dataclass(frozen=True, eq=False, slots=True)
class Copying:
    """A row on its way into the version table, and the version that it had before. Lives while the SQL is built."""

    history: TableHistory
    dialect: Dialect
    row: FromClause
    """The live row, as it is now; of a row that goes, as it is before it goes."""
    before: FromClause | None
    """The version that held before this transaction, outer-joined; None where the row goes."""
    transaction_id: ColumnElement[int]
    operation: ColumnElement[Any]
    """What the flush did, as a number. If the transaction had recorded the entity before, its net may be another."""

    @property
    def gone(self) -> bool:
        """Whether the row is about to go: the version is a DELETE."""
        return self.before is None

    def changed(self, name: str) -> ColumnElement[bool]:
        """Say whether the transaction has changed a column, net; of a row that comes or goes, it has changed all."""
        if self.before is None:
            return true()
        key = self.before.c[self.history.key[0]]
        operation = type_coerce(self.before.c[self.history.operation], NullType())
        return or_(
            key.is_(None),
            operation == literal_column(str(int(Operation.DELETE))),
            differs([(self.row.c[name], self.before.c[name])], self.dialect),
        )


def copied(
    copying: Copying, stored: Mapping[str, ColumnElement[Any]], *, newest: ColumnElement[Any] | None
) -> Select[Any]:
    """Copy a row with what plugins add; ``newest`` is the id of the version before, where the row stays."""
    history, row, before = copying.history, copying.row, copying.before
    values = {name: _held(copying, name, value) for name, value in stored.items()}
    added = [each.value(copying) for each in history.added]
    statement = select(*values.values(), *added, copying.transaction_id, copying.operation)
    if before is None or newest is None:
        return statement.select_from(row)
    same = [a == b for a, b in zip(history.key_of(before), history.key_of(row), strict=True)]
    return statement.select_from(row.outerjoin(before, and_(*same, before.c[history.begins] == newest)))


def copying_of(
    history: TableHistory,
    dialect: Dialect,
    row: FromClause,
    tx: ColumnElement[int],
    operation: ColumnElement[Any],
    *,
    gone: bool,
) -> tuple[Copying, ColumnElement[Any] | None]:
    """Describe the copy of live rows, and give the id of the version that each had before."""
    if gone or not history.added:
        before = None if gone else history.version_table.alias("ac_before")
        return Copying(history, dialect, row, before, tx, operation), None
    before, earlier = history.version_table.alias("ac_before"), history.version_table.alias("ac_earlier")
    same = [a == b for a, b in zip(history.key_of(earlier), history.key_of(row), strict=True)]
    newest = select(func.max(earlier.c[history.begins])).where(*same, earlier.c[history.begins] < tx)
    return Copying(history, dialect, row, before, tx, operation), newest.correlate(row).scalar_subquery()


def _held(copying: Copying, name: str, stored: ColumnElement[Any]) -> ColumnElement[Any]:
    history = copying.history
    if not copying.gone or name in history.key or name in history.class_columns:
        return stored
    value = history.extras.deleted_value(history, history.table.c[name])
    return stored if value is None else value

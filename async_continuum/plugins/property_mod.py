"""Say beside every versioned column whether its transaction has changed it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from sqlalchemy import Boolean, Column, false
from sqlalchemy.sql import ColumnElement

from async_continuum.build import TableHistory
from async_continuum.declare import AddedColumn
from async_continuum.plugins.base import Plugin
from async_continuum.write import Copying


class PropertyModTrackerPlugin(Plugin):
    """Give each versioned column but those of the key a boolean ``<column>_mod``: changed by this transaction, net.

    All are true in an INSERT, in a DELETE, and in the first version of a row that is older than its history.
    """

    column_suffix: ClassVar[str] = "_mod"

    def version_columns(self, history: TableHistory) -> Sequence[AddedColumn]:
        return [self._flag(history, name) for name in history.columns if name not in history.key]

    def _flag(self, history: TableHistory, name: str) -> AddedColumn:
        column: Column[bool] = Column(
            history.table.c[name].name + self.column_suffix,
            Boolean(),
            key=name + self.column_suffix,
            nullable=False,
            default=False,
            server_default=false(),
        )
        return AddedColumn(column, partial(_changed, name), beside=name, says_changed=True)


def _changed(name: str, copying: Copying) -> ColumnElement[bool]:
    return copying.changed(name)

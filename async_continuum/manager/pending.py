"""Carry what is known of a statement from before its execution to where what it did is recorded."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Delete, Insert
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import SAWarning

from async_continuum.build import Blueprint, LinkBlueprint, TableHistory, blueprint_of, may_have_twins
from async_continuum.dialects import AnyKeys, Fresh, MarkedKeys, Marks, SettingMarks, TableMarks
from async_continuum.errors import UnrecordedStatement
from async_continuum.manager.recorder import Recorder
from async_continuum.manager.returned import fresh_returned, hide_returned, keys_returned, rows_returned, was_inserted
from async_continuum.manager.statements import Parameters, keys_inserted
from async_continuum.record import TableChanges, changes_of_table

Kept = Blueprint | LinkBlueprint


@dataclass(slots=True, eq=False, weakref_slot=True)
class Pending:
    """One statement between its preparation and the recording of what it did. Lives among its recorder's gaps in
    between; that of a statement that fails until it is rolled back.
    """

    owner: object
    """Who has prepared it: several managers may hear of it."""
    connection: Connection
    kept: Kept
    history: TableHistory
    statement: Any
    parameters: Parameters
    recorder: Recorder
    flushing: bool
    marks: Marks | None = None
    keys: AnyKeys | None = None
    """The rows that are there afterwards, where that is known before."""
    gone: AnyKeys = ()
    """The rows that were versioned as going."""
    claimed: int | None = None
    """How many rows ``gone`` or ``keys`` are, where that is known."""
    returning: bool = False
    """Whether what the statement returns is to be marked."""
    lost: bool = False
    """Whether the statement cannot be recorded; then this was said."""
    returned: bool = False
    """Whether the keys were asked back from the database."""
    watched: bool = False
    """Whether the database marks what the statement touches."""
    mixed: bool = False
    """Whether it inserts rows and updates others."""
    context: Any = field(default=None, init=False)
    """How it is executed, once it is."""

    @property
    def left_behind(self) -> str | None:
        """Say what may stand of it in the rows or in history, where it fails; None for nothing."""
        if self.gone:
            return "a DELETE, or an UPDATE of keys, has failed in it, whose rows history had been told were going"
        if len(self.parameters) > 1:
            return "a statement of several parameter sets has failed in it, whose first ones may stand, unrecorded"
        # Private: SQLite's UPDATE OR FAIL keeps what it did before the row at which it fails.
        if any("FAIL" in str(prefix).upper() for prefix, _ in self.statement._prefixes):
            return "a statement has failed in it that keeps what it had done by then, unrecorded"
        cursor = getattr(self.context, "cursor", None)
        if cursor is not None and (cursor.rowcount > 0 or cursor.description is not None):
            # The database has done it, and then a listener of the user's has failed, before ours was told.
            return "a statement in it has failed after the database had executed it, and before it was recorded"
        return None

    def rewritten(self, text: str, context: Any) -> str:
        """Give the statement's text as it is to be sent."""
        if not self.returning:
            return text
        assert isinstance(self.marks, SettingMarks)
        preparer = self.connection.dialect.identifier_preparer
        quoted = [preparer.quote(self.history.table.c[name].name) for name in self.history.key]
        name = preparer.format_table(self.history.table, use_schema=False)
        renamed = None if isinstance(self.statement, Insert) else _RENAMED.match(text)
        name = name if renamed is None else renamed[1]
        # Private: which columns a compiled statement returns, those that SQLAlchemy adds for itself included.
        columns = [preparer.quote(each.keyname) for each in context.compiled._result_columns]
        inserted = was_inserted(self.history, self.connection) if self.mixed else ""
        keys, many = [f"{name}.{key}" for key in quoted], len(self.parameters) > 1
        return self.marks.returning(text, keys, columns, many=many, inserted=inserted)

    def record(self, result: CursorResult[Any] | None) -> None:
        """Have versioned what the statement did; ``result`` is that of the statement itself, not of one around it."""
        self.recorder.gaps.end(self)
        if self.watched:
            assert isinstance(self.marks, TableMarks)
            self.marks.unwatch(self.connection, self.history.table)
        changes = self._changes(result)
        if changes is not None:
            if self.flushing:
                self.recorder.record_within_flush(changes)
            else:
                self.recorder.record_statement(changes)
        if self.marks is not None:
            self.marks.end(self.connection)

    def _changes(self, result: CursorResult[Any] | None) -> TableChanges | None:
        make = changes_of_table
        if self.lost:
            return None
        if isinstance(self.statement, Insert):
            keys, fresh = self._inserted(result)
            if keys is None:
                unrecorded(self.kept, self.statement)
                return None
            if fresh is None:
                fresh = keys if isinstance(keys, MarkedKeys) else frozenset(keys)
            return make(self.connection, self.kept, self.history, keys, fresh)
        touched = None if result is None else result.rowcount
        if touched == 0 and result is not None and result.returns_rows:
            # sqlite3 counts them when the last of them was fetched.
            touched = None
        if isinstance(self.statement, Delete):
            # Of a row that was to go and did not, what was written is taken away again.
            exact = self.claimed is not None and touched == self.claimed and not may_have_twins(self.history)
            # The topmost row of an entity is there still when one in a table below has gone.
            exact = exact and self.history.leader is None
            live = () if exact else self.gone
            return make(self.connection, self.kept, self.history, live, frozenset(), self.gone, not exact)
        if touched == 0 and not self.gone:
            return None
        assert self.keys is not None
        if self.gone:
            fresh = self.keys if isinstance(self.keys, MarkedKeys) else frozenset(self.keys)
            return make(self.connection, self.kept, self.history, self.keys, fresh, self.gone, moved=True)
        return make(self.connection, self.kept, self.history, self.keys)

    def _inserted(self, result: CursorResult[Any] | None) -> tuple[AnyKeys | None, Fresh | None]:
        """Give the keys, and those of inserted rows where these are not all."""
        if self.keys is not None or result is None:
            return self.keys, None
        if self.returned:
            rows = rows_returned(result)
            keys = keys_returned(self.history, rows)
            uncounted = self.connection.dialect.driver == "asyncpg" and len(self.parameters) > 1
            hide_returned(result, -1 if uncounted else None)
            return keys, fresh_returned(self.history, rows) if self.mixed and rows and keys else None
        keys = keys_inserted(self.history, self.statement, self.parameters, result)
        return keys if keys is not None else keys_returned(self.history, result.returned_defaults_rows), None


_RENAMED = re.compile(r'\s*UPDATE\s.+?\sAS\s+("(?:[^"]|"")+"|\w+)\s+SET\s', re.IGNORECASE | re.DOTALL)


def unrecorded(kept: Kept, statement: Any) -> None:
    """Do what the option ``unrecorded`` says about a statement that was seen and cannot be recorded."""
    settings = blueprint_of(kept.model).settings
    match settings.unrecorded:
        case "raise":
            raise UnrecordedStatement(statement)
        case "warn":
            warnings.warn(f"{UnrecordedStatement(statement)}", SAWarning, stacklevel=2)

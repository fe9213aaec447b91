"""Prepare a statement so that the rows it touches are known, and record them once it is executed."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Update
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import SAWarning

from async_continuum.build import Blueprint, LinkBlueprint, TableHistory, blueprint_of, may_have_twins
from async_continuum.dialects import AnyKeys, MarkedKeys, Marks, SettingMarks, TableMarks, marks_for
from async_continuum.errors import UnrecordedStatement
from async_continuum.manager.recorder import Recorder
from async_continuum.manager.statements import (
    Parameters,
    is_alone,
    keys_inserted,
    keys_named,
    keys_returned,
    moves_keys,
    rows_matched,
    will_tell_keys,
)
from async_continuum.record import Key, TableChanges, changes_of_table

Kept = Blueprint | LinkBlueprint
Found = Callable[[CursorResult[Any]], AnyKeys | None]


@dataclass(slots=True, eq=False)
class Pending:
    """One statement between its preparation and the recording of what it did. Carried by the statement itself."""

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
    returned: bool = False
    """Whether the keys were asked back from the database."""
    watched: bool = False
    """Whether the database marks what the statement touches."""
    done: bool = field(default=False, init=False)

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
        # Private: how many columns a compiled statement returns, those that SQLAlchemy adds for itself included.
        columns = len(context.compiled._result_columns)
        return self.marks.returning(text, [f"{name}.{key}" for key in quoted], columns, many=len(self.parameters) > 1)

    def record(self, result: CursorResult[Any]) -> None:
        """Have versioned what the statement did."""
        if self.done:
            # An engine with options of its own passes on the events of the one it was made from.
            return
        self.done = True
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

    def _changes(self, result: CursorResult[Any]) -> TableChanges | None:
        make = changes_of_table
        if isinstance(self.statement, Insert):
            keys = self._inserted(result)
            if keys is None:
                unrecorded(self.kept, self.statement)
                return None
            fresh = keys if isinstance(keys, MarkedKeys) else frozenset(keys)
            return make(self.connection, self.kept, self.history, keys, fresh)
        touched = result.rowcount
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

    def _inserted(self, result: CursorResult[Any]) -> AnyKeys | None:
        if self.keys is not None:
            return self.keys
        if self.returned:
            return keys_returned(self.history, result)
        keys = keys_inserted(self.history, self.statement, self.parameters, result)
        return keys if keys is not None else keys_returned(self.history, result)


_RENAMED = re.compile(r'\s*UPDATE\s.+?\sAS\s+("(?:[^"]|"")+"|\w+)\s+SET\s', re.IGNORECASE | re.DOTALL)


def prepare(
    owner: object,
    connection: Connection,
    kept: Kept,
    history: TableHistory,
    statement: Any,
    parameters: Parameters,
    recorder: Recorder,
    *,
    flushing: bool,
) -> Pending:
    """See to it that what a statement is about to do can be recorded; rows that go are versioned now."""
    pending = Pending(owner, connection, kept, history, statement, parameters, recorder, flushing)
    match statement:
        case Insert():
            _prepare_insert(pending)
        case Update() if moves_keys(history, statement, parameters):
            _claim(pending, moving=True)
        case Update():
            _prepare_update(pending)
        case _:
            _claim(pending, moving=False)
    return pending


def unrecorded(kept: Kept, statement: Any) -> None:
    """Do what the option ``unrecorded`` says about a statement that was seen and cannot be recorded."""
    settings = blueprint_of(kept.model).settings
    match settings.unrecorded:
        case "raise":
            raise UnrecordedStatement(statement)
        case "warn":
            warnings.warn(f"{UnrecordedStatement(statement)}", SAWarning, stacklevel=2)


def _prepare_insert(pending: Pending) -> None:
    statement, dialect = pending.statement, pending.connection.dialect
    if will_tell_keys(pending.history, statement, pending.parameters) or _watch(pending):
        return
    # Private: whether a statement returns anything stands nowhere else.
    if not statement._returning and dialect.insert_returning and not statement._return_defaults:
        columns = [pending.history.table.c[name] for name in pending.history.key]
        pending.statement = statement.return_defaults(*columns)
        pending.returned = True
    elif not statement._return_defaults:
        unrecorded(pending.kept, statement)


def _prepare_update(pending: Pending) -> None:
    named = keys_named(pending.history, pending.statement, pending.parameters, only=False)
    if named is not None:
        pending.keys = named
    elif not _watch(pending):
        _claim(pending, moving=False)


def _watch(pending: Pending) -> bool:
    """Have the database mark the rows that the statement touches, exactly, whatever its condition."""
    connection = pending.connection
    many = len(pending.parameters) > 1
    marks = marks_for(pending.history.key_types, connection.dialect)
    if isinstance(marks, TableMarks):
        marks.begin(connection, many=many)
        marks.watch(connection, pending.history.table, [pending.history.table.c[n].name for n in pending.history.key])
        pending.watched = True
    elif isinstance(marks, SettingMarks) and _can_return(pending, many=many):
        marks.begin(connection, many=many)
        pending.returning = True
    else:
        return False
    pending.marks, pending.keys = marks, marks.keys()
    return True


def _can_return(pending: Pending, *, many: bool) -> bool:
    if pending.statement._returning or pending.statement._return_defaults:
        return True
    # Rows of no column at all, by which the row count is told, are no result to asyncpg alone; and many single rows
    # are inserted faster by one statement that returns their keys.
    return pending.connection.dialect.driver == "asyncpg" and not (many and isinstance(pending.statement, Insert))


def _claim(pending: Pending, *, moving: bool) -> None:
    """Find and lock the rows that the statement is about to change, version them if they go, and hold it to them."""
    connection, history, statement = pending.connection, pending.history, pending.statement
    deleting = isinstance(statement, Delete)
    named = keys_named(history, statement, pending.parameters, only=True) if deleting else None
    if named is not None:
        pending.gone = named
    else:
        _mark(pending, moving=moving)
    if (deleting or moving) and pending.gone:
        going = changes_of_table(connection, pending.kept, history, gone=pending.gone, moved=moving)
        pending.recorder.record_going([going])


def _mark(pending: Pending, *, moving: bool) -> None:
    connection, history, statement = pending.connection, pending.history, pending.statement
    parameters = pending.parameters
    given = list(parameters[0]) if parameters else []
    found = rows_matched(history, statement, moving=moving, given=given)
    marks = marks_for(history.key_types, connection.dialect, moving=moving)
    if marks is None:
        _read(pending, found, moving=moving)
        return
    marks.begin(connection, many=len(parameters) > 1)
    pending.claimed = marks.claim(connection, found, parameters)
    pending.marks = marks
    before, after = marks.keys(), marks.keys(after=moving)
    if isinstance(statement, Delete) or moving:
        pending.gone = before
    if not isinstance(statement, Delete):
        pending.keys = after
    if moving and len(parameters) > 1:
        return
    if is_alone(history, statement):
        # The condition may not say the same twice: random(), or SKIP LOCKED, or what the first of two steps changed.
        statement = statement._generate()
        statement._where_criteria = ()
    way = before.way
    pending.statement = statement.where(way.among([statement.table.c[name] for name in history.key], "keys"))


def _read(pending: Pending, found: Any, *, moving: bool) -> None:
    width = len(pending.history.key)
    rows: dict[tuple[Any, ...], None] = {}
    for given in pending.parameters or [{}]:
        rows |= dict.fromkeys(tuple(row) for row in pending.connection.execute(found, dict(given)))
    before: list[Key] = list(dict.fromkeys(row[:width] for row in rows))
    pending.claimed = len(before)
    if isinstance(pending.statement, Delete) or moving:
        pending.gone = before
    if not isinstance(pending.statement, Delete):
        pending.keys = [row[-width:] for row in rows]

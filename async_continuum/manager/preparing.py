"""Prepare a statement so that the rows it touches are known: it names them, they are marked, or claimed before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Update, or_

from async_continuum.build import TableHistory
from async_continuum.dialects import MarkedKeys, Marks, SettingMarks, TableMarks, marks_for
from async_continuum.manager.holding import hold
from async_continuum.manager.pending import Kept, Pending, unrecorded
from async_continuum.manager.recorder import Recorder
from async_continuum.manager.returned import inserted_column
from async_continuum.manager.statements import (
    Parameters,
    changes_within,
    is_alone,
    keys_named,
    keys_of_values,
    moves_keys,
    rows_matched,
    will_tell_keys,
)
from async_continuum.manager.upserts import moves_what_it_meets, updates_too
from async_continuum.record import Key, changes_of_table


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
    pending.mixed = isinstance(statement, Insert) and updates_too(statement)
    match statement:
        case Insert():
            _prepare_insert(pending)
        case _ if _may_be_compound(connection) and changes_within(statement):
            # Whatever finds its rows would execute the statement inside it as well.
            pending.lost = True
            unrecorded(kept, statement)
        case Update() if moves_keys(history, statement, parameters):
            _claim(pending, moving=True)
        case Update():
            _prepare_update(pending)
        case _:
            _claim(pending, moving=False)
    return pending


def prepare_inside(
    owner: object,
    connection: Connection,
    kept: Kept,
    history: TableHistory,
    statement: Any,
    parameters: Parameters,
    recorder: Recorder,
) -> Pending:
    """Do as `prepare` for a statement in a CTE of another one, which is left as it is: what it touches is read."""
    pending = Pending(owner, connection, kept, history, statement, parameters, recorder, False)
    if len(parameters) > 1:
        # It runs once for each, and what the first does decides what the next one touches.
        pending.lost = True
    elif isinstance(statement, Insert):
        pending.keys = keys_of_values(history, statement, parameters[0] if parameters else {})
        pending.lost = pending.keys is None
    elif changes_within(statement):
        pending.lost = True
    else:
        moving = isinstance(statement, Update) and moves_keys(history, statement, [])
        _read(pending, rows_matched(history, statement, moving=moving, given=[]), moving=moving)
        # How many rows it touches is told by nobody.
        pending.claimed = None
        _record_going(pending, moving=moving)
    if pending.lost:
        unrecorded(kept, statement)
    return pending


def _may_be_compound(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _prepare_insert(pending: Pending) -> None:
    statement, dialect = pending.statement, pending.connection.dialect
    if pending.mixed and moves_what_it_meets(pending.history, statement):
        pending.lost = True
        unrecorded(pending.kept, statement)
        return
    if will_tell_keys(pending.history, statement, pending.parameters) or _watch(pending):
        return
    # Private: whether a statement returns anything stands nowhere else.
    if not statement._returning and dialect.insert_returning and not statement._return_defaults:
        columns = [pending.history.table.c[name] for name in pending.history.key]
        pending.mixed = pending.mixed and dialect.name == "postgresql"
        asked = [*columns, inserted_column(pending.history, pending.connection)] if pending.mixed else columns
        # Defaults are what no value is given for; the rest of the key is asked for as well. From a query come none.
        from_query = statement.select is not None
        pending.statement = (
            statement.returning(*asked) if from_query else statement.return_defaults(*columns, supplemental_cols=asked)
        )
        pending.returned = True
    elif not statement._return_defaults:
        pending.lost = True
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
    marks = marks_for(pending.history.key_types, connection.dialect, paired=pending.mixed)
    if _may_be_compound(connection) and changes_within(pending.statement):
        # PostgreSQL takes statements that change something in the outermost WITH alone.
        return False
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
    if pending.mixed:
        pending.keys = replace(pending.keys, inserted="some")
    return True


def _can_return(pending: Pending, *, many: bool) -> bool:
    if pending.statement._returning or pending.statement._return_defaults:
        return True
    # Many single rows are inserted faster by one statement that returns their keys.
    if many and isinstance(pending.statement, Insert):
        return False
    # Rows of no column at all, by which the row count is told, are no result to asyncpg alone; of many executions
    # psycopg keeps no result either.
    driver = pending.connection.dialect.driver
    return driver == "asyncpg" or (many and driver == "psycopg")


def _claim(pending: Pending, *, moving: bool) -> None:
    """Find and lock the rows that the statement is about to change, version them if they go, and hold it to them."""
    history, statement = pending.history, pending.statement
    deleting = isinstance(statement, Delete)
    named = keys_named(history, statement, pending.parameters, only=True) if deleting else None
    if named is not None:
        pending.gone, pending.claimed = named, len(named)
    else:
        _mark(pending, moving=moving)
    _record_going(pending, moving=moving)


def _record_going(pending: Pending, *, moving: bool) -> None:
    """Version the rows that the statement takes away, while they are there."""
    if pending.gone:
        going = changes_of_table(pending.connection, pending.kept, pending.history, gone=pending.gone, moved=moving)
        with pending.recorder.gaps.closed():
            pending.recorder.record_going([going])
        pending.statement = hold(pending.recorder, pending.connection, pending.history, pending.statement)


def _mark(pending: Pending, *, moving: bool) -> None:
    connection, history, statement = pending.connection, pending.history, pending.statement
    parameters = pending.parameters
    given = list(parameters[0]) if parameters else []
    found = rows_matched(history, statement, moving=moving, given=given)
    marks = marks_for(history.key_types, connection.dialect, paired=moving)
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
    if len(parameters) > 1 and not isinstance(statement, Delete):
        # What each does to its rows, it must not do to those of the others.
        if moving:
            _follow(pending, marks, before)
        return
    if is_alone(history, statement):
        # The condition may not say the same twice: random(), or SKIP LOCKED, or what the first of two steps changed.
        statement = statement._generate()
        statement._where_criteria = ()
    pending.statement = _among(statement, history, before)


def _among(statement: Any, history: TableHistory, keys: MarkedKeys) -> Any:
    """Hold a statement to the rows whose keys are marked when it is executed, and to those that link nothing."""
    columns = [statement.table.c[name] for name in history.key]
    nothing = [column.is_(None) for column in columns if column.nullable]
    return statement.where(or_(keys.way.among(columns, "keys"), *nothing))


def _follow(pending: Pending, marks: Marks, keys: MarkedKeys) -> None:
    """Have the keys marked that several executions lead to: what one has moved, the next may move on."""
    history = pending.history
    if isinstance(marks, TableMarks):
        marks.watch(pending.connection, history.table, [history.table.c[name].name for name in history.key])
        pending.watched = True
    elif _can_return(pending, many=True):
        pending.returning = True
    else:
        return
    # Among those that were there before, which are looked at again in any case.
    pending.keys = keys
    if isinstance(marks, SettingMarks):
        # Who inserts a row in between, under a key where there was none, is left alone.
        pending.statement = _among(pending.statement, history, keys)


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

"""Have a statement that takes rows away leave alone those that came when it had been prepared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Delete, Insert

from async_continuum.build import TableHistory
from async_continuum.dialects import MarkedKeys
from async_continuum.manager.recorder import Recorder
from async_continuum.manager.statements import Parameters, keys_named, moves_keys
from async_continuum.record import TableChanges
from async_continuum.write import HELD, held


def hold(recorder: Recorder, connection: Connection, history: TableHistory, statement: Any) -> Any:
    """Give a statement as it is to be sent, whose rows have been versioned where they were there."""
    for changes in _missing(recorder, connection, history):
        signed = _signed(recorder, changes)
        return held(connection, history, statement, signed, all_of_it=True)
    return statement


def hold_within_flush(
    recorder: Recorder, connection: Connection, history: TableHistory, statement: Any, parameters: Parameters
) -> tuple[Any, Parameters]:
    """Do the same for a statement of the flush, which may be executed for rows that nobody asked for as well."""
    missing = list(_missing(recorder, connection, history))
    if not missing or isinstance(statement, Insert):
        return statement, parameters
    if not isinstance(statement, Delete) and not moves_keys(history, statement, parameters):
        return statement, parameters
    asked = {key for changes in missing if not isinstance(changes.gone, MarkedKeys) for key in changes.gone}
    given = [{**each, HELD: _is_of(asked, history, statement, each)} for each in parameters or [{}]]
    return held(connection, history, statement, _signed(recorder, missing[0]), all_of_it=False), given


def _missing(recorder: Recorder, connection: Connection, history: TableHistory) -> Iterator[TableChanges]:
    leader = history.leader or history
    for changes in recorder.changes.missing:
        if changes.connection is connection and changes.history is leader:
            yield changes


def _signed(recorder: Recorder, changes: TableChanges) -> int:
    signed = recorder.ledgers.at((changes.connection, changes.blueprint.transaction_class)).transaction_id
    assert signed is not None
    return signed


def _is_of(asked: set[Any], history: TableHistory, statement: Any, given: Any) -> bool:
    keys = keys_named(history, statement, [given], only=False)
    return keys is not None and not asked.isdisjoint(keys)

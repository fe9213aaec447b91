"""Note what a flush does to the objects of one model, as the ORM tells of them, one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import InstanceState, Mapper, Session
from sqlalchemy.orm.interfaces import EXT_CONTINUE

from async_continuum.build import blueprint_of
from async_continuum.manager.recorder import Recorder
from async_continuum.record import ModelChanges, is_disabled, key_will_change


class Tracker:
    """Listens to the mapper of one model. Lives as long as its manager is active.

    Each of these runs once for each row of a flush, so that every look-up counts. They return ``EXT_CONTINUE`` and
    are registered with ``retval=True``, because SQLAlchemy wraps those that return nothing in one more call.
    """

    __slots__ = ("_key", "_model", "_names", "_open", "_recorder")

    def __init__(self, model: type, recorder: Callable[[Session], Recorder | None]) -> None:
        self._model = model
        self._key = blueprint_of(model).key
        self._names = frozenset(self._key)
        self._recorder = recorder
        # The changes of each flush that is running now; a flush takes its own out when it ends.
        self._open: dict[Connection, ModelChanges] = {}

    def after_insert(self, _: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> Any:
        """Note an inserted row; its key is read when the flush is over."""
        changes = self._open.get(connection) or self._begin(connection, state)
        if changes is not None:
            changes.inserted.append(state)
        return EXT_CONTINUE

    def before_update(self, _: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> Any:
        """Note a row that is about to move to another key."""
        if not self._names.isdisjoint(state.committed_state) and key_will_change(state, self._key):
            recorder = self._recorder_of(state)
            if recorder is not None and state.key is not None:
                recorder.changes.will_move(connection, blueprint_of(self._model), state.key[1])
        return EXT_CONTINUE

    def after_update(self, _: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> Any:
        """Note a saved row; whether it has changed is seen when the flush is over.

        Not before: an object that takes the row of a deleted one is announced as inserted, and told of as updated.
        """
        changes = self._open.get(connection) or self._begin(connection, state)
        if changes is not None:
            changes.updated.append(state)
        return EXT_CONTINUE

    def before_delete(self, _: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> Any:
        """Note a row that is about to be deleted."""
        changes = self._open.get(connection) or self._begin(connection, state)
        if changes is not None and state.key is not None:
            changes.dooms(state.key[1])
        return EXT_CONTINUE

    def _begin(self, connection: Connection, state: InstanceState[Any]) -> ModelChanges | None:
        recorder = self._recorder_of(state)
        if recorder is None:
            return None
        return recorder.changes.open(connection, blueprint_of(self._model), self._open)

    def _recorder_of(self, state: InstanceState[Any]) -> Recorder | None:
        session = state.session
        if session is None or is_disabled(self._model):
            return None
        return self._recorder(session)

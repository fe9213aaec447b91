"""Note what a flush does to the objects of one model, as the ORM tells of them, one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import InstanceState, Mapper, Session
from sqlalchemy.orm.interfaces import EXT_CONTINUE

from async_continuum.build import blueprint_of
from async_continuum.manager.recorder import Recorder
from async_continuum.record import is_disabled, key_will_change


class Tracker:
    """Listens to the mapper of one model. Lives as long as its manager is active.

    Each of these runs once for each row of a flush, so that every look-up counts. They return ``EXT_CONTINUE`` and
    are registered with ``retval=True``, because SQLAlchemy wraps those that return nothing in one more call.
    """

    __slots__ = ("_model", "_recorder")

    def __init__(self, model: type, recorder: Callable[[Session], Recorder | None]) -> None:
        self._model = model
        self._recorder = recorder

    def after_insert(self, _: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> Any:
        """Note an inserted row."""
        recorder = self._recorder_of(state)
        if recorder is not None:
            recorder.changes.inserted(connection, blueprint_of(self._model), state)
        return EXT_CONTINUE

    def before_update(self, _: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> Any:
        """Note a row that is about to move to another key."""
        if key_will_change(state, blueprint_of(self._model)):
            recorder = self._recorder_of(state)
            if recorder is not None and state.key is not None:
                recorder.watch.begin(connection)
                recorder.changes.will_move(connection, blueprint_of(self._model), state.key[1])
        return EXT_CONTINUE

    def after_update(self, _: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> Any:
        """Note a saved row, updated or not."""
        recorder = self._recorder_of(state)
        if recorder is not None:
            recorder.changes.updated(connection, blueprint_of(self._model), state)
        return EXT_CONTINUE

    def before_delete(self, _: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> Any:
        """Note a row that is about to be deleted."""
        self._will_go(connection, state)
        return EXT_CONTINUE

    def _will_go(self, connection: Connection, state: InstanceState[Any]) -> None:
        recorder = self._recorder_of(state)
        if (
            recorder is not None
            and state.key is not None
            and recorder.changes.will_go(connection, blueprint_of(self._model), state.key[1])
        ):
            recorder.watch.begin(connection)

    def _recorder_of(self, state: InstanceState[Any]) -> Recorder | None:
        session = state.session
        if session is None or is_disabled(self._model):
            return None
        return self._recorder(session)

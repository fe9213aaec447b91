"""Note nothing of objects whose rows triggers record, but for what the database does in consequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import InstanceState, Mapper, Session
from sqlalchemy.orm.interfaces import EXT_CONTINUE

from async_continuum.build import TableHistory, blueprint_of
from async_continuum.manager.coverage import Coverage
from async_continuum.manager.recorder import Recorder
from async_continuum.manager.tracking import Tracker


class NativeTracker(Tracker):
    """Listens to the mapper of one natively versioned model. Lives as long as its manager is active."""

    __slots__ = ("_coverage", "_following")

    def __init__(self, model: type, recorder: Callable[[Session], Recorder | None], coverage: Coverage) -> None:
        super().__init__(model, recorder)
        self._coverage = coverage
        self._following = coverage.following

    def after_insert(self, mapper: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> Any:
        """Note an inserted row, where no trigger does."""
        if connection.dialect.name == "postgresql":
            return EXT_CONTINUE
        return super().after_insert(mapper, connection, state)

    def before_update(self, mapper: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> Any:
        """Note a row that is about to move, where no trigger does, or rows of others may follow it."""
        if self._is_left_to_triggers(connection):
            return EXT_CONTINUE
        return super().before_update(mapper, connection, state)

    def after_update(self, mapper: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> Any:
        """Note a saved row, where no trigger does, or rows of others may follow it."""
        if self._is_left_to_triggers(connection):
            return EXT_CONTINUE
        return super().after_update(mapper, connection, state)

    def before_delete(self, mapper: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> Any:
        """Note a row that is about to be deleted, where no trigger does, or rows of others may follow it."""
        if self._is_left_to_triggers(connection):
            return EXT_CONTINUE
        return super().before_delete(mapper, connection, state)

    def _is_left_to_triggers(self, connection: Connection) -> bool:
        """Whether this database has triggers, and changes no rows that sessions record when these go or move."""
        # Asked twice for each object of a flush.
        if connection.dialect.name != "postgresql":
            return False
        has_followers = self._following.get(self._model)
        if has_followers is None:
            has_followers = self._following[self._model] = self._find_followers()
        return not has_followers

    def _find_followers(self) -> bool:
        waiting: list[TableHistory] = list(blueprint_of(self._model).histories)
        seen = set(waiting)
        while waiting:
            for cascade in self._coverage.cascades_from(waiting.pop()):
                if not cascade.history.settings.native_versioning:
                    return True
                if cascade.history not in seen:
                    seen.add(cascade.history)
                    waiting.append(cascade.history)
        return False

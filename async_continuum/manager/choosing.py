"""Ask the user which changes of objects are recorded at all: the option ``record_if``, where it is a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import InstanceState, Mapper, Session
from sqlalchemy.orm.interfaces import EXT_CONTINUE

from async_continuum.manager.recorder import Recorder
from async_continuum.manager.tracking import Tracker
from async_continuum.operation import Change, Operation
from async_continuum.read import pending_changeset


@dataclass(frozen=True, slots=True)
class PendingChange:
    """What the running flush does to one object. Lives for one question."""

    instance: Any
    operation: Operation

    @property
    def model(self) -> type:
        """The class of the object."""
        return type(self.instance)

    def changeset(self) -> dict[str, Change]:
        """Give what was set on the object since it was last flushed; no IO."""
        return pending_changeset(self.instance)


class ChoosyTracker(Tracker):
    """Notes only what a function lets through. Lives as long as its manager is active."""

    __slots__ = ("_record_if",)

    def __init__(
        self,
        model: type,
        recorder: Callable[[Session], Recorder | None],
        record_if: Callable[[PendingChange], Any],
    ) -> None:
        super().__init__(model, recorder)
        self._record_if = record_if

    def after_insert(self, _: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> Any:
        """Note an inserted row that is wanted."""
        return super().after_insert(_, connection, state) if self._wants(state, Operation.INSERT) else EXT_CONTINUE

    def before_update(self, _: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> Any:
        """Note a wanted row that is about to move to another key."""
        return super().before_update(_, connection, state) if self._wants(state, Operation.UPDATE) else EXT_CONTINUE

    def after_update(self, _: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> Any:
        """Note a saved row that is wanted."""
        return super().after_update(_, connection, state) if self._wants(state, Operation.UPDATE) else EXT_CONTINUE

    def before_delete(self, _: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> Any:
        """Note a wanted row that is about to be deleted."""
        return super().before_delete(_, connection, state) if self._wants(state, Operation.DELETE) else EXT_CONTINUE

    def _wants(self, state: InstanceState[Any], operation: Operation) -> bool:
        return bool(self._record_if(PendingChange(state.obj(), operation)))

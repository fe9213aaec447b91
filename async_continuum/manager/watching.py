"""See the statements on a connection that the ORM tells of no object: those that take rows away, and links."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Update, event
from sqlalchemy.exc import SAWarning

from async_continuum.errors import UnrecordedStatement
from async_continuum.manager.coverage import Coverage
from async_continuum.manager.links import changed_link, keys_inserted, keys_matched
from async_continuum.record import FlushChanges, is_disabled


class Watch:
    """Listens to the connections of one session. Lives as long as the session's recorder."""

    __slots__ = ("_changes", "_connections", "_coverage", "_record", "_record_doomed", "flushing")

    def __init__(
        self,
        changes: FlushChanges,
        coverage: Coverage,
        record_doomed: Callable[[Connection], None],
        record: Callable[[], None],
    ) -> None:
        self.flushing = False
        self._changes = changes
        self._coverage = coverage
        self._record_doomed = record_doomed
        self._record = record
        self._connections: list[Connection] = []

    def begin(self, connection: Connection) -> None:
        """Begin to see what is executed on a connection."""
        if connection not in self._connections:
            event.listen(connection, "before_execute", self._before_execute)
            event.listen(connection, "after_execute", self._after_execute)
            self._connections.append(connection)

    def end(self) -> None:
        """See nothing any more."""
        while self._connections:
            connection = self._connections.pop()
            event.remove(connection, "before_execute", self._before_execute)
            event.remove(connection, "after_execute", self._after_execute)

    def _before_execute(
        self, connection: Connection, statement: Any, many: Sequence[Any], one: Mapping[str, Any], _: Any
    ) -> None:
        if not isinstance(statement, (Delete, Update)):
            return
        if self._changes.has_doomed():
            self._record_doomed(connection)
        link = changed_link(statement, connection, self._coverage)
        if link is None or is_disabled(None):
            return
        for before, after in keys_matched(link, connection, statement, many or ([one] if one else [])):
            if isinstance(statement, Delete):
                self._changes.will_go(connection, link, before)
                continue
            if before != after:
                self._changes.will_move(connection, link, before)
            self._changes.linked(connection, link, [after])
        if self._changes.has_doomed():
            self._record_doomed(connection)

    def _after_execute(
        self, connection: Connection, statement: Any, many: Sequence[Any], one: Mapping[str, Any], _: Any, result: Any
    ) -> None:
        link = changed_link(statement, connection, self._coverage)
        if link is None or is_disabled(None):
            return
        if isinstance(statement, Insert):
            keys = keys_inserted(link, many or ([one] if one else []), result)
            if keys is None:
                warnings.warn(f"{UnrecordedStatement(statement)}", SAWarning, stacklevel=2)
                return
            self._changes.linked(connection, link, keys)
        if not self.flushing:
            self._record()

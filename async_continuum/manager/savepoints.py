"""Warn where SQLite would lose a savepoint: its driver must not decide by itself when a transaction begins."""

from __future__ import annotations

import warnings
from weakref import WeakSet

from sqlalchemy import Connection, Engine, event

from async_continuum.dialects import begins_by_itself, has_begun

MESSAGE = (
    "A savepoint starts on SQLite without BEGIN, so that a rollback of the transaction around it would not undo what "
    "was released from it. Use SQLAlchemy's recipe: "
    "https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#pysqlite-serializable"
)

_seen: WeakSet[Engine] = WeakSet()
_warned: WeakSet[Engine] = WeakSet()


def watch(connection: Connection) -> None:
    """Have the savepoints of an engine of SQLite checked, where its driver begins transactions by itself."""
    if connection.dialect.name != "sqlite" or connection.engine in _seen:
        return
    _seen.add(connection.engine)
    if begins_by_itself(connection):
        event.listen(connection.engine, "savepoint", _check)


def _check(connection: Connection, _: str | None) -> None:
    if connection.engine not in _warned and not has_begun(connection):
        _warned.add(connection.engine)
        warnings.warn(MESSAGE, RuntimeWarning, stacklevel=2)

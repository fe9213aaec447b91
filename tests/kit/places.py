"""Give each test a database of its own, as good as new, and the engines that open it."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import URL, Engine, MetaData, create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

from tests.kit.renewal import Renewal
from tests.kit.servers import Servers
from tests.kit.sqlite import BUSY_TIMEOUT, Begin, use_begin_recipe

# Far from UTC and with half an hour: a moment that is stored or read in the session's time zone shows at once.
TIME_ZONE = "Asia/Kolkata"


@dataclass(eq=False)
class Place:
    """One database, and every engine that was opened on it. Lives for one test."""

    backend: str
    url: URL
    made: MetaData | None = None
    engines: list[AsyncEngine | Engine] = field(default_factory=list)
    renewal: Renewal | None = None
    """How the database becomes as good as new for another test, and with it the engine that knows its statements."""

    def usual_engine(self) -> AsyncEngine:
        """Open the engine that most tests need only one of; what it has compiled for one test serves the next."""
        if self.renewal is None:
            return self.engine()
        self.engines.append(self.renewal.engine)
        return self.renewal.engine

    def engine(self, *, sqlite_begin: Begin = "BEGIN", **options: Any) -> AsyncEngine:
        """Open another engine on the same database; it is disposed of with the place.

        `sqlite_begin` says how transactions begin on SQLite; other databases begin by themselves.
        """
        # What SQLAlchemy takes for a file by itself since 2.0.38.
        options.setdefault("poolclass", AsyncAdaptedQueuePool)
        engine = create_async_engine(self.url, connect_args=self._connect_args(), **options)
        if self.backend == "sqlite":
            use_begin_recipe(engine.sync_engine, begin=sqlite_begin)
        self.engines.append(engine)
        return engine

    def sync_engine(self, *, sqlite_begin: Begin = "BEGIN", **options: Any) -> Engine:
        """Open a synchronous engine on the same database; it needs psycopg, or pymysql."""
        connect_args: dict[str, Any]
        if self.backend == "sqlite":
            url, connect_args = self.url.set(drivername="sqlite"), self._connect_args()
        elif self.backend == "mariadb":
            url, connect_args = self.url.set(drivername="mariadb+pymysql"), self._connect_args()
        else:
            url = self.url.set(drivername="postgresql+psycopg")
            connect_args = {"options": f"-c timezone={TIME_ZONE}"}
        engine = create_engine(url, connect_args=connect_args, **options)
        if self.backend == "sqlite":
            use_begin_recipe(engine, begin=sqlite_begin)
        self.engines.append(engine)
        return engine

    def _connect_args(self) -> dict[str, Any]:
        match self.backend:
            case "sqlite":
                return {"timeout": BUSY_TIMEOUT}
            case "postgresql":
                return {"server_settings": {"timezone": TIME_ZONE}}
            case _:
                # Here a key of 0 would ask for the next number.
                return {"init_command": "SET sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')"}

    async def dispose(self) -> None:
        """Close every connection to the database."""
        for engine in self.engines:
            if isinstance(engine, AsyncEngine):
                await engine.dispose()
            else:
                engine.dispose()
        self.engines.clear()


@dataclass(eq=False)
class Places:
    """Where databases are made, and finished ones that new ones are copied from. Lives for the test session.

    Creating the tables of a large Base takes longer than most tests; copying a database does not; on PostgreSQL,
    emptying the copy that another test is done with takes less still.
    """

    folder: Path
    servers: Servers
    templates: dict[tuple[str, MetaData], Place] = field(default_factory=dict)
    idle: dict[tuple[str, MetaData], list[Place]] = field(default_factory=dict)

    @asynccontextmanager
    async def fresh(self, backend: str, metadata: MetaData | None = None) -> AsyncIterator[Place]:
        """Give an empty database, or one with the tables of `metadata`, and take it away afterwards."""
        if metadata is None:
            place = await self._make(backend, None)
        elif idle := self.idle.get((backend, metadata)):
            place = idle.pop()
        else:
            place = await self._make(backend, await self._template(backend, metadata))
            place.renewal = await Renewal.of(place.engine(), self.templates[backend, metadata].url)
        try:
            yield place
        finally:
            if metadata is not None and place.renewal is not None and await place.renewal.renew():
                await place.dispose()
                self.idle.setdefault((backend, metadata), []).append(place)
            else:
                await place.dispose()
                await self._drop(place)

    async def close(self) -> None:
        """Take the templates away, and their copies."""
        for place in (*self.templates.values(), *chain.from_iterable(self.idle.values())):
            await self._drop(place)

    async def _template(self, backend: str, metadata: MetaData) -> Place:
        if (backend, metadata) not in self.templates:
            template = await self._make(backend, None)
            async with template.engine().begin() as connection:
                await connection.run_sync(metadata.create_all)
            await template.dispose()
            template.made = metadata
            self.templates[backend, metadata] = template
        return self.templates[backend, metadata]

    async def _make(self, backend: str, template: Place | None) -> Place:
        name = f"test_{uuid4().hex[:12]}"
        made = template.made if template else None
        if backend == "sqlite":
            file = self.folder / f"{name}.db"
            if template:
                shutil.copyfile(str(template.url.database), file)
            return Place(backend, URL.create("sqlite+aiosqlite", database=str(file)), made)

        copied = f" TEMPLATE {template.url.database}" if template and backend == "postgresql" else ""
        await self._administer(backend, f"CREATE DATABASE {name}{copied}")
        place = Place(backend, self.servers.url(backend).set(database=name), made)
        if template and not copied:
            async with place.engine().begin() as connection:
                await connection.run_sync(template.made.create_all)
        return place

    async def _drop(self, place: Place) -> None:
        match place.backend:
            case "sqlite":
                _remove_file(Path(str(place.url.database)))
            case "postgresql":
                # FORCE, for a test that failed with a connection in its hand.
                await self._administer(place.backend, f"DROP DATABASE {place.url.database} WITH (FORCE)")
            case _:
                await self._administer(place.backend, f"DROP DATABASE {place.url.database}")

    async def _administer(self, backend: str, statement: str) -> None:
        engine = create_async_engine(self.servers.url(backend), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(statement))
        await engine.dispose()


def _remove_file(file: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)

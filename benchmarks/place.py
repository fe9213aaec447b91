"""One contender on one database: what a workload is handed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, Connection, Engine, Insert, insert, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from benchmarks.contenders import Contender
from benchmarks.databases import open_async_engine, open_engine
from benchmarks.measure import Backends
from benchmarks.models import text_for
from benchmarks.sessions import awaited_sessions


@dataclass(eq=False)
class Place:
    """A contender with its database open. Lives as long as the worker process."""

    contender: Contender
    engine: AsyncEngine | Engine | None
    backends: Backends | None
    quick: bool

    @property
    def backend(self) -> str:
        return self.contender.backend

    @property
    def sync_engine(self) -> Engine | None:
        return self.engine.sync_engine if isinstance(self.engine, AsyncEngine) else self.engine

    def session(self, **options: Any) -> Any:
        """Open a session that this contender records."""
        options = {**getattr(self.contender, "session_options", {}), **options}
        if isinstance(self.engine, AsyncEngine):
            return AsyncSession(self.engine, **options)
        assert self.engine is not None
        return awaited_sessions(self.engine, **options)()

    async def run(self, function: Callable[[Connection], Any]) -> Any:
        """Run a function on a connection, in a transaction, past all recording of sessions."""
        if isinstance(self.engine, AsyncEngine):
            async with self.engine.begin() as connection:
                return await connection.run_sync(function)
        assert self.engine is not None
        with self.engine.begin() as connection:
            return function(connection)

    async def empty(self) -> None:
        """Take every row away."""
        await self.run(self.contender.empty)

    async def analyze(self) -> None:
        """Let the planner see what the tables hold, as autovacuum would have by now."""
        if self.backend == "postgresql":
            await self.run(lambda connection: connection.execute(text("ANALYZE")))

    async def add_articles(self, number: int) -> None:
        """Insert articles 1 to `number` as a recorded transaction, and let them have their first version."""
        async with self.session() as session:
            await self.contender.opening(session)
            session.add_all(self.articles(number))
            await session.flush()
            await self.contender.written(session, "insert", range_of_keys(number))
            await session.commit()

    def articles(self, number: int) -> list[Any]:
        """Make new articles, of `Article`."""
        return rows_of(self.contender.Article, number)

    async def count(self) -> int:
        """Count the versions stored."""
        count: int = await self.run(self.contender.versions)
        return count


def rows_of(model: Any, number: int) -> list[Any]:
    """Make new objects of a model, all with the same text."""
    return [model(name=f"name {i}", content=text_for(i), views=i) for i in range(1, number + 1)]


def insert_live(model: Any, number: int) -> tuple[Insert, Sequence[dict[str, Any]]]:
    """Give a Core insert of rows 1 to `number`, and its parameters."""
    rows = [{"id": i, "name": f"name {i}", "content": text_for(i), "views": i} for i in range(1, number + 1)]
    return insert(model.__table__), rows


def range_of_keys(number: int) -> list[int]:
    """List the keys that the database gives to the first rows."""
    return list(range(1, number + 1))


async def open_place(contender: Contender, url: URL | None, *, quick: bool) -> Place:
    """Declare a contender's models and make its tables in an empty database."""
    contender.declare()
    if url is None:
        return Place(contender, None, None, quick)
    engine: AsyncEngine | Engine = open_engine(url) if contender.synchronous else open_async_engine(url)
    place = Place(contender, engine, None, quick)
    assert place.sync_engine is not None
    place.backends = Backends(place.sync_engine)
    contender.bind(engine)
    await place.run(contender.install)
    if hasattr(contender, "installed"):
        await contender.installed()
    return place

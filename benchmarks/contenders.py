"""Who is measured: the same models without history, and with ours. The others are in `peers` and `floor`."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, select, text, true
from sqlalchemy.orm import DeclarativeBase

from benchmarks.models import declare, declare_many, declare_related


class NotRecorded(Exception):
    """This contender cannot do what a workload asks for."""


class Contender:
    """The models without history, and what a workload asks of the others. Lives in one worker process."""

    name = "plain"
    label = "unversioned"
    module = "sqlalchemy"
    backends: tuple[str, ...] = ("postgresql", "sqlite", "process")
    synchronous = False
    keeps_history = False
    version_table: str | None = None
    """The table whose rows are the versions; counted to see that everything was recorded."""
    closes = False
    """Whether versions have `end_transaction_id`."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.Base: type[DeclarativeBase] = type("Base", (DeclarativeBase,), {})
        self.Article: Any = None
        self.Note: Any = None

    @property
    def baseline(self) -> str:
        """The contender without history on the same driver."""
        return "plain-sync" if self.synchronous else "plain"

    def declare(self) -> None:
        """Declare the models, versioned in this contender's way."""
        self.Article, self.Note = declare(self.Base)

    def declare_many(self, number: int) -> None:
        """Declare that many models, versioned in this contender's way."""
        declare_many(self.Base, number)

    def declare_related(self) -> SimpleNamespace:
        """Declare models that are related to each other, versioned in this contender's way."""
        return declare_related(self.Base)

    def bind(self, engine: Any) -> None:
        """Take note of the engine, before the tables are created."""

    def install(self, connection: Connection) -> None:
        """Create the tables, and what else recording needs."""
        self.Base.metadata.create_all(connection)

    def empty(self, connection: Connection) -> None:
        """Take every row away."""
        tables = [f'"{name}"' for name in self.tables()]
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE"))
        else:
            with self.muted(connection):
                for table in tables:
                    connection.execute(text(f"DELETE FROM {table}"))

    @contextmanager
    def muted(self, connection: Connection) -> Iterator[None]:
        """Let the block write without being recorded by the database."""
        yield

    def tables(self) -> list[str]:
        """List every table that holds rows."""
        return [table.name for table in self.Base.metadata.sorted_tables]

    def versions(self, connection: Connection) -> int:
        """Count the versions stored."""
        assert self.version_table is not None
        return connection.execute(text(f"SELECT count(*) FROM {self.version_table}")).scalar() or 0

    async def opening(self, session: Any) -> None:
        """Do what must come before the first flush of a transaction."""

    async def written(self, session: Any, operation: str, keys: Sequence[int]) -> None:
        """Do what must come after a flush, for contenders that do not see it themselves."""

    async def changesets(self, session: Any, key: int, number: int) -> int:
        """Read the versions of an entity with all their changesets; here, as many live objects."""
        return len((await session.scalars(select(self.Article).limit(number))).all())

    async def past(self, session: Any, moment: int) -> int:
        """Read the state of all entities at a moment; here, of now."""
        return len((await session.scalars(select(self.Article))).all())

    def books(self, related: SimpleNamespace) -> tuple[Any, Any]:
        """Give the class that shows books as they were at first, and the condition for it; here, as they are."""
        return related.Book, true()

    async def take_back(self, session: Any, related: SimpleNamespace, by_hand: Callable[[], None]) -> None:
        """Make an author and its books what they were at first; here, by hand."""
        by_hand()

    @asynccontextmanager
    async def viewed(self, session: Any, moment: int) -> AsyncIterator[Any]:
        """Give a session that sees the models as they were at a moment; here, as they are."""
        yield session


class SyncPlain(Contender):
    """The models without history, on the synchronous drivers."""

    name = "plain-sync"
    label = "unversioned, sync"
    backends = ("postgresql", "sqlite")
    synchronous = True


class Ours(Contender):
    """async_continuum."""

    name = "ours"
    label = "async_continuum"
    module = "async_continuum"
    keeps_history = True
    version_table = "article_version"
    strategy = "validity"
    native = False

    def __init__(self, backend: str) -> None:
        super().__init__(backend)
        self.closes = self.strategy == "validity"

    def plugins(self) -> list[Any]:
        """List the plugins to record with."""
        return []

    def _make_versioned(self) -> dict[str, Any]:
        from async_continuum import Versioned, make_versioned

        options: Any = {"strategy": self.strategy, "native_versioning": self.native}
        make_versioned(user_cls=None, options=options, plugins=self.plugins())
        return {"mixins": (Versioned,), "attributes": {"__versioned__": {}}}

    def declare(self) -> None:
        self.Article, self.Note = declare(self.Base, **self._make_versioned())

    def declare_many(self, number: int) -> None:
        declare_many(self.Base, number, **self._make_versioned())

    def declare_related(self) -> SimpleNamespace:
        from async_continuum import Versioned

        return declare_related(self.Base, mixins=(Versioned,))

    async def changesets(self, session: Any, key: int, number: int) -> int:
        from async_continuum import changesets, versions_of

        versions = await versions_of(session, self.Article, key)
        return sum(bool(changed) for changed in (await changesets(session, versions)).values())

    async def past(self, session: Any, moment: int) -> int:
        from async_continuum import alive_at, version_class

        version = version_class(self.Article)
        return len((await session.scalars(select(version).where(alive_at(version, moment)))).all())

    def books(self, related: SimpleNamespace) -> tuple[Any, Any]:
        from async_continuum import version_class

        version = version_class(related.Book)
        return version, version.operation_type == 0

    async def take_back(self, session: Any, related: SimpleNamespace, by_hand: Callable[[], None]) -> None:
        from async_continuum import versions_of

        version = await versions_of(session, related.Author, 1).first()
        await version.revert(session, relations=["books"])

    @asynccontextmanager
    async def viewed(self, session: Any, moment: int) -> AsyncIterator[Any]:
        from async_continuum import as_of

        async with as_of(session, moment) as past:
            yield past


class OursSubquery(Ours):
    """async_continuum with the strategy that closes nothing."""

    name = "ours-subquery"
    label = "async_continuum, subquery"
    strategy = "subquery"


class OursPlugins(Ours):
    """async_continuum with all five plugins on."""

    name = "ours-plugins"
    label = "async_continuum, five plugins"

    def plugins(self) -> list[Any]:
        from async_continuum import plugins

        return [
            plugins.PropertyModTrackerPlugin(),
            plugins.TransactionChangesPlugin(),
            plugins.TransactionMetaPlugin(),
            plugins.ActivityPlugin(),
            plugins.NullDeletePlugin(),
        ]


class OursNative(Ours):
    """async_continuum with triggers that record."""

    name = "ours-native"
    label = "async_continuum, native"
    backends = ("postgresql",)
    native = True

    @contextmanager
    def muted(self, connection: Connection) -> Iterator[None]:
        # What `versioning_disabled()` tells the triggers.
        setting = text("SELECT set_config('async_continuum.disabled', :value, true)")
        connection.execute(setting, {"value": "*"})
        yield
        connection.execute(setting, {"value": ""})


class OursSync(Ours):
    """async_continuum in a synchronous session, for the comparison with the peers on their own drivers."""

    name = "ours-sync"
    label = "async_continuum, sync"
    backends = ("postgresql", "sqlite")
    synchronous = True

    async def changesets(self, session: Any, key: int, number: int) -> int:
        raise NotRecorded("history is read in an AsyncSession")


def all_contenders() -> dict[str, type[Contender]]:
    """Name every contender, the ones that the others are compared with first."""
    from benchmarks import floor, peers

    known: list[type[Contender]] = [Contender, Ours, OursSubquery, OursPlugins, OursNative, *floor.CONTENDERS]
    known += [SyncPlain, OursSync, *peers.CONTENDERS]
    return {contender.name: contender for contender in known}

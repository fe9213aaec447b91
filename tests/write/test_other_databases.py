"""A database that nobody has written anything for gets the same history, by plain statements."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import delete, event, insert, select, update
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.dialects.sqlite.base import SQLiteTypeCompiler
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Mapped, mapped_column

from async_continuum import Operation, Versioned, verify, version_class, versions_of
from tests.kit.own import Own, own

__all__ = ["own"]


class PlainTypes(SQLiteTypeCompiler):
    """Only an INTEGER counts up by itself here."""

    def visit_BIGINT(self, type_: Any, **options: Any) -> str:
        return "INTEGER"


class PlainDialect(SQLiteDialect_aiosqlite):
    """SQLite under a name that nothing is known of."""

    name = "plain"
    supports_statement_cache = True
    type_compiler_cls = PlainTypes


registry.register("plain.aiosqlite", __name__, "PlainDialect")


@pytest.fixture(params=["validity", "subquery"])
def models(request: pytest.FixtureRequest, own: Own) -> Any:
    Base, _ = own(options={"strategy": request.param})

    class Book(Versioned, Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None]
        pages: Mapped[int] = mapped_column(server_default="1")

    return Base, Book


@pytest.fixture
async def sessions(models: Any, tmp_path: Any) -> AsyncIterator[async_sessionmaker[AsyncSession]]:
    engine = create_async_engine(f"plain+aiosqlite:///{tmp_path}/plain.db")

    @event.listens_for(engine.sync_engine, "connect")
    def autocommit(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    async with engine.begin() as connection:
        await connection.run_sync(models[0].metadata.create_all)
    yield async_sessionmaker(engine, expire_on_commit=False)
    await engine.dispose()


async def told(session: AsyncSession, Book: Any, key: int) -> list[tuple[Any, ...]]:
    return [(each.operation_type, each.name, each.pages) for each in await versions_of(session, Book, key)]


async def test_objects_and_statements_in_several_flushes(models: Any, sessions: Any) -> None:
    _, Book = models
    async with sessions() as session:
        books = [Book(id=key, name="a") for key in range(1, 6)]
        session.add_all(books)
        await session.flush()
        books[0].name = "b"
        await session.flush()
        await session.execute(update(Book).where(Book.id == 2).values(pages=Book.pages + 1))
        await session.delete(books[2])
        await session.commit()
        assert await told(session, Book, 1) == [(Operation.INSERT, "b", 1)]
        assert await told(session, Book, 2) == [(Operation.INSERT, "a", 2)]
        assert await told(session, Book, 3) == []

        books[0].name = "c"
        await session.flush()
        books[0].name = "b"
        books[3].name = "d"
        await session.flush()
        books[3].name = "e"
        await session.execute(delete(Book).where(Book.id == 5))
        await session.execute(insert(Book).values(id=5, name="z"))
        await session.commit()
        assert await told(session, Book, 1) == [(Operation.INSERT, "b", 1)]
        assert await told(session, Book, 4) == [(Operation.INSERT, "a", 1), (Operation.UPDATE, "e", 1)]
        assert await told(session, Book, 5) == [(Operation.INSERT, "a", 1), (Operation.UPDATE, "z", 1)]

        await session.delete(books[3])
        await session.commit()
        assert (await told(session, Book, 4))[-1] == (Operation.DELETE, "e", 1)
        assert await verify(session, Book) == []
        open_ones = select(version_class(Book)).where(version_class(Book).end_transaction_id.is_(None))
        assert len((await session.scalars(open_ones)).all()) == 4


async def test_a_savepoint_that_is_rolled_back(models: Any, sessions: Any) -> None:
    _, Book = models
    async with sessions() as session:
        book = Book(id=1, name="a")
        session.add(book)
        await session.flush()
        async with session.begin_nested() as savepoint:
            book.name = "b"
            await session.flush()
            await savepoint.rollback()
        await session.commit()
        assert await told(session, Book, 1) == [(Operation.INSERT, "a", 1)]
        await session.refresh(book)
        assert book.name == "a"
        (version,) = await versions_of(session, Book, 1)
        book.name = "c"
        await session.commit()
        await version.revert(session)
        await session.commit()
        assert [name for _, name, _ in await told(session, Book, 1)] == ["a", "c", "a"]

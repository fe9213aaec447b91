"""What a transaction reads grows with its rows, and not with their square: PostgreSQL counts what it reads.

Nothing is known of a transaction's own id when a statement is planned: the statistics end before it. To PostgreSQL it
looks as if it had one version, and an index on it alone were the way to find that of an entity.
"""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Table, delete, insert, inspect, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from async_continuum import Versioned, VersioningManager, make_versioned
from async_continuum.plugins import Plugin, PropertyModTrackerPlugin, TransactionChangesPlugin
from tests.kit.of_models import base, manager
from tests.kit.own import new_base

__all__ = ["base", "manager"]

Sessions = async_sessionmaker[AsyncSession]

ROWS, OTHERS = 300, 1_500
MOST = 200
"""How much may be read for each row: some look-ups and passes over the tables; not all that was written."""


def declare(strategy: str, *plugins: Plugin, native: bool) -> SimpleNamespace:
    Base: type[DeclarativeBase] = new_base()
    options: Any = {"strategy": strategy, "native_versioning": native}
    manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls=None, options=options, plugins=plugins)

    class Animal(Versioned, Base):
        __tablename__ = "animal"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(default="animal")
        name: Mapped[str | None]

    class Dog(Animal):
        __tablename__ = "dog"
        __mapper_args__ = {"polymorphic_identity": "dog"}
        id: Mapped[int] = mapped_column(ForeignKey("animal.id", ondelete="CASCADE"), primary_key=True)
        breed: Mapped[str | None]

    tagged = Table(
        "tagged",
        Base.metadata,
        Column("book_id", ForeignKey("book.id", ondelete="CASCADE"), primary_key=True),
        Column("tag_id", ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True),
    )

    class Book(Versioned, Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None]
        breed: Mapped[str | None]
        tags: Mapped[list["Tag"]] = relationship(secondary=tagged)

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    return SimpleNamespace(Base=Base, manager=manager, Book=Book, Dog=Dog, Tag=Tag, tagged=tagged, native=native)


DECLARED = {
    "sessions": declare("validity", native=False),
    "sessions, no ends": declare("subquery", native=False),
    "triggers": declare("validity", native=True),
    "triggers, no ends": declare("subquery", native=True),
    "sessions, plugins": declare("validity", PropertyModTrackerPlugin(), TransactionChangesPlugin(), native=False),
    "triggers, plugins": declare("validity", PropertyModTrackerPlugin(), native=True),
}


@pytest.fixture(params=DECLARED)
def models(request: pytest.FixtureRequest) -> SimpleNamespace:
    return DECLARED[request.param]


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """PostgreSQL, which plans by statistics and counts what it reads."""
    from tests.kit import backends

    missing = backends.BACKENDS["postgresql"].missing
    if missing:
        pytest.skip(f"postgresql: {missing}")
    return "postgresql"


def rows(model: Any, first: int, number: int, **values: Any) -> list[Any]:
    return [model(id=n, name="a", breed="b", **values) for n in range(first, first + number)]


async def change(session: AsyncSession, objects: list[Any], name: str, value: Any) -> None:
    for each in objects:
        setattr(each, name, value)
    await session.flush()


async def go(session: AsyncSession, objects: list[Any]) -> None:
    for each in objects:
        await session.delete(each)
    await session.flush()


async def update_twice(session: AsyncSession, model: Any, objects: list[Any]) -> None:
    await change(session, objects, "name", "b")
    await change(session, objects, "breed", "c")


async def there_and_back(session: AsyncSession, model: Any, objects: list[Any]) -> None:
    await change(session, objects, "breed", "c")
    await change(session, objects, "breed", "b")


async def update_and_delete(session: AsyncSession, model: Any, objects: list[Any]) -> None:
    await change(session, objects, "name", "b")
    await go(session, objects)


async def delete_and_insert(session: AsyncSession, model: Any, objects: list[Any]) -> None:
    await go(session, objects)
    session.add_all(rows(model, 1, ROWS))
    await session.flush()


async def insert_and_delete(session: AsyncSession, model: Any, objects: list[Any]) -> None:
    more = rows(model, 10_000, ROWS)
    session.add_all(more)
    await session.flush()
    await change(session, more, "breed", "c")
    await go(session, more)


async def live_again(session: AsyncSession, model: Any, objects: list[Any]) -> None:
    session.add_all(rows(model, 20_000, ROWS))
    await session.flush()


async def by_statements(session: AsyncSession, model: Any, objects: list[Any]) -> None:
    unsynchronised: Any = {"execution_options": {"synchronize_session": False}}
    ours = model.id.between(1, ROWS)
    await session.execute(update(model).where(ours).values(breed="c"), **unsynchronised)
    await session.execute(update(model).where(ours).values(breed="d"), **unsynchronised)
    await session.execute(update(model).where(ours).values(breed="b"), **unsynchronised)


async def delete_by_statement(session: AsyncSession, model: Any, objects: list[Any]) -> None:
    unsynchronised: Any = {"execution_options": {"synchronize_session": False}}
    top = inspect(model).base_mapper.class_
    await session.execute(delete(top).where(top.id.between(1, ROWS)), **unsynchronised)
    session.expunge_all()
    session.add_all(rows(model, 1, ROWS))
    await session.flush()


LIVES: dict[str, Callable[..., Awaitable[None]]] = {
    each.__name__: each
    for each in (
        update_twice,
        there_and_back,
        update_and_delete,
        delete_and_insert,
        insert_and_delete,
        live_again,
        by_statements,
        delete_by_statement,
    )
}


async def prepare(session: AsyncSession, model: Any) -> None:
    """Give the tables a history that is longer than what is done, and statistics of it."""
    session.add_all(rows(model, 1, ROWS))
    session.add_all(rows(model, 100_000, OTHERS))
    doomed = rows(model, 20_000, ROWS)
    session.add_all(doomed)
    await session.commit()
    for each in doomed:
        await session.delete(each)
    await session.commit()
    await session.execute(text("ANALYZE"))
    await session.commit()
    session.expunge_all()


async def read_so_far(session: AsyncSession) -> int:
    count = "SELECT COALESCE(sum(seq_tup_read + idx_tup_fetch), 0)::int FROM pg_stat_xact_user_tables"
    return int((await session.execute(text(count))).scalar_one())


@pytest.mark.parametrize("name", ["Book", "Dog"])
@pytest.mark.parametrize("life", LIVES)
async def test_what_is_read_for_entities(sessions: Sessions, models: SimpleNamespace, name: str, life: str) -> None:
    model = getattr(models, name)
    async with sessions() as session:
        await prepare(session, model)
        objects = (await session.scalars(select(model).where(model.id.between(1, ROWS)))).all()
        before = await read_so_far(session)
        await LIVES[life](session, model, objects)
        read = await read_so_far(session) - before
        await session.commit()
    assert read < ROWS * MOST, read / ROWS


@pytest.mark.parametrize("first", ["deleted", "inserted"])
async def test_what_is_read_for_links(sessions: Sessions, models: SimpleNamespace, first: str) -> None:
    tagged = models.tagged
    links = [{"book_id": n, "tag_id": 1} for n in range(1, ROWS + 1)]
    async with sessions() as session:
        session.add_all([*rows(models.Book, 1, OTHERS), models.Tag(id=1), models.Tag(id=2)])
        await session.flush()
        await session.execute(insert(tagged), [{"book_id": n, "tag_id": 2} for n in range(1, OTHERS + 1)])
        if first == "deleted":
            await session.execute(insert(tagged), links)
        await session.commit()
        await session.execute(text("ANALYZE"))
        await session.commit()
        before = await read_so_far(session)
        for deleted in (True, False) if first == "deleted" else (False, True):
            if deleted:
                await session.execute(delete(tagged).where(tagged.c.tag_id == 1))
            else:
                await session.execute(insert(tagged), links)
        read = await read_so_far(session) - before
        await session.commit()
    assert read < ROWS * MOST, read / ROWS

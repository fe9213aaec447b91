"""A row that is not there when a DELETE is prepared, and is there again when it runs: what goes is recorded."""

from typing import Any

import pytest
from sqlalchemy import ARRAY, Column, ForeignKey, Integer, String, Table, bindparam, delete, func, select, update
from sqlalchemy.exc import SAWarning
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.orm.exc import StaleDataError

from async_continuum import Versioned, VersioningManager, make_versioned
from tests.kit.databases import Databases
from tests.kit.history import told
from tests.kit.meanwhile import meanwhile
from tests.kit.places import Place

pytestmark = [
    pytest.mark.parametrize("backend", ["postgresql"], indirect=True),
    pytest.mark.sessions_record("a trigger records what goes when it goes, and what is back goes too"),
]

Sessions = async_sessionmaker[AsyncSession]

UNMATCHED = "expected to delete"
"""What SQLAlchemy says where an object's row is not there, as far as the driver counts rows."""


class Base(DeclarativeBase):
    pass


manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls=None)

labelled = Table(
    "labelled",
    Base.metadata,
    Column("item_id", ForeignKey("item.id"), primary_key=True),
    Column("label_id", ForeignKey("label.id"), primary_key=True),
)


class Item(Versioned, Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(20), default="first")
    labels: Mapped[list["Label"]] = relationship(secondary=labelled)


class Label(Versioned, Base):
    __tablename__ = "label"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Open(Versioned, Base):
    """Keeps no end of a version."""

    __versioned__ = {"strategy": "subquery"}
    __tablename__ = "open"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(20), default="first")


class Kept(Versioned, Base):
    """Of which drafts are not recorded."""

    __versioned__ = {"record_if": Column("name", String) != "draft"}
    __tablename__ = "kept"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(20), default="first")


def is_no_draft(change: Any) -> bool:
    return str(change.instance.name) != "draft"


class Chosen(Versioned, Base):
    """Of which drafts are not recorded, as a function says."""

    __versioned__ = {"record_if": is_no_draft}
    __tablename__ = "chosen"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(20), default="first")


class Spot(Versioned, Base):
    """A key of an array, and of another column."""

    __tablename__ = "spot"
    path: Mapped[tuple[int, ...]] = mapped_column(ARRAY(Integer, as_tuple=True), primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(20), default="first")


class Animal(Versioned, Base):
    __tablename__ = "animal"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(20), default="first")


class Dog(Animal):
    __tablename__ = "dog"
    __mapper_args__ = {"polymorphic_identity": "dog"}
    id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
    tricks: Mapped[int] = mapped_column(default=0)


@pytest.fixture
async def sessions(database: Databases) -> Sessions:
    return await database(Base, manager)


async def add(sessions: Sessions, *rows: Any) -> None:
    async with sessions() as session:
        session.add_all(rows)
        await session.commit()


async def remove(sessions: Sessions, model: type, key: Any) -> None:
    async with sessions() as session:
        await session.delete(await session.get_one(model, key))
        await session.commit()


KEYS: list[tuple[Any, Any, Any]] = [
    (Item, 1, lambda **given: Item(id=1, **given)),
    (Open, 1, lambda **given: Open(id=1, **given)),
    (Kept, 1, lambda **given: Kept(id=1, **given)),
    (Spot, ((1, 2), 1), lambda **given: Spot(path=(1, 2), part=1, **given)),
    (Dog, 1, lambda **given: Dog(id=1, **given)),
]
of_each_kind = pytest.mark.parametrize(("model", "key", "make"), KEYS, ids=[model.__name__ for model, *_ in KEYS])
IS_BACK = [("INSERT", "first"), ("DELETE", "first"), ("INSERT", "again")]


@of_each_kind
async def test_an_object_whose_row_has_come_back(
    sessions: Sessions, engine: AsyncEngine, model: Any, key: Any, make: Any
) -> None:
    await add(sessions, make())
    async with sessions() as session:
        gone = await session.get_one(model, key)
        await remove(sessions, model, key)
        await session.delete(gone)
        with (
            meanwhile(engine, "DELETE", lambda: add(sessions, make(name="again"))),
            pytest.warns(SAWarning, match=UNMATCHED),
        ):
            await session.commit()

    assert await told(sessions, model, key, "name") == IS_BACK
    async with sessions() as session:
        assert (await session.get_one(model, key)).name == "again"


async def test_of_several_objects_those_that_were_there_go(sessions: Sessions, engine: AsyncEngine) -> None:
    await add(sessions, *(Item(id=number) for number in range(1, 6)))
    async with sessions() as session:
        items = list(await session.scalars(select(Item).where(Item.id <= 4)))
        await remove(sessions, Item, 2)
        for item in items:
            await session.delete(item)
        with meanwhile(engine, "DELETE", lambda: add(sessions, Item(id=2, name="again"))):
            await session.commit()

    assert await told(sessions, Item, 2, "name") == IS_BACK
    async with sessions() as session:
        assert list(await session.scalars(select(Item.id).order_by(Item.id))) == [2, 5]
    for number in (1, 3, 4):
        assert await told(sessions, Item, number) == [("INSERT",), ("DELETE",)]


@pytest.mark.parametrize("model", [Kept, Chosen], ids=lambda model: model.__name__)
async def test_rows_that_are_not_recorded_go_with_others(sessions: Sessions, engine: AsyncEngine, model: Any) -> None:
    await add(sessions, model(id=1), model(id=2, name="draft"), model(id=3))
    async with sessions() as session:
        rows = list(await session.scalars(select(model)))
        await remove(sessions, model, 1)
        for row in rows:
            await session.delete(row)
        with meanwhile(engine, "DELETE", lambda: add(sessions, model(id=1, name="again"))):
            await session.commit()

    assert await told(sessions, model, 1, "name") == IS_BACK
    async with sessions() as session:
        assert list(await session.scalars(select(model.id))) == [1]


@pytest.mark.parametrize("model", [Item, Open, Kept, Animal], ids=lambda model: model.__name__)
@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
async def test_a_statement_by_key(sessions: Sessions, engine: AsyncEngine, model: Any, several: bool) -> None:
    await add(sessions, model(id=1), model(id=2))
    async with sessions() as session:
        await remove(sessions, model, 1)
        with meanwhile(engine, "DELETE", lambda: add(sessions, model(id=1, name="again"))):
            if several:
                table = model.__table__
                statement = delete(table).where(table.c.id == bindparam("key"))
                await session.execute(statement, [{"key": 1}, {"key": 2}])
            else:
                assert (await session.execute(delete(model).where(model.id == 1))).rowcount == 0
        await session.commit()

    assert await told(sessions, model, 1, "name") == IS_BACK
    assert await told(sessions, model, 2) == [("INSERT",), ("DELETE",)] if several else [("INSERT",)]


@pytest.mark.parametrize("condition", [Item.name.in_(["first", "again"]), Item.id.in_([1, 2])], ids=str)
async def test_a_statement_by_another_condition(sessions: Sessions, engine: AsyncEngine, condition: Any) -> None:
    await add(sessions, Item(id=1), Item(id=2))
    async with sessions() as session:
        await remove(sessions, Item, 1)
        with meanwhile(engine, "DELETE", lambda: add(sessions, Item(id=1, name="again"))):
            await session.execute(delete(Item).where(condition))
        await session.commit()

    assert await told(sessions, Item, 1, "name") == IS_BACK
    assert await told(sessions, Item, 2) == [("INSERT",), ("DELETE",)]


async def test_an_object_that_takes_another_key(sessions: Sessions, engine: AsyncEngine) -> None:
    await add(sessions, Item(id=1))
    async with sessions() as session:
        gone = await session.get_one(Item, 1)
        await remove(sessions, Item, 1)
        gone.id = 7
        # As where nobody has brought the row back.
        with (
            meanwhile(engine, "UPDATE item", lambda: add(sessions, Item(id=1, name="again"))),
            pytest.raises(StaleDataError),
        ):
            await session.flush()
        await session.rollback()

    assert await told(sessions, Item, 1, "name") == IS_BACK
    assert await told(sessions, Item, 7) == []


async def test_a_statement_that_gives_another_key(sessions: Sessions, engine: AsyncEngine) -> None:
    await add(sessions, Item(id=1))
    async with sessions() as session:
        await remove(sessions, Item, 1)
        with meanwhile(engine, "UPDATE item", lambda: add(sessions, Item(id=1, name="again"))):
            await session.execute(update(Item).where(Item.id == 1).values(id=7))
        await session.commit()

    assert await told(sessions, Item, 1, "name") == IS_BACK
    assert await told(sessions, Item, 7) == []


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_several_rows_that_are_given_other_keys(sessions: Sessions, place: Place, driver: str) -> None:
    engine = create_async_engine(place.url.set(drivername=f"postgresql+{driver}"))
    place.engines.append(engine)
    await add(sessions, Item(id=1), Item(id=2), Item(id=10))
    items = Item.__table__
    move = update(items).where(items.c.id == bindparam("old")).values(id=bindparam("new"))
    async with AsyncSession(engine) as session:
        await remove(sessions, Item, 1)
        with meanwhile(engine, "UPDATE item", lambda: add(sessions, Item(id=1, name="again"))):
            # The third moves on what the second has moved, and the last what was moved away and back.
            moves = [(1, 7), (2, 3), (3, 4), (10, 11), (11, 10), (10, 12)]
            await session.execute(move, [{"old": old, "new": new} for old, new in moves])
        await session.commit()

    assert await told(sessions, Item, 1, "name") == IS_BACK
    assert await told(sessions, Item, 7) == []
    for before, after in ((2, 4), (10, 12)):
        assert await told(sessions, Item, before) == [("INSERT",), ("DELETE",)]
        assert await told(sessions, Item, after) == [("INSERT",)]
    async with sessions() as session:
        assert list(await session.scalars(select(Item.id).order_by(Item.id))) == [1, 4, 12]


async def test_several_links_that_are_given_other_ends(sessions: Sessions, engine: AsyncEngine) -> None:
    await add(sessions, Item(id=1, labels=[Label(id=1)]), Item(id=2), Label(id=2), Label(id=3))
    move = update(labelled).where(labelled.c.label_id == bindparam("old")).values(label_id=bindparam("new"))
    async with sessions() as session:
        await unlink(sessions)
        with meanwhile(engine, "WITH async_continuum_done", lambda: link(sessions)):
            await session.execute(move, [{"old": 1, "new": 2}, {"old": 2, "new": 3}])
        await session.commit()
        assert list(await session.execute(select(labelled))) == [(1, 1)]


async def test_an_update_by_key(sessions: Sessions, engine: AsyncEngine) -> None:
    await add(sessions, Item(id=1))
    async with sessions() as session:
        await remove(sessions, Item, 1)
        with meanwhile(engine, "UPDATE item", lambda: add(sessions, Item(id=1, name="again"))):
            await session.execute(update(Item).where(Item.id == 1).values(name="changed"))
        await session.commit()

    assert await told(sessions, Item, 1, "name") == [*IS_BACK, ("UPDATE", "changed")]


async def link(sessions: Sessions) -> None:
    async with sessions() as session:
        await session.execute(labelled.insert().values(item_id=1, label_id=1))
        await session.commit()


async def unlink(sessions: Sessions) -> None:
    async with sessions() as session:
        await session.execute(delete(labelled).where(labelled.c.item_id == 1))
        await session.commit()


async def test_a_link_of_an_object(sessions: Sessions, engine: AsyncEngine) -> None:
    await add(sessions, Item(id=1, labels=[Label(id=1)]))
    async with sessions() as session:
        item = await session.get_one(Item, 1)
        labels = await session.run_sync(lambda _: item.labels)
        await unlink(sessions)
        labels.clear()
        with meanwhile(engine, "DELETE FROM labelled", lambda: link(sessions)):
            await session.commit()
        assert await session.scalar(select(func.count()).select_from(labelled)) == 1


async def test_a_link_by_a_statement(sessions: Sessions, engine: AsyncEngine) -> None:
    await add(sessions, Item(id=1, labels=[Label(id=1)]))
    async with sessions() as session:
        await unlink(sessions)
        by_key = delete(labelled).where(labelled.c.item_id == 1, labelled.c.label_id == 1)
        with meanwhile(engine, "DELETE FROM labelled", lambda: link(sessions)):
            await session.execute(by_key)
        await session.commit()
        assert await session.scalar(select(func.count()).select_from(labelled)) == 1

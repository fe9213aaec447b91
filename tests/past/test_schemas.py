"""Tables in schemas, of one name in several, and schemas that are translated, are found in the past where they are."""

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import ForeignKey, MetaData, String, func, select, text
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import Mapped, aliased, joinedload, mapped_column, relationship, selectinload

from async_continuum import Versioned, VersioningManager, as_of, make_versioned, transaction_class
from tests.kit.own import new_base
from tests.past.twice import ask_twice

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


def models() -> SimpleNamespace:
    """Make two tables of one name in two schemas, a third that keeps no history, and one without a schema."""
    Base: Any = new_base(MetaData())
    manager = make_versioned(
        mapper=Base, manager=VersioningManager(), user_cls=None, options={"transaction_table_name": "shop_transaction"}
    )

    class Item(Versioned, Base):
        __tablename__ = "item"
        __table_args__ = {"schema": "shop"}
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))
        stored: Mapped[list["Stored"]] = relationship(back_populates="item", order_by="Stored.id")

    class Stored(Versioned, Base):
        __tablename__ = "item"
        __table_args__ = {"schema": "store"}
        id: Mapped[int] = mapped_column(primary_key=True)
        place: Mapped[str] = mapped_column(String(50))
        item_id: Mapped[int] = mapped_column(ForeignKey("shop.item.id"))
        item: Mapped[Item] = relationship(back_populates="stored")

    class Plain(Base):
        __tablename__ = "item"
        __table_args__ = {"schema": "live"}
        id: Mapped[int] = mapped_column(primary_key=True)
        note: Mapped[str] = mapped_column(String(50))

    class Bare(Versioned, Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        word: Mapped[str] = mapped_column(String(50))

    return SimpleNamespace(Base=Base, manager=manager, Item=Item, Stored=Stored, Plain=Plain, Bare=Bare)


M = models()


def rows(statement: Any) -> Any:
    async def ask(session: Any, m: Any) -> Any:
        return sorted(tuple(row) for row in await session.execute(statement(m)))

    return ask


def loaded(statement: Any, name: str) -> Any:
    async def ask(session: Any, m: Any) -> Any:
        found = (await session.scalars(statement(m))).unique()
        return sorted((each.id, [other.id for other in getattr(each, name)]) for each in found)

    return ask


QUESTIONS = {
    "one": rows(lambda m: select(m.Item.id, m.Item.name)),
    "another of its name": rows(lambda m: select(m.Stored.place, m.Stored.item_id)),
    "the one without a schema": rows(lambda m: select(m.Bare.word)),
    "both": rows(lambda m: select(m.Item.name, m.Stored.place).join(m.Item.stored)),
    "all four": rows(
        lambda m: (
            select(m.Item.name, m.Stored.place, m.Plain.note, m.Bare.word)
            .join(m.Item.stored)
            .join(m.Plain, m.Plain.id == m.Item.id)
            .join(m.Bare, m.Bare.id == m.Plain.id)
        )
    ),
    "an alias": rows(lambda m: (lambda a: select(a.name, m.Item.name).join(m.Item, a.id < m.Item.id))(aliased(m.Item))),
    "any": rows(lambda m: select(m.Item.name).where(m.Item.stored.any(m.Stored.place == "attic"))),
    "a scalar subquery": rows(
        lambda m: select(
            m.Item.name, select(func.count()).where(m.Stored.item_id == m.Item.id).scalar_subquery(), m.Item.id
        )
    ),
    "a table of Core": rows(lambda m: select(m.Item.__table__)),
    "selectinload": loaded(lambda m: select(m.Item).options(selectinload(m.Item.stored)), "stored"),
    "joinedload": loaded(lambda m: select(m.Item).options(joinedload(m.Item.stored)).limit(5), "stored"),
}


async def opening(session: Any, m: Any) -> None:
    session.add_all([m.Plain(id=n, note=f"note {n}") for n in (1, 2)] + [m.Bare(id=n, word="w") for n in (1, 2)])
    session.add_all([m.Item(id=n, name=f"item {n}") for n in (1, 2)])
    await session.flush()
    session.add_all([m.Stored(id=n, place="attic", item_id=1 + n % 2) for n in (1, 2, 3)])


async def moving(session: Any, m: Any) -> None:
    (await session.get_one(m.Item, 1)).name = "renamed"
    (await session.get_one(m.Stored, 2)).place = "cellar"
    (await session.get_one(m.Stored, 1)).item_id = 1
    (await session.get_one(m.Bare, 1)).word = "another"


async def clearing(session: Any, m: Any) -> None:
    await session.delete(await session.get_one(m.Stored, 2))
    await session.delete(await session.get_one(m.Stored, 3))
    for item in await session.scalars(select(m.Item)):
        item.name += "!"
    session.add(m.Item(id=3, name="third"))
    await session.flush()
    (await session.get_one(m.Stored, 1)).item_id = 3
    (await session.get_one(m.Stored, 1)).place = "cellar"


STORY = [opening, moving, clearing]


async def create(place: Any, *schemas: str) -> None:
    async with place.engine().begin() as connection:
        for schema in schemas:
            await connection.execute(text(f"CREATE SCHEMA {schema}"))


async def test_tables_of_one_name_are_told_apart_by_their_schemas(place, database):
    await create(place, "shop", "store", "live")
    sessions = await database(M.Base, M.manager)
    await ask_twice(sessions, M, transactions=transaction_class(M.Item), story=STORY, questions=QUESTIONS)


async def test_each_translation_of_schemas_has_its_own_past(place, engine):
    """Two tenants, whose transactions are numbered each on its own, in one database."""
    maps = {}
    for tenant in ("ann", "bob"):
        maps[tenant] = {None: tenant, "shop": f"{tenant}_shop", "store": f"{tenant}_store", "live": f"{tenant}_live"}
    await create(place, *(schema for translated in maps.values() for schema in translated.values()))
    transactions = transaction_class(M.Item)
    questions = {name: ask for name, ask in QUESTIONS.items() if name != "an alias"}
    moments = {}
    for tenant, translated in maps.items():
        bound = engine.execution_options(schema_translate_map=translated)
        async with bound.begin() as connection:
            await connection.run_sync(M.Base.metadata.create_all)
        sessions = async_sessionmaker(bound)
        if tenant == "bob":
            # So that his ids are others than hers.
            async with sessions.begin() as session:
                session.add(M.Item(id=9, name="first"))
            async with sessions.begin() as session:
                await session.delete(await session.get_one(M.Item, 9))
        await ask_twice(sessions, M, transactions=transactions, story=STORY, questions=questions)
        async with sessions() as session:
            moments[tenant] = (await session.scalars(select(transactions).order_by(transactions.id.desc()))).all()[1]

    # What a statement itself translates is looked up there too: the moment, where it is first asked for.
    names = select(M.Item.name).order_by(M.Item.id)
    async with as_of(engine.execution_options(schema_translate_map=maps["ann"]), moments["bob"].issued_at) as past:
        hers = (await past.scalars(names)).all()
        his = (await past.scalars(names, execution_options={"schema_translate_map": maps["bob"]})).all()
    assert hers == ["renamed!", "item 2!", "third"]
    assert his == ["renamed", "item 2"]

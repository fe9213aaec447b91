"""A session tells triggers who writes and what not to record, and shares its transaction with them."""

from typing import Any

import pytest
from sqlalchemy import column, false, func, insert, select, text, true, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

import async_continuum as ac
from async_continuum.native import installed
from tests.kit.databases import Databases
from tests.kit.history import told
from tests.kit.own import Own
from tests.kit.places import Place as Database
from tests.kit.statements import Statements
from tests.native.shop import Item, Order, Tag, User

Sessions = async_sessionmaker[AsyncSession]
Transaction: Any = ac.transaction_class(Item)


async def signed(sessions: Sessions) -> list[tuple[Any, ...]]:
    async with sessions() as session:
        rows = await session.execute(select(Transaction.user_id, Transaction.remote_addr).order_by(Transaction.id))
        return [tuple(row) for row in rows]


async def test_who_writes_reaches_the_triggers_and_nobody_else(sessions: Sessions) -> None:
    async with sessions() as session:
        with ac.versioning_context(user=5, remote_addr="10.0.0.7"):
            session.add(Item(id=1, name="a"))
            await session.commit()
        await session.execute(text("UPDATE item SET name = 'b'"))
        await session.commit()
        ac.set_context(session, user=User(id=6))
        await session.execute(update(Item).values(name="c"))
        await session.commit()
        savepoint = await session.begin_nested()
        await session.execute(text("UPDATE item SET name = 'never'"))
        await savepoint.rollback()
        await (await session.connection()).exec_driver_sql("UPDATE item SET name = 'd'")
        await session.commit()

    assert await signed(sessions) == [(5, "10.0.0.7"), (None, None), (6, None), (6, None)]
    assert await told(sessions, Item, 1, "name") == [("INSERT", "a"), ("UPDATE", "b"), ("UPDATE", "c"), ("UPDATE", "d")]


async def test_a_session_sends_at_most_one_statement_more(sessions: Sessions, statements: Statements) -> None:
    async with sessions() as session:
        session.add(Item(id=1, name="a"))
        await session.commit()  # looks once whether the triggers are there
        statements.texts.clear()
        session.add_all([Item(id=number, name="b") for number in range(2, 50)])
        await session.commit()
        assert len(statements) == 1
        statements.texts.clear()
        with ac.versioning_context(user=5):
            session.add_all([Item(id=number, name="b") for number in range(50, 90)])
            await session.flush()
            session.add(Item(id=99, name="b"))
            await session.commit()
        assert len(statements) == 3


@pytest.mark.unaccounted
async def test_what_is_disabled_no_trigger_records(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add_all([Item(id=1, name="a"), Tag(id=1)])
        await session.commit()
        with ac.versioning_disabled():
            await session.execute(text("UPDATE item SET name = 'b'"))
            session.add(Item(id=2, name="b"))
            await session.flush()
        await session.execute(insert(Item), [{"id": 3, "name": "c"}])
        with ac.versioning_disabled(Tag):
            session.add_all([Tag(id=2), Item(id=4, name="d")])
            await session.commit()

    assert [await told(sessions, Item, key, "name") for key in (1, 2, 3, 4)] == [
        [("INSERT", "a")],
        [],
        [("INSERT", "c")],
        [("INSERT", "d")],
    ]
    assert await told(sessions, Tag, 2) == []


async def test_the_transaction_that_was_asked_for(sessions: Sessions, database: Databases) -> None:
    async with sessions() as session:
        first = await ac.current_transaction(session, model=Item)
        first.remote_addr = "before"
        session.add(Item(id=1, name="a"))
        await session.flush()
        assert (await ac.versions_of(session, Item, 1)[0]).transaction_id == first.id
        await session.commit()

        second = await ac.current_transaction(session, model=Item)
        await session.execute(text("UPDATE item SET name = 'b'"))
        second.remote_addr = "after"
        await session.commit()

        third = await ac.current_transaction(session, model=Item)
        await session.execute(text("UPDATE item SET name = 'c'"))
        await session.execute(text("UPDATE item SET name = 'b'"))
        await session.commit()
        await session.refresh(third)
        database.allowed_empty.add(third.id)

    assert await signed(sessions) == [(None, "before"), (None, "after"), (None, None)]


async def test_triggers_and_sessions_sign_one_transaction_together(sessions: Sessions) -> None:
    async with sessions() as session:
        with ac.versioning_context(user=5):
            session.add_all([Order(id=1, state="new"), Item(id=1, name="a")])
            await session.flush()
            await session.execute(text("UPDATE item SET name = 'b'"))
            (await session.get_one(Order, 1)).state = "open"
            await session.commit()
        session.add(Order(id=2, state="new"))
        await session.flush()
        session.add(Item(id=2, name="a"))
        await session.flush()
        await session.delete(await session.get_one(Order, 2))
        await session.commit()
        session.add(Order(id=3, state="new"))
        await session.flush()
        await session.execute(text("INSERT INTO item VALUES (3, 'a', 0)"))
        await session.execute(text("DELETE FROM item WHERE id = 3"))
        await session.delete(await session.get_one(Order, 3))
        await session.commit()

        ids = await session.scalars(select(Transaction.id).order_by(Transaction.id))
        first, second = ids.all()
        orders = ac.version_class(Order)
        assert (await session.scalars(select(orders.transaction_id))).all() == [first]
        items: Any = ac.version_class(Item)
        assert (await session.scalars(select(items.transaction_id).order_by(items.id))).all() == [first, second]


@pytest.mark.parametrize("again", ["Order", "Item"])
async def test_an_overtaken_transaction_moves_as_a_whole(sessions: Sessions, place: Database, again: str) -> None:
    """What triggers and what the session have written, whoever of them sees that a younger one was faster."""
    other = async_sessionmaker(place.engine())
    async with sessions() as session:
        session.add_all(
            [Order(id=1, state="new"), Item(id=1, name="a"), Item(id=2, name="a"), Order(id=2, state="new")]
        )
        await session.commit()
    async with sessions() as slow:
        mine = await ac.current_transaction(slow, model=Item)
        await slow.execute(text("UPDATE item SET name = 'slow' WHERE id = 2"))
        (await slow.get_one(Order, 2)).state = "slow"
        await slow.flush()
        before = mine.id
        async with other() as fast:
            (await fast.get_one(Order, 1)).state = "fast"
            await fast.execute(text("UPDATE item SET name = 'fast' WHERE id = 1"))
            await fast.commit()
        if again == "Item":
            await slow.execute(text("UPDATE item SET name = 'slow' WHERE id = 1"))
        else:
            await slow.execute(update(Order).where(Order.id == 1).values(state="slow"))
        await slow.commit()
        await slow.refresh(mine)
        assert mine.id > before + 1

    assert [name for _, name in await told(sessions, Item, 1, "name")] == ["a", "fast", *(["slow"] * (again == "Item"))]
    assert await told(sessions, Item, 2, "name") == [("INSERT", "a"), ("UPDATE", "slow")]
    assert await told(sessions, Order, 2, "state") == [("INSERT", "new"), ("UPDATE", "slow")]


async def test_triggers_come_and_go_with_the_option(sessions: Sessions, engine: AsyncEngine, own: Own) -> None:
    Base, manager = own(options={"native_versioning": False})

    class Thing(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "thing"
        id = Item.__table__.c.id._copy()
        name = Item.__table__.c.name._copy()

    transactions = {"transaction_table_name": "thing_transaction"}
    ac.remove_versioning(manager=manager)
    histories = []
    for native in (False, True, False):
        manager = ac.make_versioned(
            mapper=Base,
            manager=ac.VersioningManager(),
            user_cls=None,
            options={"native_versioning": native, **transactions},  # type: ignore[typeddict-item]
        )
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
            found = await connection.run_sync(installed)
            assert ((None, "thing") in found) is native
        async with sessions() as session:
            session.add(Thing(name=f"{native}"))
            await session.commit()
            things = await session.scalars(select(Thing))
            for thing in things:
                thing.name = f"{thing.name}."
            await session.commit()
            histories = [len(await ac.versions_of(session, Thing, key)) for key in (1, 2, 3)][: len(histories) + 1]
            if native:
                await session.execute(text("DROP TRIGGER async_continuum_update ON thing"))
                await session.commit()
        if native:
            async with async_sessionmaker(engine)() as session:
                await session.execute(text("SELECT 1"))
        ac.remove_versioning(manager=manager)
    assert histories == [4, 3, 2]


async def test_missing_triggers_are_missed(place: Database, own: Own) -> None:
    Base, _ = own(options={"native_versioning": True})

    class Lost(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "lost"
        id = Item.__table__.c.id._copy()

    engine = place.engine()
    async with engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            await connection.run_sync(table.create, checkfirst=True)
    async with async_sessionmaker(engine)() as session:
        session.add(Lost())
        with pytest.raises(ac.ImproperlyConfigured, match="the triggers of lost are not in the database"):
            await session.commit()


@pytest.mark.parametrize(
    ("condition", "problem"),
    [(lambda change: True, "a function of Python's"), (column("id") == object(), "cannot be written into a trigger")],
    ids=["a function", "a value without a literal"],
)
def test_what_no_trigger_can_ask_is_refused(own: Own, condition: Any, problem: str) -> None:
    Base, _ = own(options={"native_versioning": True})
    members = {"__tablename__": "choosy", "__versioned__": {"record_if": condition}}
    with pytest.raises(ac.ImproperlyConfigured, match=problem) as refused:
        type("Choosy", (ac.Versioned, Base), {**members, "id": Item.__table__.c.id._copy()})
    assert refused.value.option == "record_if"


async def test_tables_are_dropped_with_their_triggers(sessions: Sessions, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        left = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        assert await connection.scalar(text(left)) > 0
        await connection.run_sync(Item.metadata.drop_all)
        assert await connection.scalar(text(left)) == 0
        assert await connection.scalar(select(func.count()).select_from(text("pg_trigger"))) == 0


async def test_the_transaction_is_known_once_a_trigger_has_signed(sessions: Sessions) -> None:
    async with sessions() as session:
        assert (await ac.current_transaction(session, model=Item)).id is None
        session.add(Item(id=1, name="a"))
        await session.flush()
        assert (await ac.current_transaction(session, model=Item)).id is not None
        await session.commit()
        await session.execute(text("UPDATE item SET name = 'b'"))
        asked = await ac.current_transaction(session, model=Item)
        assert await session.get(Transaction, asked.id) is asked
        asked.remote_addr = "10.0.0.7"
        await session.commit()
        await session.refresh(asked)
        asked_for = asked.id
        version: Any = await ac.versions_of(session, Item, 1)[-1]
        assert version.transaction_id == asked_for

    assert await signed(sessions) == [(None, None), (None, "10.0.0.7")]


@pytest.mark.parametrize("signs_before", [False, True])
async def test_a_user_inserted_by_the_same_flush_signs_it(sessions: Sessions, signs_before: bool) -> None:
    async with sessions() as session:
        if signs_before:
            session.add(Item(id=9, name="a"))
            await session.flush()
        user = User()
        session.add_all([Item(id=1, name="a"), user])
        with ac.versioning_context(user=user, remote_addr="10.0.0.7"):
            await session.flush()
            await session.execute(text("UPDATE item SET name = 'b'"))
            await session.commit()
            await session.execute(update(Item).values(name="c"))
            await session.commit()
        await session.refresh(user)
        key = user.id

    assert await signed(sessions) == [(None, None) if signs_before else (key, "10.0.0.7"), (key, "10.0.0.7")]


async def test_a_user_without_a_key_fails_what_triggers_have_signed(sessions: Sessions) -> None:
    async with sessions() as session:
        with ac.versioning_context(user=User()):
            session.add(User(id=1))
            await session.commit()
            session.add(Item(id=1, name="a"))
            with pytest.raises(ValueError, match="flush it first"):
                await session.commit()
            await session.rollback()
            with pytest.raises(ValueError, match="flush it first"):
                await session.execute(insert(Item).values(id=1, name="a"))
            await session.rollback()
            await session.execute(text("INSERT INTO item VALUES (1, 'a', 0)"))
            with pytest.raises(ValueError, match="flush it first"):
                await session.commit()
            await session.rollback()
    assert await signed(sessions) == []


@pytest.mark.parametrize(("asked", "recorded"), [(true(), 1), (false(), 0)])
async def test_a_condition_may_ask_about_no_column(engine: AsyncEngine, own: Own, asked: Any, recorded: int) -> None:
    Base, _ = own(options={"native_versioning": True})
    members = {"__tablename__": "note", "__versioned__": {"record_if": asked}, "id": Item.__table__.c.id._copy()}
    type("Note", (ac.Versioned, Base), members)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(text("INSERT INTO note VALUES (1)"))
        assert await connection.scalar(text("SELECT count(*) FROM note_version")) == recorded
        await connection.run_sync(Base.metadata.drop_all)


async def test_what_a_connection_has_written_first_makes_no_trigger_slow_later(sessions: Sessions) -> None:
    """The plans of its functions are kept, with what they had cost then: none of them is worth compiling each time."""
    async with sessions() as session:
        functions = await session.execute(
            text(
                "SELECT p.proname, coalesce('jit=off' = ANY (p.proconfig), false) FROM pg_proc p"
                " JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'plpgsql'"
                " WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'item%'"
            )
        )
        found = functions.all()
    assert found
    assert [name for name, without_jit in found if not without_jit] == []

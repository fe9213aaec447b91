"""A session in the past is opened of a session, an engine or a sessionmaker, at a moment of any kind."""

import asyncio
import gc
import pickle
import weakref
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, func, inspect, select
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession, async_object_session, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session, with_loader_criteria

from async_continuum import NoSession, as_of, current_transaction, set_context, transaction_class, versions_of
from tests.domain import Article, Comment, Price, Seat

EVER = datetime(2999, 1, 1, tzinfo=UTC)
Transaction = transaction_class(Article)


async def write(session, name):
    """Give the article another name, and the transaction that did it."""
    article = await session.get(Article, 1)
    if article is None:
        session.add(Article(id=1, name=name))
    else:
        article.name = name
    transaction = await current_transaction(session, model=Article)
    await session.commit()
    return inspect(transaction).identity[0]


def asks_for_tables(statement):
    """Other registries of this process make it look which of their tables this database has."""
    return "pg_catalog" in statement or "PRAGMA" in statement


async def name_at(source, moment):
    async with as_of(source, moment) as past:
        return await past.scalar(select(Article.name))


async def test_a_moment_of_any_kind_is_looked_up_once(session, statements):
    before = datetime.now(UTC) - timedelta(days=1)
    first = await write(session, "one")
    second = await write(session, "two")
    await session.delete(await session.get_one(Article, 1))
    await session.commit()
    transactions = [await session.get_one(Transaction, each) for each in (first, second)]
    version = await versions_of(session, Article, 1)[0]
    await session.rollback()
    for moment in (first, transactions[0], version):
        assert await name_at(session, moment) == "one"
    assert await name_at(session, transactions[1]) == "two"
    issued = [(await session.get_one(Transaction, each)).issued_at for each in (first, second)]
    assert await name_at(session, issued[0]) == "one"
    assert await name_at(session, issued[1].astimezone()) == "two"
    for moment in (before, EVER):
        async with as_of(session, moment) as past:
            assert (await past.scalars(select(Article))).all() == []
            assert await past.get(Article, 1) is None

    async with as_of(session, EVER) as past:
        before = len(statements)
        await past.get(Article, 1)
        await past.scalars(select(Comment))
        assert len(statements) == before + 2
    before = len(statements)
    async with as_of(session, first):
        assert len([each for each in statements[before:] if not asks_for_tables(each)]) == 1


async def test_what_is_no_moment_is_refused(session):
    await write(session, "one")
    for moment in (datetime(2026, 1, 1), "yesterday", None, True):
        with pytest.raises(ValueError, match=r"naive|no moment"):
            as_of(session, moment)
    with pytest.raises(ValueError, match="there is no transaction 99"):
        async with as_of(session, 99):
            pass
    with pytest.raises(ValueError, match=f"there is no transaction {2**63}"):
        async with as_of(session, 2**63):
            pass
    with pytest.raises(ValueError, match="no id yet"):
        as_of(session, Transaction())


async def test_the_source_is_a_session_an_engine_or_a_sessionmaker(engine, sessions):
    class Named(AsyncSession):
        """A session class of the user's own."""

    class Sync(Session):
        """And the one inside it."""

    maker = async_sessionmaker(engine, class_=Named, sync_session_class=Sync, expire_on_commit=False, autoflush=False)
    async with sessions() as session:
        first = await write(session, "one")
        await write(session, "two")
        assert await name_at(session, first) == "one"
        scoped = async_scoped_session(sessions, asyncio.current_task)
        assert await name_at(scoped, first) == "one"
        await scoped.remove()
    assert await name_at(engine, first) == "one"
    assert await name_at(sessions, first) == "one"
    assert await name_at(async_sessionmaker(engine, autobegin=False), first) == "one"
    async with as_of(maker, first) as past:
        assert type(past) is Named
        assert isinstance(past.sync_session, Sync)
        assert (past.sync_session.expire_on_commit, past.sync_session.autoflush) == (False, False)
    async with maker() as session, as_of(session, first) as past:
        assert type(past) is Named
        assert not past.sync_session.autoflush
    assert engine.pool.checkedout() == 0
    with pytest.raises(TypeError, match="expected an AsyncSession, an AsyncEngine or an async_sessionmaker"):
        as_of(Sync(), first)


async def test_one_connection_serves_the_present_and_any_number_of_pasts(place, sessions, manager):
    engine = place.engine(pool_size=1, max_overflow=0, pool_timeout=1)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        first = await write(session, "one")
        second = await write(session, "two")
        live = await session.get_one(Article, 1)
        live.name = "three"
        await session.flush()
        async with as_of(session, first) as one, as_of(session, second) as two, as_of(one, EVER) as present:
            views = [await each.get_one(Article, 1) for each in (one, two, present)]
            assert [each.name for each in (*views, live)] == ["one", "two", "three", "three"]
            assert len({id(each) for each in (*views, live)}) == 4
            assert await session.scalar(select(Article.name)) == "three"
            assert await one.scalar(select(Article.name)) == "one"
            await one.commit()
            await two.rollback()
            assert await one.scalar(select(Article.name)) == "one"
            assert (await two.get_one(Article, 1)).name == "two"
            async with one.begin_nested():
                assert await one.scalar(select(func.count()).select_from(Article)) == 1
        assert session.in_transaction()
        assert live in session
        with pytest.raises(InvalidRequestError, match="is over"):
            await one.scalar(select(Article.name))
        await session.rollback()
        assert await session.scalar(select(Article.name)) == "two"
    assert engine.pool.checkedout() == 0


async def test_what_fails_in_a_savepoint_of_the_past_leaves_the_present_alone(session):
    first = await write(session, "one")
    await write(session, "two")
    (await session.get_one(Article, 1)).name = "three"
    async with as_of(session, first) as past:
        with pytest.raises(DBAPIError):
            async with past.begin_nested():
                await past.scalar(select(func.no_such_function(Article.name)))
        assert await past.scalar(select(Article.name)) == "one"
        with pytest.raises(ZeroDivisionError):
            async with past.begin_nested() as savepoint:
                assert savepoint.is_active
                raise ZeroDivisionError
    await session.commit()
    assert await name_at(session, EVER) == "three"


async def test_savepoints_of_the_source_come_and_go(session):
    first = await write(session, "one")
    await write(session, "two")
    savepoint = await session.begin_nested()
    (await session.get_one(Article, 1)).name = "three"
    await session.flush()
    async with as_of(session, EVER) as past:
        assert await past.scalar(select(Article.name)) == "three"
        await savepoint.rollback()
        assert await past.scalar(select(Article.name)) == "two"
    assert await name_at(session, EVER) == "two"
    async with as_of(session, first) as past:
        await session.commit()
        assert await past.scalar(select(Article.name)) == "one"


async def test_what_stands_on_the_session_holds_in_the_past(engine, sessions):
    class Tenant(Session):
        """Sees the articles of one tenant only."""

    @event.listens_for(Tenant, "do_orm_execute")
    def only_theirs(state):
        if not state.is_column_load and not state.is_relationship_load:
            state.statement = state.statement.options(
                with_loader_criteria(Article, Article.name == state.session.info["tenant"])
            )

    maker = async_sessionmaker(engine, sync_session_class=Tenant, info={"tenant": "one"})
    async with sessions() as session:
        first = await write(session, "one")
        session.add(Article(id=2, name="two"))
        await session.commit()
    async with maker() as session:
        set_context(session, remote_addr="10.0.0.1")
        async with as_of(session, EVER) as past:
            assert (await past.scalars(select(Article.id))).all() == [1]
            assert past.info == {"tenant": "one"}
        assert await name_at(session, first) == "one"


async def test_a_version_and_a_transaction_lead_to_their_state(session):
    session.add_all([Article(id=1, name="one", comments=[Comment(id=1, text="a"), Comment(id=2, text="b")])])
    session.add(Seat(hall="A", number=1, guest="ann"))
    await session.commit()
    await session.delete(await session.get_one(Comment, 2))
    (await session.get_one(Seat, ("A", 1))).guest = "bob"
    await session.commit()
    await session.delete(await session.get_one(Article, 1, populate_existing=True))
    await session.commit()

    versions = await versions_of(session, Article, 1)
    article = await versions[0].as_live(session)
    assert type(article) is Article
    assert pickle.loads(pickle.dumps(article)).name == "one"
    gc.collect()
    assert sorted(each.id for each in await article.awaitable_attrs.comments) == [1, 2]
    assert await versions[-1].as_live(session) is None
    assert (await (await versions_of(session, Seat, ("A", 1))[0]).as_live(session)).guest == "ann"

    transaction = await session.get_one(Transaction, 2)
    past = await transaction.state(session)
    assert [each.id for each in await past.scalars(select(Comment).order_by(Comment.id))] == [1]
    assert (await past.get_one(Seat, ("A", 1))).guest == "bob"
    async with await (await session.get_one(Transaction, 1)).state(session) as past:
        found = await past.get_one(Article, 1)
        assert [version.name for version in await found.awaitable_versions()] == ["one", "one"]
        assert async_object_session(found) is past
    kept = weakref.ref(async_object_session(article).sync_session)
    del article, found, past
    gc.collect()
    assert kept() is None


async def test_nothing_is_recorded_of_a_session_in_the_past(session):
    await write(session, "one")
    async with as_of(session, EVER) as past:
        await past.get(Article, 1)
        await past.commit()
        assert past.sync_session.info == {}
    await session.commit()
    assert (await session.scalars(select(Transaction.id))).all() == [1]


async def test_each_strategy_and_a_stream(session):
    for amount in (1, 2, 3):
        price = await session.get(Price, 1)
        if price is None:
            session.add(Price(id=1, amount=amount))
        else:
            price.amount = amount
        await session.commit()
    for moment in (1, 2, 3):
        async with as_of(session, moment) as past:
            found = [each.amount async for each in await past.stream_scalars(select(Price))]
            assert found == [moment]


async def test_an_object_that_outlives_its_session_is_detached(sessions):
    async with sessions() as session:
        await write(session, "one")
        async with as_of(session, EVER) as past:
            article = await past.get_one(Article, 1)
    assert article.name == "one"
    with pytest.raises(NoSession):
        article.awaitable_versions()

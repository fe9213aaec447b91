"""What one commit has done under several transaction tables is of one moment: the past shows all of it, or nothing."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from async_continuum import as_of, current_transaction, versions_of
from async_continuum.manager import agreeing
from tests.past.test_registries import ONE, TWO, seen


@pytest.fixture
async def sessions(database: Any) -> Any:
    made = await database(ONE.Base, ONE.manager)
    await database(TWO.Base, TWO.manager)
    return made


async def issued(session: Any) -> list[Any]:
    return [(await session.scalars(select(each.Transaction.issued_at))).all()[-1] for each in (ONE, TWO)]


async def assert_that_the_newest_commit_is_whole(session: Any, before: Any, after: Any) -> None:
    for each in (ONE, TWO):
        newest = await versions_of(session, each.Thing, 1)[-1]
        async with as_of(session, newest) as past:
            assert await seen(past) == after
        transaction = await session.get(each.Transaction, newest.transaction_id)
        async with as_of(session, transaction.issued_at - timedelta(milliseconds=1)) as past:
            assert await seen(past) == before


async def test_two_tables_changed_in_one_flush(sessions):
    async with sessions() as session:
        for number in range(5):
            await asyncio.sleep(0.003)  # SQLite's clock has milliseconds
            before = await seen(session)
            await session.merge(ONE.Thing(id=1, name=f"a{number}"))
            await session.merge(TWO.Thing(id=1, name=f"A{number}"))
            await session.commit()
            await assert_that_the_newest_commit_is_whole(session, before, [[f"a{number}"], [f"A{number}"]])


@pytest.mark.parametrize("at_once", [timedelta(0), timedelta(seconds=5)], ids=["later id", "same id"])
async def test_two_tables_changed_in_two_flushes(sessions, monkeypatch, at_once):
    monkeypatch.setattr(agreeing, "_AT_ONCE", at_once)
    async with sessions() as session:
        session.add_all([ONE.Thing(id=1, name="a"), TWO.Thing(id=1, name="A")])
        await session.commit()
        (await session.get_one(ONE.Thing, 1)).name = "b"
        await session.flush()
        first = await session.scalar(select(ONE.Transaction.id).order_by(ONE.Transaction.id.desc()).limit(1))
        await asyncio.sleep(0.02)
        (await session.get_one(TWO.Thing, 1)).name = "B"
        await session.commit()
        await assert_that_the_newest_commit_is_whole(session, [["a"], ["A"]], [["b"], ["B"]])
        newest = await versions_of(session, ONE.Thing, 1)[-1]
        assert (newest.transaction_id > first) is (at_once == timedelta(0))


async def test_a_loaded_transaction_says_the_moment_that_is_stored(sessions):
    async with sessions() as session:
        session.sync_session.expire_on_commit = False
        session.add(ONE.Thing(id=1, name="a"))
        await session.flush()
        loaded = (await session.scalars(select(ONE.Transaction))).one()
        await asyncio.sleep(0.02)
        session.add(TWO.Thing(id=1, name="A"))
        await session.commit()
        assert [loaded.issued_at] * 2 == await issued(session)


async def test_a_moment_that_was_given_stays(sessions):
    async with sessions() as session:
        session.add(ONE.Thing(id=1, name="a"))
        await session.commit()
        (given,) = (await session.scalars(select(ONE.Transaction.issued_at))).all()
        (await current_transaction(session, model=ONE.Thing)).issued_at = given
        (await session.get_one(ONE.Thing, 1)).name = "b"
        session.add(TWO.Thing(id=1, name="A"))
        await session.commit()
        assert (await session.scalars(select(ONE.Transaction.issued_at))).all() == [given, given]

"""A savepoint of the session's connection takes history back with it as one of the session does."""

import itertools
from typing import Any

import pytest
from sqlalchemy import delete, insert, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

import async_continuum as ac
from tests.domain import Article
from tests.kit.history import told

Sessions = async_sessionmaker[AsyncSession]

KINDS = ["session", "connection"]
ENDS = ["rollback", "commit"]


async def begin(session: AsyncSession, kind: str) -> Any:
    return await (session if kind == "session" else await session.connection()).begin_nested()


async def write(session: AsyncSession, key: int, name: str) -> None:
    await session.execute(insert(Article).values(id=key, name=name))


@pytest.mark.parametrize("before", [False, True], ids=["first", "after a change"])
@pytest.mark.parametrize(("outer", "inner"), list(itertools.product(KINDS, KINDS)))
@pytest.mark.parametrize(("outer_ends", "inner_ends"), list(itertools.product(ENDS, ENDS)))
async def test_what_is_undone_has_no_history_and_what_stays_is_signed(
    sessions: Sessions, before: bool, outer: str, inner: str, outer_ends: str, inner_ends: str
) -> None:
    if (outer, inner) == ("connection", "session") and outer_ends == "rollback":
        pytest.skip("SQLAlchemy's session would go on with its savepoint, which is gone with that around it")
    expected = set()
    async with sessions() as session:
        if before:
            await write(session, 1, "before")
            expected.add(1)
        first = await begin(session, outer)
        await write(session, 2, "outer")
        second = await begin(session, inner)
        await write(session, 3, "inner")
        await getattr(second, inner_ends)()
        await write(session, 4, "between")
        third = await begin(session, inner)
        await write(session, 5, "again")
        await third.rollback()
        await getattr(first, outer_ends)()
        if outer_ends == "commit":
            expected |= {2, 4} | ({3} if inner_ends == "commit" else set())
        await write(session, 6, "after")
        await session.commit()
    async with sessions() as session:
        await write(session, 7, "next")
        await session.commit()
        ids = [(await ac.versions_of(session, Article, key))[0].transaction_id for key in sorted(expected | {6, 7})]
    assert len(set(ids[:-1])) == 1
    assert ids[-1] > ids[0]
    for key in range(1, 6):
        assert bool(await told(sessions, Article, key, "name")) is (key in expected)


async def test_a_savepoint_around_a_whole_session_takes_its_history_back(sessions: Sessions) -> None:
    async with sessions() as session:
        await write(session, 1, "one")
        await session.commit()
    async with sessions() as session:
        connection = await session.connection()
        savepoint = await connection.begin_nested()
        await session.execute(update(Article).values(name="two"))
        await session.execute(delete(Article))
        await savepoint.rollback()
        (await session.get_one(Article, 1)).name = "three"
        await session.commit()
    assert await told(sessions, Article, 1, "name") == [("INSERT", "one"), ("UPDATE", "three")]


async def test_what_was_written_before_a_savepoint_stays_where_it_is_rolled_back(sessions: Sessions) -> None:
    async with sessions() as session:
        with ac.versioning_context(remote_addr="alice"):
            session.add(Article(id=1, name="one"))
            await session.flush()
            connection = await session.connection()
            savepoint = await connection.begin_nested()
            (await session.get_one(Article, 1)).name = "tried"
            await session.flush()
            await savepoint.rollback()
            await session.refresh(await session.get_one(Article, 1))
            (await session.get_one(Article, 1)).name = "two"
            await session.commit()
        (version,) = await ac.versions_of(session, Article, 1)
        assert (version.name, (await version.awaitable_attrs.transaction).remote_addr) == ("two", "alice")


async def test_savepoints_of_an_engine_with_options_are_told_once(sessions: Sessions, engine: AsyncEngine) -> None:
    async with sessions() as session:
        await write(session, 1, "by the engine itself")
        await session.commit()
    async with AsyncSession(engine.execution_options(logging_token="beside")) as session:
        connection = await session.connection()
        async with connection.begin_nested():
            await write(session, 2, "outer")
            inner = await connection.begin_nested()
            await write(session, 3, "inner")
            await inner.rollback()
            await write(session, 4, "between")
        await session.commit()
        ids = {(await ac.versions_of(session, Article, key))[0].transaction_id for key in (2, 4)}
    assert len(ids) == 1
    assert await told(sessions, Article, 3) == []

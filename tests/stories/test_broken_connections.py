"""Tasks that are cancelled and connections that are killed in the middle of a flush leave a whole history."""

import asyncio
import random
from contextlib import suppress
from typing import Any

import pytest
from asyncpg.exceptions import InternalClientError
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from tests.domain import Article
from tests.kit.history import told
from tests.kit.places import Place

Sessions = async_sessionmaker[AsyncSession]


async def change_much(session: AsyncSession, key: int, name: str) -> None:
    session.add_all(Article(name=name) for _ in range(20))
    await session.flush()
    async with session.begin_nested():
        (await session.get_one(Article, key)).name = name
    session.add_all(Article(name=name) for _ in range(20))
    await session.commit()


def call_it_a_victim(dbapi_connection: Any, _: object) -> None:
    cursor = dbapi_connection.cursor()
    cursor.execute("SET application_name = 'victim'")
    cursor.close()
    dbapi_connection.commit()


@pytest.fixture
async def articles(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add_all(Article(name="first") for _ in range(4))
        await session.commit()


# Not on SQLite, where a connection that is cancelled within a statement keeps its lock until its thread is done.
@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_tasks_cancelled_at_any_moment(sessions: Sessions, articles: None) -> None:
    dice = random.Random(2)
    committed: list[str] = []

    async def work(name: str) -> None:
        async with sessions() as session:
            await change_much(session, 1, name)
            committed.append(name)

    for number in range(40):
        task = asyncio.create_task(work(f"{number}"))
        await asyncio.sleep(dice.random() * 0.03)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    names = [name for _, name in await told(sessions, Article, 1, "name")]
    # One that was cancelled while it committed may have been stored or not; one that returned has been.
    assert set(committed) <= set(names)
    assert names[1:] == sorted(names[1:], key=int)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_connections_killed_at_any_moment(sessions: Sessions, articles: None, place: Place) -> None:
    dice = random.Random(3)
    victims = place.engine(pool_size=4)
    event.listen(victims.sync_engine, "connect", call_it_a_victim)
    committed: list[str] = []
    killed = 0

    async def work(number: int) -> None:
        for attempt in range(15):
            name = f"{number}.{attempt}"
            try:
                async with async_sessionmaker(victims)() as session:
                    await change_much(session, number, name)
                    committed.append(name)
            except (DBAPIError, InternalClientError) as error:
                # asyncpg says the last where the connection ends while it prepares a statement; SQLAlchemy 2.0.31
                # hands it on as it is.
                invalidated = isinstance(error, DBAPIError) and error.connection_invalidated
                if not (invalidated or "closed" in str(error) or "cannot switch to state" in str(error)):
                    raise

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(number)) for number in (1, 2, 3, 4)]
        kill = text(
            "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE "
            "application_name = 'victim' AND state <> 'idle' ORDER BY random() LIMIT 1) AS unlucky"
        )
        async with place.engine().connect() as killer:
            await killer.execution_options(isolation_level="AUTOCOMMIT")
            while not all(task.done() for task in tasks):
                killed += await killer.scalar(kill) or 0
                await asyncio.sleep(dice.random() * 0.06)

    assert killed > 0
    names = [name for key in (1, 2, 3, 4) for _, name in await told(sessions, Article, key, "name")]
    assert set(committed) <= set(names)

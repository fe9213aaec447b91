"""The process keeps nothing: sessions that ended, failed or were cancelled leave no trace in memory."""

import asyncio
import gc
import random
import tracemalloc
from tracemalloc import Filter
from typing import Any
from weakref import WeakSet

import pytest
from sqlalchemy import delete, insert, update
from sqlalchemy.event import registry
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

import async_continuum as ac
from async_continuum.manager.recorder import Recorder
from tests.domain import Article, Comment, Tag

Sessions = async_sessionmaker[AsyncSession]

FIRST, LAST = 100, 1000


class Seen:
    """The recorders that were made, without keeping them. Lives for one test."""

    def __init__(self) -> None:
        self.alive: WeakSet[Recorder] = WeakSet()
        self.made = 0


@pytest.fixture
def recorders(monkeypatch: pytest.MonkeyPatch) -> Seen:
    seen = Seen()
    begin = Recorder.__init__

    def noted(self: Recorder, *args: Any) -> None:
        begin(self, *args)
        seen.alive.add(self)
        seen.made += 1

    monkeypatch.setattr(Recorder, "__init__", noted)
    return seen


async def succeed(session: AsyncSession, number: int) -> None:
    async with session.begin_nested():
        session.add(Article(id=number, name="one"))
    (await session.get_one(Article, number)).name = "two"
    await session.commit()


async def give_up(session: AsyncSession, number: int) -> None:
    session.add(Article(id=number, name="never"))
    await session.flush()
    await session.begin_nested()
    await session.delete(await session.get_one(Article, number))
    await session.flush()
    if number % 2:
        await session.rollback()


async def fail(session: AsyncSession, number: int) -> None:
    session.add(Article(id=number, name="never"))
    await session.flush()
    await session.delete(await session.get_one(Article, number))
    session.add_all([Tag(name="same"), Tag(name="same")])
    with pytest.raises(IntegrityError):
        await session.flush()


async def sign(session: AsyncSession, number: int) -> None:
    transaction = await ac.current_transaction(session, model=Article)
    transaction.remote_addr = "10.0.0.7"
    await give_up(session, number)


async def be_cancelled(sessions: Sessions, number: int, dice: random.Random) -> None:
    in_the_middle = asyncio.Event()

    async def work() -> None:
        async with sessions() as session:
            await succeed(session, number)
            await session.delete(await session.get_one(Article, number))
            await session.flush()
            in_the_middle.set()
            await asyncio.sleep(10)

    task = asyncio.create_task(work())
    if sessions.kw["bind"].dialect.name == "postgresql" and dice.random() < 0.5:
        await asyncio.sleep(dice.random() * 0.01)  # in the middle of a statement
    else:
        await in_the_middle.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def live_many_lives(sessions: Sessions, numbers: range, dice: random.Random) -> None:
    """Open so many sessions that end in every way."""
    for number in numbers:
        if number % 10 == 9:
            await be_cancelled(sessions, number, dice)
            continue
        async with sessions() as session:
            await [succeed, give_up, fail, sign][number % 4](session, number)
    # A session that is cancelled while it closes goes on closing, in a task of its own.
    if closing := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(closing)
    # The loop is still in the callback of the task that ended last, which holds the frames that it was cancelled in.
    await asyncio.sleep(0)
    gc.collect()


async def test_a_thousand_sessions_leave_no_recorder(sessions: Sessions, recorders: Seen) -> None:
    await live_many_lives(sessions, range(1, LAST), random.Random(1))

    assert recorders.made > LAST // 2
    assert len(recorders.alive) == 0


# Not on PostgreSQL, where caches of the driver's connections, opened anew after a cancellation, come and go.
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_memory_does_not_grow_from_session_to_session(sessions: Sessions) -> None:
    dice = random.Random(1)
    tracemalloc.start()
    try:
        await live_many_lives(sessions, range(1, FIRST), dice)
        listeners = len(registry._key_to_collection), len(registry._collection_to_key)
        early = tracemalloc.take_snapshot()
        await live_many_lives(sessions, range(FIRST, LAST), dice)
        late = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()

    assert grown(early, late, "*/async_continuum/*") < 1_000
    assert (len(registry._key_to_collection), len(registry._collection_to_key)) == listeners
    # Blocks, because one table of a dictionary that is resized is larger than what a hundred sessions would leave.
    # Where each session left a single object, there would be four times as many.
    assert len(late.traces) - len(early.traces) < (LAST - FIRST) // 4


def grown(early: tracemalloc.Snapshot, late: tracemalloc.Snapshot, where: str) -> int:
    """Say by how many bytes grew what was allocated in some files."""
    before, after = (
        sum(trace.size for trace in snapshot.filter_traces([Filter(True, where)]).traces) for snapshot in (early, late)
    )
    return after - before


async def test_what_is_compiled_of_a_statement_keeps_no_session(sessions: Sessions, recorders: Seen) -> None:
    comments = Comment.__table__
    async with sessions() as session:
        await session.execute(insert(Article), [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}])
        await session.execute(insert(comments).values(id=1, text="new", article_id=1))
        await session.execute(update(Article).values(name="three"))
        await session.execute(delete(comments))
        await session.execute(delete(Article).where(Article.id == 2))
        with pytest.raises(IntegrityError):
            await session.execute(update(Article).values(name=None))
        await session.rollback()
    gc.collect()
    assert recorders.made >= 1
    assert len(recorders.alive) == 0


async def test_a_session_that_is_forgotten_is_collected(sessions: Sessions, recorders: Seen) -> None:
    session = sessions()
    session.add(Article(id=1, name="one"))
    await session.flush()
    # One for each manager of the process that records this session.
    assert len(recorders.alive) == len(session.info) >= 1
    assert session.info
    await session.rollback()
    assert not session.info
    del session
    gc.collect()
    assert len(recorders.alive) == 0

"""Whoever writes at the same time: one open version for each row, and versions in the order of the commits."""

import asyncio
import random
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Integer, Sequence, String, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import async_continuum as ac
from async_continuum import Operation, Versioned, VersioningManager, make_versioned
from tests.kit import mode
from tests.kit.databases import Databases
from tests.kit.history import told
from tests.kit.places import Place
from tests.kit.rush import rush, watched

Sessions = async_sessionmaker[AsyncSession]

postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

ROWS = (1, 2, 3, 4, 5)


class Base(DeclarativeBase):
    pass


manager = make_versioned(mapper=Base, manager=VersioningManager(), options=mode.options(), user_cls=None)

stamps = Sequence("stamps", metadata=Base.metadata)


class Row(Versioned, Base):
    """What everybody writes to. `serial` and `stamp` are counted on under the row's lock: they tell the true order."""

    __tablename__ = "row"
    __mapper_args__ = {"confirm_deleted_rows": False}
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    serial: Mapped[int] = mapped_column(default=0)
    stamp: Mapped[int] = mapped_column(default=0)
    note: Mapped[str] = mapped_column(String(40), default="")


@pytest.fixture
async def rows(database: Databases) -> Sessions:
    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add_all(Row(id=number) for number in ROWS)
        await session.commit()
    return sessions


def some_rows(dice: random.Random) -> list[int]:
    """Two to four rows; mostly in one order, so that not every transaction ends in a deadlock."""
    chosen = dice.sample(ROWS, dice.randint(2, 4))
    return chosen if dice.random() < 0.15 else sorted(chosen)


async def update_some(session: AsyncSession, dice: random.Random) -> None:
    for number in some_rows(dice):
        row = await session.get_one(Row, number)
        row.serial = Row.serial + 1
        row.note = f"{dice.random()}"
        await session.flush()
        if dice.random() < 0.3:
            savepoint = await session.begin_nested()
            other = await session.get_one(Row, number)
            other.serial = Row.serial + 100
            await session.flush()
            await savepoint.rollback()
        await asyncio.sleep(dice.random() * 0.004)


async def live_and_die(session: AsyncSession, dice: random.Random) -> None:
    for number in some_rows(dice):
        row = await session.get(Row, number)
        if row is None:
            row = Row(id=number)
            session.add(row)
            await session.flush()
        # Counted on by an UPDATE of its own, when the row is locked, so that stamps are in the order of the locks.
        row.stamp = func.nextval("stamps")
        await session.flush()
        if dice.random() < 0.4:
            await session.delete(row)
            await session.flush()
            if dice.random() < 0.3:
                session.add(Row(id=number, note="again"))
                await session.flush()
                (await session.get_one(Row, number)).stamp = func.nextval("stamps")
                await session.flush()
        await asyncio.sleep(dice.random() * 0.004)


async def delete_or_insert(session: AsyncSession, dice: random.Random) -> None:
    """Several may delete the same row at once: all but one find nothing, and nobody complains."""
    for number in some_rows(dice)[:2]:
        row = await session.get(Row, number)
        await asyncio.sleep(dice.random() * 0.004)
        if row is None:
            session.add(Row(id=number, note=f"{dice.random()}"))
        else:
            await session.delete(row)
        await session.flush()


async def assert_in_the_order_of_commits(sessions: Sessions, counter: str) -> None:
    for number in ROWS:
        versions = await told(sessions, Row, number, counter)
        counted = [count for _, count in versions]
        assert counted == sorted(set(counted)), f"row {number}"


async def assert_one_open_version(sessions: Sessions) -> None:
    version: Any = ac.version_class(Row)
    async with sessions() as session:
        is_open = select(version.id, func.count()).where(version.end_transaction_id.is_(None)).group_by(version.id)
        assert sorted(await session.execute(is_open)) == [(number, 1) for number in ROWS]


@postgresql
async def test_sixteen_tasks_update_the_same_five_rows(rows: Sessions, place: Place) -> None:
    crowd = async_sessionmaker(place.engine(pool_size=16))
    async with watched(place.engine()) as seen:
        await rush(crowd, update_some, tasks=16, transactions=6)

    assert seen["lock waits"] > 0
    assert seen["renumberings"] > 0
    await assert_in_the_order_of_commits(rows, "serial")
    await assert_one_open_version(rows)


@postgresql
async def test_sixteen_tasks_delete_and_insert_the_same_five_rows(rows: Sessions, place: Place) -> None:
    crowd = async_sessionmaker(place.engine(pool_size=16))
    async with watched(place.engine()) as seen:
        await rush(crowd, live_and_die, tasks=16, transactions=4)

    assert seen["lock waits"] > 0
    assert seen["renumberings"] > 0
    await assert_in_the_order_of_commits(rows, "stamp")
    await assert_one_open_version(rows)


@postgresql
async def test_many_delete_the_same_row_at_once(rows: Sessions, place: Place) -> None:
    crowd = async_sessionmaker(place.engine(pool_size=16))
    async with watched(place.engine()) as seen:
        await rush(crowd, delete_or_insert, tasks=16, transactions=8)

    assert seen["lock waits"] > 0
    for number in ROWS:
        operations = [operation for (operation,) in await told(rows, Row, number)]
        # One that found a row gone has recorded nothing; delete and insert alternate.
        assert all(a != b for a, b in pairwise(operations))
    await assert_one_open_version(rows)


@postgresql
async def test_sixteen_tasks_at_repeatable_read(rows: Sessions, place: Place) -> None:
    crowd = async_sessionmaker(place.engine(pool_size=16, isolation_level="REPEATABLE READ"))
    async with watched(place.engine()) as seen:
        again = await rush(crowd, update_some, tasks=16, transactions=2)

    assert seen["lock waits"] > 0
    assert again["conflicts"] > 0
    await assert_in_the_order_of_commits(rows, "serial")
    await assert_one_open_version(rows)


@postgresql
async def test_deletes_and_inserts_at_repeatable_read(rows: Sessions, place: Place) -> None:
    crowd = async_sessionmaker(place.engine(pool_size=16, isolation_level="REPEATABLE READ"))
    async with watched(place.engine()) as seen:
        again = await rush(crowd, live_and_die, tasks=16, transactions=2)

    assert seen["lock waits"] > 0
    assert again["conflicts"] > 0
    await assert_in_the_order_of_commits(rows, "stamp")


@sqlite
@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN IMMEDIATE"])
async def test_four_tasks_on_sqlite_with_overlapping_transactions(rows: Sessions, place: Place, begin: Any) -> None:
    open_now = most = 0

    async def work(session: AsyncSession, dice: random.Random) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        try:
            await session.connection()
            await asyncio.sleep(dice.random() * 0.004)
            for number in some_rows(dice):
                row = await session.get(Row, number)
                if row is None:
                    session.add(Row(id=number, serial=dice.randint(1, 10**9)))
                elif dice.random() < 0.2:
                    await session.delete(row)
                else:
                    row.serial = Row.serial + 1
                await session.flush()
                await asyncio.sleep(dice.random() * 0.002)
        finally:
            open_now -= 1

    again = await rush(async_sessionmaker(place.engine(sqlite_begin=begin)), work, tasks=4, transactions=12)

    assert most > 1
    assert again["locked"] > 0 or begin == "BEGIN IMMEDIATE"
    await assert_one_open_version(rows)
    for number in ROWS:
        life: list[Any] = []
        for operation, serial in await told(rows, Row, number, "serial"):
            if operation == Operation.UPDATE.name:
                assert serial == life[-1] + 1
            life.append(serial)

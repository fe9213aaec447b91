"""A transaction that changes a row after a younger one did takes a later id, and all that bears it follows."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import inspect, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

import async_continuum as ac
from tests.domain import Article, Price, Tag
from tests.kit import mode
from tests.kit.databases import Databases
from tests.kit.history import count_transactions, told

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

Sessions = async_sessionmaker[AsyncSession]
ArticleVersion: Any = ac.version_class(Article)
Transaction = ac.transaction_class(Article)


@pytest.fixture
async def old(sessions: Sessions, caplog: pytest.LogCaptureFixture) -> AsyncIterator[AsyncSession]:
    """A session whose transaction has changed article 1, and which a younger one has overtaken at article 2."""
    caplog.set_level(logging.DEBUG, logger="async_continuum")
    async with sessions() as session:
        session.add_all([Article(id=1, name="one"), Article(id=2, name="two"), Tag(id=1, name="tag")])
        session.add(Price(id=1, amount=1))
        await session.commit()
    async with sessions() as session:
        session.add(Article(id=3, name="three"))
        (await session.get_one(Article, 1)).name = "old"
        await session.flush()
        async with sessions() as younger:
            (await younger.get_one(Article, 2)).name = "younger"
            (await younger.get_one(Price, 1)).amount = 2
            await younger.commit()
        yield session


async def change_two(session: AsyncSession) -> None:
    (await session.get_one(Article, 2, populate_existing=True)).name = "old"
    await session.flush()


def was_overtaken(caplog: pytest.LogCaptureFixture, *, times: int) -> bool:
    """Whether the log says so; a trigger says it to the server's log alone."""
    said = len([record for record in caplog.records if "was overtaken" in record.getMessage()])
    return said == times or (mode.is_native() and said == 0)


async def ids(sessions: Sessions, key: int) -> list[tuple[int, int | None]]:
    async with sessions() as session:
        versions: list[Any] = await ac.versions_of(session, Article, key)
        return [(version.transaction_id, version.end_transaction_id) for version in versions]


async def test_all_that_it_has_written_moves_to_the_later_id(
    sessions: Sessions, old: AsyncSession, caplog: pytest.LogCaptureFixture
) -> None:
    await change_two(old)
    await old.commit()

    assert was_overtaken(caplog, times=1)
    assert await told(sessions, Article, 1, "name") == [("INSERT", "one"), ("UPDATE", "old")]
    assert await told(sessions, Article, 2, "name") == [("INSERT", "two"), ("UPDATE", "younger"), ("UPDATE", "old")]
    assert (await ids(sessions, 1))[-1] == (await ids(sessions, 2))[-1] == (await ids(sessions, 3))[-1]
    assert await count_transactions(sessions, Article) == 3


async def test_a_transaction_that_is_not_overtaken_keeps_its_id(
    sessions: Sessions, old: AsyncSession, caplog: pytest.LogCaptureFixture
) -> None:
    (await old.get_one(Article, 3)).name = "changed"
    (await old.get_one(Tag, 1)).name = "changed"
    await old.commit()

    assert was_overtaken(caplog, times=0)


async def test_by_a_delete(sessions: Sessions, old: AsyncSession, caplog: pytest.LogCaptureFixture) -> None:
    await old.delete(await old.get_one(Article, 2))
    await old.commit()

    assert was_overtaken(caplog, times=1)
    assert [operation for (operation,) in await told(sessions, Article, 2)] == ["INSERT", "UPDATE", "DELETE"]


async def test_by_an_insert_of_what_the_younger_one_has_deleted(
    sessions: Sessions, old: AsyncSession, caplog: pytest.LogCaptureFixture
) -> None:
    async with sessions() as younger:
        await younger.delete(await younger.get_one(Tag, 1))
        await younger.commit()
    old.add(Tag(id=1, name="again"))
    await old.commit()

    assert was_overtaken(caplog, times=1)
    assert await told(sessions, Tag, 1, "name") == [("INSERT", "tag"), ("DELETE", "tag"), ("INSERT", "again")]


async def test_by_a_change_of_key(sessions: Sessions, old: AsyncSession, caplog: pytest.LogCaptureFixture) -> None:
    (await old.get_one(Article, 2)).id = 22
    await old.commit()

    assert was_overtaken(caplog, times=1)
    assert [operation for (operation,) in await told(sessions, Article, 2)] == ["INSERT", "UPDATE", "DELETE"]
    assert await told(sessions, Article, 22, "name") == [("INSERT", "younger")]


async def test_under_the_subquery_strategy(
    sessions: Sessions, old: AsyncSession, caplog: pytest.LogCaptureFixture
) -> None:
    (await old.get_one(Price, 1)).amount = 3
    await old.commit()

    assert was_overtaken(caplog, times=1)
    assert [amount for _, amount in await told(sessions, Price, 1, "amount")] == [1, 2, 3]


async def test_several_times(sessions: Sessions, old: AsyncSession, caplog: pytest.LogCaptureFixture) -> None:
    transaction = await ac.current_transaction(old, model=Article)
    seen = [transaction.id]
    for number in (10, 11, 12):
        async with sessions() as younger:
            younger.add(Article(id=number, name="younger"))
            await younger.commit()
        (await old.get_one(Article, number)).name = "old"
        await old.flush()
        seen.append(transaction.id)
    await old.commit()

    assert was_overtaken(caplog, times=3)
    assert seen == sorted(set(seen))
    assert await count_transactions(sessions, Article) == 6


async def test_its_transaction_object_follows(sessions: Sessions, old: AsyncSession, database: Databases) -> None:
    transaction = await ac.current_transaction(old, model=Article)
    transaction.remote_addr = "10.0.0.7"
    before = transaction.id
    await change_two(old)

    assert transaction.id > before
    assert inspect(transaction).identity == (transaction.id,)
    assert (await old.get_one(Transaction, transaction.id)) is transaction
    assert await old.get(Transaction, before) is None
    await old.refresh(transaction)
    assert transaction.remote_addr == "10.0.0.7"
    await old.commit()

    async with sessions() as session:
        version = await ac.versions_of(session, Article, 2)[-1]
        assert (await version.awaitable_attrs.transaction).remote_addr == "10.0.0.7"


async def test_a_transaction_object_changed_in_the_very_flush(sessions: Sessions, old: AsyncSession) -> None:
    transaction = await ac.current_transaction(old, model=Article)
    two = await old.get_one(Article, 2)
    transaction.remote_addr = "10.0.0.7"
    two.name = "old"
    await old.commit()

    async with sessions() as session:
        assert (await (await ac.versions_of(session, Article, 2)[-1]).awaitable_attrs.transaction).remote_addr == (
            "10.0.0.7"
        )


@pytest.mark.parametrize("way", ["delete", "change of key"])
async def test_a_transaction_object_changed_in_a_flush_that_takes_a_row_away(
    sessions: Sessions, old: AsyncSession, way: str
) -> None:
    transaction = await ac.current_transaction(old, model=Article)
    two = await old.get_one(Article, 2)
    await old.refresh(two, ["comments"])
    transaction.remote_addr = "10.0.0.7"
    if way == "delete":
        await old.delete(two)
    else:
        two.id = 22
    await old.commit()

    async with sessions() as session:
        assert (await (await ac.versions_of(session, Article, 2)[-1]).awaitable_attrs.transaction).remote_addr == (
            "10.0.0.7"
        )


@pytest.mark.parametrize("expired", [False, True])
@pytest.mark.sessions_record("triggers tell of a later id only where the transaction was asked for")
async def test_loaded_versions_follow(sessions: Sessions, old: AsyncSession, expired: bool) -> None:
    one = await old.get_one(Article, 1)
    first, second = await ac.versions_of(one)
    before = second.transaction_id
    if expired:
        old.expire(first)
        old.expire(second)
    await change_two(old)

    if expired:
        await old.refresh(first)
        await old.refresh(second)
    assert second.transaction_id > before
    assert first.end_transaction_id == second.transaction_id
    assert await second.previous() is first
    assert await first.next() is second
    assert await ac.versions_of(one) == [first, second]
    await old.commit()


async def test_loaded_versions_follow_where_the_transaction_was_asked_for(
    sessions: Sessions, old: AsyncSession
) -> None:
    transaction = await ac.current_transaction(old, model=Article)
    one = await old.get_one(Article, 1)
    first, second = await ac.versions_of(one)
    before = second.transaction_id
    await change_two(old)

    assert first.end_transaction_id == second.transaction_id == transaction.id > before
    assert await ac.versions_of(one) == [first, second]
    await old.commit()


@pytest.mark.parametrize("expired", [False, True])
async def test_a_savepoint_that_rolls_back_gives_the_former_id_back(
    sessions: Sessions, old: AsyncSession, expired: bool, caplog: pytest.LogCaptureFixture
) -> None:
    transaction = await ac.current_transaction(old, model=Article)
    transaction.remote_addr = "10.0.0.7"
    await old.flush()
    first, second = await ac.versions_of(old, Article, 1)
    before = transaction.id
    savepoint = await old.begin_nested()
    await change_two(old)
    if expired:
        old.expire(second)
    assert transaction.id > before
    await savepoint.rollback()

    assert was_overtaken(caplog, times=1)
    for instance in (transaction, first, second):
        await old.refresh(instance)
    assert transaction.id == second.transaction_id == first.end_transaction_id == before
    assert transaction.remote_addr == "10.0.0.7"
    assert await ac.versions_of(old, Article, 1) == [first, second]
    (await old.get_one(Article, 1)).name = "older"
    await old.flush()
    assert transaction.id == before
    await old.commit()

    assert await told(sessions, Article, 2, "name") == [("INSERT", "two"), ("UPDATE", "younger")]
    assert await told(sessions, Article, 1, "name") == [("INSERT", "one"), ("UPDATE", "older")]


async def test_a_savepoint_that_is_released_keeps_the_later_id(sessions: Sessions, old: AsyncSession) -> None:
    transaction = await ac.current_transaction(old, model=Article)
    outer = await old.begin_nested()
    async with old.begin_nested():
        await change_two(old)
    later = transaction.id
    (await old.get_one(Article, 1)).name = "older"
    await outer.commit()
    assert transaction.id == later
    await old.commit()

    assert (await ids(sessions, 1))[-1][0] == later


async def test_a_savepoint_that_rolls_back_an_inner_one_released(sessions: Sessions, old: AsyncSession) -> None:
    transaction = await ac.current_transaction(old, model=Article)
    before = transaction.id
    outer = await old.begin_nested()
    async with old.begin_nested():
        await change_two(old)
    await outer.rollback()
    await old.refresh(transaction)
    assert transaction.id == before
    (await old.get_one(Article, 1)).name = "older"
    await old.commit()

    async with sessions() as session:
        assert (await session.scalars(select(Transaction.id).where(Transaction.id == before))).one() == before

"""Rows of one flush of which some have the past that is expected of all, and others have another one, or none."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

import async_continuum as ac
from tests.domain import Tag
from tests.kit.history import count_transactions, told

Sessions = async_sessionmaker[AsyncSession]
TagVersion: Any = ac.version_class(Tag)


@pytest.fixture
async def tags(sessions: Sessions) -> None:
    """Tags 1 to 3 with a past, tag 4 older than its history, and tag 5 a past without a row."""
    async with sessions() as session:
        session.add_all(Tag(id=number, name=f"{number}") for number in (1, 2, 3, 5))
        await session.commit()
        await session.delete(await session.get_one(Tag, 5))
        await session.commit()
        with ac.versioning_disabled():
            session.add(Tag(id=4, name="4"))
            await session.commit()


async def test_updates(sessions: Sessions, tags: None) -> None:
    async with sessions() as session:
        for tag in await session.scalars(select(Tag)):
            tag.name = f"changed {tag.id}"
        # One that is back where it was when the flush ends.
        (await session.get_one(Tag, 3)).name = "3"
        await session.commit()
    assert await told(sessions, Tag, 1, "name") == [("INSERT", "1"), ("UPDATE", "changed 1")]
    assert await told(sessions, Tag, 3, "name") == [("INSERT", "3")]
    assert await told(sessions, Tag, 4, "name") == [("UPDATE", "changed 4")]
    assert await count_transactions(sessions, Tag) == 3


async def test_deletes(sessions: Sessions, tags: None) -> None:
    async with sessions() as session:
        for tag in await session.scalars(select(Tag)):
            await session.delete(tag)
        await session.commit()
    assert await told(sessions, Tag, 1, "name") == [("INSERT", "1"), ("DELETE", "1")]
    assert await told(sessions, Tag, 4, "name") == [("DELETE", "4")]
    assert await count_transactions(sessions, Tag) == 3


async def test_inserts(sessions: Sessions, tags: None) -> None:
    async with sessions() as session:
        session.add_all(Tag(id=number, name=f"new {number}") for number in (5, 6, 7))
        await session.commit()
    assert await told(sessions, Tag, 5, "name") == [("INSERT", "5"), ("DELETE", "5"), ("INSERT", "new 5")]
    assert await told(sessions, Tag, 6, "name") == [("INSERT", "new 6")]
    assert await count_transactions(sessions, Tag) == 3


async def test_one_row_after_the_other(sessions: Sessions, tags: None) -> None:
    """A change of one row is written by statements of its own."""
    for number in (1, 2, 3, 4):
        async with sessions() as session:
            tag = await session.get_one(Tag, number)
            if number == 2:
                await session.delete(tag)
            else:
                tag.name = f"changed {number}"
            if number == 3:
                # Back where it was when the flush ends.
                tag.name = "3"
                session.add(Tag(id=5, name="reborn"))
            await session.commit()
    async with sessions() as session:
        # Changed in the object's eyes, and not in the row.
        await session.execute(update(Tag).where(Tag.id == 1).values(name="changed 1"))
        await session.commit()
    assert await told(sessions, Tag, 1, "name") == [("INSERT", "1"), ("UPDATE", "changed 1")]
    assert await told(sessions, Tag, 2, "name") == [("INSERT", "2"), ("DELETE", "2")]
    assert await told(sessions, Tag, 3, "name") == [("INSERT", "3")]
    assert await told(sessions, Tag, 4, "name") == [("UPDATE", "changed 4")]
    assert await told(sessions, Tag, 5, "name") == [("INSERT", "5"), ("DELETE", "5"), ("INSERT", "reborn")]
    assert await count_transactions(sessions, Tag) == 6
    async with sessions() as session:
        await session.delete(await session.get_one(Tag, 4))
        await session.commit()
    assert await told(sessions, Tag, 4, "name") == [("UPDATE", "changed 4"), ("DELETE", "changed 4")]


@pytest.mark.unaccounted
async def test_a_history_with_two_open_versions_is_closed_and_goes_on(sessions: Sessions, tags: None) -> None:
    """Writers that did not wait for each other have left them, before the library came."""
    table = TagVersion.__table__
    (unique,) = (index for index in table.indexes if index.unique)
    async with sessions() as session:
        await session.run_sync(lambda sync: unique.drop(sync.connection()))
        ids = list(await session.scalars(select(TagVersion.transaction_id).order_by(TagVersion.transaction_id)))
        await session.execute(update(table).where(table.c.id == 5).values(end_transaction_id=None))
        await session.commit()
    async with sessions() as session:
        session.add(Tag(id=5, name="reborn"))
        await session.commit()
        (await session.get_one(Tag, 5)).name = "changed"
        await session.commit()
        await session.execute(insert(table).values(id=1, name="1", transaction_id=ids[-1], operation_type=1))
        (await session.get_one(Tag, 1)).name = "one"
        (await session.get_one(Tag, 2)).name = "two"
        await session.commit()
        await session.delete(await session.get_one(Tag, 1))
        await session.commit()
        of_one = select(TagVersion.operation_type).where(TagVersion.id == 1, TagVersion.end_transaction_id.is_(None))
        assert list(await session.scalars(of_one)) == [ac.Operation.DELETE]
        # Put right what was wrong before, for the proof at the end.
        await session.execute(delete(table).where(table.c.id == 1, table.c.transaction_id == ids[-1]))
        await session.execute(
            update(table).where(table.c.id == 5, table.c.transaction_id == ids[0]).values(end_transaction_id=ids[-1])
        )
        await session.commit()
    assert await told(sessions, Tag, 2, "name") == [("INSERT", "2"), ("UPDATE", "two")]
    assert (await told(sessions, Tag, 5, "name"))[2:] == [("INSERT", "reborn"), ("UPDATE", "changed")]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize("others", [1, 2])
async def test_a_delete_that_waits_for_an_update_comes_after_it(sessions: Sessions, tags: None, others: int) -> None:
    async with sessions() as first, sessions() as second:
        (await first.get_one(Tag, 1)).name = "first"
        await first.flush()
        for tag in list(await second.scalars(select(Tag).where(Tag.id <= others))):
            await second.delete(tag)
        deleting = asyncio.create_task(second.commit())
        await asyncio.sleep(0.1)
        assert not deleting.done()
        await first.commit()
        await deleting
    assert await told(sessions, Tag, 1, "name") == [("INSERT", "1"), ("UPDATE", "first"), ("DELETE", "first")]

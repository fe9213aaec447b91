"""What a session has loaded of its own transaction follows the later id that triggers take for it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import delete, inspect, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from async_continuum import transaction_class, version_class, versions_of
from tests.native.shop import Item

Sessions = async_sessionmaker[AsyncSession]

Write = Callable[[AsyncSession], Awaitable[Any]]


async def by_flush(session: AsyncSession) -> None:
    (await session.get_one(Item, 2)).name = "mine"
    await session.flush()


async def by_statement(session: AsyncSession) -> None:
    await session.execute(update(Item).where(Item.id == 2).values(name="mine"))


async def by_text(session: AsyncSession) -> None:
    await session.execute(text("UPDATE item SET name = 'mine' WHERE id = 2"))


async def by_delete(session: AsyncSession) -> None:
    await session.execute(delete(Item).where(Item.id == 2))


@pytest.mark.parametrize("late", ["flush", "commit"])
@pytest.mark.parametrize("write", [by_flush, by_statement, by_text, by_delete], ids=lambda each: each.__name__)
async def test_loaded_versions_follow(sessions: Sessions, write: Write, late: str) -> None:
    version, transaction = version_class(Item), transaction_class(Item)
    async with sessions() as session:
        session.add_all([Item(id=1, name="a"), Item(id=2, name="b")])
        await session.commit()
    async with sessions(expire_on_commit=False) as slow, sessions() as fast:
        (await slow.get_one(Item, 1)).name = "mine"
        await slow.flush()
        first, second = await versions_of(slow, Item, 1)
        signed = await slow.get_one(transaction, second.transaction_id)
        overtaken = second.transaction_id

        (await fast.get_one(Item, 2)).name = "younger"
        await fast.commit()

        await write(slow)
        if late == "flush":
            await slow.flush()
        else:
            await slow.commit()
        await slow.commit()
        later = second.transaction_id
        assert later > overtaken
        assert inspect(second).identity == (1, later)
        assert first.end_transaction_id == later
        assert signed.id == later
        assert (await second.previous()) is first
        await slow.refresh(second)
        await slow.refresh(signed)
        assert second.name == "mine"
        made = await slow.scalars(select(version).where(version.transaction_id == later).order_by(version.id))
        assert [each.id for each in made] == [1, 2]


async def test_they_go_back_with_a_savepoint(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add_all([Item(id=1, name="a"), Item(id=2, name="b")])
        await session.commit()
    async with sessions(expire_on_commit=False) as slow, sessions() as fast:
        (await slow.get_one(Item, 1)).name = "mine"
        await slow.flush()
        second = await versions_of(slow, Item, 1).last()
        assert second is not None
        overtaken = second.transaction_id
        (await slow.get_one(Item, 1)).count = 5
        await slow.flush()
        (await fast.get_one(Item, 2)).name = "younger"
        await fast.commit()
        savepoint = await slow.begin_nested()
        await by_flush(slow)
        assert second.transaction_id > overtaken
        await savepoint.rollback()
        await slow.refresh(second)
        assert (second.transaction_id, second.name) == (overtaken, "mine")
        await slow.commit()
        await slow.refresh(second)
        assert second.transaction_id == overtaken


async def test_who_holds_nothing_of_the_kind_is_asked_nothing(sessions: Sessions, statements: Any) -> None:
    async with sessions() as session:
        session.add(Item(id=1, name="a"))
        await session.flush()
        before = len(statements)
        await session.execute(update(Item).values(name="b"))
        await session.execute(update(Item).values(name="c"))
        assert len(statements) == before + 2
        await session.commit()

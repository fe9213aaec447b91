"""Sessions and raw connections write the same rows at the same time: versions are in the order of the commits."""

import asyncio
import random
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from tests.kit import rush as kit
from tests.kit.history import told
from tests.kit.places import Place
from tests.native.shop import Item

Sessions = async_sessionmaker[AsyncSession]

WRITERS = 64


async def by_objects(session: AsyncSession, dice: random.Random) -> None:
    for number in sorted(dice.sample(range(1, 6), 2)):
        item = await session.get_one(Item, number)
        item.count = Item.count + 1
        await session.flush()
        await asyncio.sleep(dice.random() * 0.02)


async def by_hand(session: AsyncSession, dice: random.Random) -> None:
    connection = await (await session.connection()).get_raw_connection()
    driver: Any = connection.driver_connection
    async with driver.transaction():
        for number in sorted(dice.sample(range(1, 6), 2)):
            await driver.execute("UPDATE item SET count = count + 1 WHERE id = $1", number)
            await asyncio.sleep(dice.random() * 0.02)


async def test_sixty_four_writers_half_of_them_raw(sessions: Sessions, place: Place) -> None:
    async with sessions() as session:
        session.add_all(Item(id=number, count=0) for number in range(1, 6))
        await session.commit()
    crowd = async_sessionmaker(place.engine(pool_size=WRITERS))

    async with kit.watched(place.engine(), natively=True) as seen:
        await asyncio.gather(
            kit.rush(crowd, by_objects, tasks=WRITERS // 2, transactions=2),
            kit.rush(crowd, by_hand, tasks=WRITERS // 2, transactions=2, seed=1),
        )

    assert seen["lock waits"] > 0
    assert seen["renumberings"] > 0, seen
    counts = [[count for _, count in await told(sessions, Item, number, "count")] for number in range(1, 6)]
    assert all(each == list(range(len(each))) for each in counts)
    assert sum(len(each) - 1 for each in counts) == WRITERS * 2 * 2
    async with sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM transaction")) == WRITERS * 2 + 1

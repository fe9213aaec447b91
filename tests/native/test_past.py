"""What triggers have recorded is answered in a session in the past as it was asked live, reverted and compared."""

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import selectinload

import async_continuum as ac
from tests.native.shop import Item, Place, Tag

Sessions = async_sessionmaker[AsyncSession]


async def asked(session: AsyncSession) -> list[object]:
    """Ask what an application would."""
    items = await session.scalars(select(Item).options(selectinload(Item.tags)).order_by(Item.id))
    loaded = [(item.id, item.name, item.count, sorted(tag.id for tag in item.tags)) for item in items]
    counted = await session.scalar(select(func.count()).select_from(Item).where(Item.tags.any(Tag.id == 1)))
    guests = (await session.execute(select(Place.row, Place.number, Place.guest).order_by(Place.number))).all()
    return [loaded, counted, [tuple(guest) for guest in guests], await session.get(Tag, 2) is not None]


async def test_a_native_history_is_asked_in_the_past(sessions: Sessions) -> None:
    answers: dict[int, list[object]] = {}
    transaction = ac.transaction_class(Item)

    async def commit(session: AsyncSession) -> None:
        await session.commit()
        newest = await session.scalar(select(func.max(transaction.id)))
        assert newest is not None
        answers[newest] = await asked(session)
        await session.rollback()

    async with sessions() as session:
        tags = [Tag(id=1), Tag(id=2)]
        session.add_all([Item(id=1, name="a", tags=tags), Item(id=2, name="b", tags=tags[:1])])
        session.add(Place(row="x", number=1, guest="ann"))
        await commit(session)
        await session.execute(text("UPDATE item SET count = count + 3 WHERE id = 1"))
        await session.execute(text("""UPDATE "The Place" SET "tx" = 'bob'"""))
        await commit(session)
        await session.execute(delete(Tag).where(Tag.id == 2))
        session.add(Place(row="y", number=2))
        await commit(session)
        await session.execute(text("DELETE FROM item WHERE id = 2"))
        await commit(session)
    assert len(answers) == 4
    assert len({str(answer) for answer in answers.values()}) == 4
    async with sessions() as session:
        for moment, answer in answers.items():
            async with ac.as_of(session, moment) as past:
                assert await asked(past) == answer
        first, last = min(answers), max(answers)
        changes = await ac.changes_between(session, Item, first, last)
        assert [(each.key, each.operation.name) for each in changes] == [((1,), "UPDATE"), ((2,), "DELETE")]
        assert changes[0].changes == {"count": ac.Change(0, 3)}

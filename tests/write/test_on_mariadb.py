"""What several writers do to one another on MariaDB, whose versions are written by one statement after the other."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

import async_continuum as ac
from tests.domain import Article, Price
from tests.kit.history import told
from tests.kit.meanwhile import meanwhile
from tests.kit.places import Place

pytestmark = pytest.mark.parametrize("backend", ["mariadb"], indirect=True)

Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
def many(place: Place) -> Sessions:
    """At REPEATABLE READ one would wait for the other at the gap where a row or a version is not yet."""
    return async_sessionmaker(place.engine(isolation_level="READ COMMITTED"))


@pytest.mark.parametrize("model", [Article, Price], ids=lambda model: model.__name__)
@pytest.mark.parametrize("how", ["an update", "a delete", "many"])
async def test_one_that_was_overtaken_takes_a_later_id(
    sessions: Sessions, many: Sessions, model: type, how: str
) -> None:
    name = "name" if model is Article else "amount"
    async with many() as session:
        session.add_all(model(id=number, **{name: number}) for number in range(1, 600))
        await session.commit()
    async with many() as old:
        setattr(await old.get_one(model, 1), name, 1000)
        await old.flush()
        async with many() as younger:
            setattr(await younger.get_one(model, 500), name, 1001)
            await younger.commit()
        row = await old.get_one(model, 500)
        if how == "a delete":
            await old.delete(row)
        else:
            for number in range(2, 600) if how == "many" else (500,):
                setattr(await old.get_one(model, number), name, 1002)
        await old.commit()

    versions = [operation for (operation,) in await told(sessions, model, 500)]
    assert versions == ["INSERT", "UPDATE", "DELETE" if how == "a delete" else "UPDATE"]
    async with sessions() as session:
        first = (await ac.versions_of(session, model, 1))[-1]
        last = (await ac.versions_of(session, model, 500))[-1]
        assert first.transaction_id == last.transaction_id


async def test_one_that_waits_to_delete_takes_its_id_afterwards(sessions: Sessions, many: Sessions) -> None:
    async with many() as session:
        session.add(Article(id=1, name="one"))
        await session.commit()
    async with many() as first, many() as second:
        gone = await second.get_one(Article, 1)
        row = (await first.scalars(select(Article).with_for_update())).one()
        await second.delete(gone)
        deleting = asyncio.create_task(second.commit())
        await asyncio.sleep(0.3)
        row.name = "two"
        await first.commit()
        await deleting

    assert await told(sessions, Article, 1, "name") == [("INSERT", "one"), ("UPDATE", "two"), ("DELETE", "two")]


@pytest.mark.parametrize("how", ["object", "statement"])
@pytest.mark.filterwarnings("ignore:DELETE statement on table")
async def test_a_row_that_has_come_back_is_left_alone(sessions: Sessions, many: Sessions, how: str) -> None:
    async def bring(name: str) -> None:
        async with many() as session:
            session.add(Article(id=1, name=name))
            await session.commit()

    await bring("first")
    async with many() as session:
        gone = await session.get_one(Article, 1)
        async with many() as other:
            await other.execute(delete(Article))
            await other.commit()
        if how == "object":
            await session.delete(gone)
            doing: Any = session.flush()
        else:
            doing = session.execute(delete(Article).where(Article.id == 1))
        with meanwhile(many.kw["bind"], "DELETE", lambda: bring("again")):
            await doing
        await session.commit()

    assert await told(sessions, Article, 1, "name") == [("INSERT", "first"), ("DELETE", "first"), ("INSERT", "again")]

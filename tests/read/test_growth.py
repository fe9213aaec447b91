"""What is read of a transaction that PostgreSQL has no statistics of grows with its rows, not with their square."""

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, selectinload

from async_continuum import changesets, transaction_class, version_class
from tests.kit.of_models import base, manager
from tests.write.test_growth import DECLARED, MOST, ROWS, Sessions, backend, change, prepare, read_so_far

__all__ = ["backend", "base", "manager"]


@pytest.fixture(params=["sessions", "sessions, no ends"])
def models(request: pytest.FixtureRequest) -> SimpleNamespace:
    return DECLARED[request.param]


async def change_all(session: AsyncSession, models: SimpleNamespace, name: str) -> int:
    """Change many rows in one transaction, which no statistics know of; give its id."""
    model = getattr(models, name)
    await prepare(session, model)
    if name == "Book":
        session.add_all([models.Tag(id=1), models.Tag(id=2)])
        await session.flush()
    objects: Any = (await session.scalars(select(model).where(model.id.between(1, ROWS)))).all()
    if name == "Book":
        tags = list(await session.scalars(select(models.Tag)))
        for each in await session.scalars(select(model).where(model.id <= ROWS).options(selectinload(model.tags))):
            each.tags = tags
    await change(session, objects, "breed", "c")
    await session.commit()
    session.expunge_all()
    transaction = transaction_class(model)
    return (await session.scalars(select(transaction.id).order_by(transaction.id.desc()).limit(1))).one()


@pytest.mark.parametrize("way", ["joined", "selected", "any"])
async def test_what_is_read_of_relations(sessions: Sessions, models: SimpleNamespace, way: str) -> None:
    version = version_class(models.Book)
    async with sessions() as session:
        at = await change_all(session, models, "Book")
        made: Any = select(version).where(version.transaction_id == at)
        if way == "any":
            made = made.where(version.tags.any(version_class(models.Tag).id == 2))
        else:
            made = made.options((joinedload if way == "joined" else selectinload)(version.tags))
        before = await read_so_far(session)
        versions = (await session.scalars(made)).unique().all()
        read = await read_so_far(session) - before
    assert len(versions) == ROWS
    assert way == "any" or all(len(each.tags) == 2 for each in versions)
    assert read < ROWS * MOST, read / ROWS


@pytest.mark.parametrize("name", ["Book", "Dog"])
async def test_what_is_read_of_what_changed(sessions: Sessions, models: SimpleNamespace, name: str) -> None:
    model = getattr(models, name)
    async with sessions() as session:
        at = await change_all(session, models, name)
        transaction = await session.get_one(transaction_class(model), at)
        before = await read_so_far(session)
        changed = (await transaction.changed_entities())[version_class(model)]
        found = await changesets(session, changed)
        read = await read_so_far(session) - before
    assert [found[each]["breed"].new for each in changed] == ["c"] * ROWS
    assert read < ROWS * MOST, read / ROWS

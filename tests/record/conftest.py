"""Let each test of one transaction run over one flush, over several, and with savepoints in between."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from tests.domain import Article

Between = Callable[[AsyncSession], Awaitable[None]]


async def nothing(session: AsyncSession) -> None:
    """All in one flush."""


async def a_flush(session: AsyncSession) -> None:
    await session.flush()


async def a_savepoint_that_stays_open(session: AsyncSession) -> None:
    await session.begin_nested()


async def a_savepoint_that_is_released(session: AsyncSession) -> None:
    async with session.begin_nested():
        await session.flush()


async def a_savepoint_that_is_rolled_back(session: AsyncSession) -> None:
    savepoint = await session.begin_nested()
    session.add(Article(id=999, name="never was"))
    await session.flush()
    await savepoint.rollback()


EVERY_WAY = [
    nothing,
    a_flush,
    a_savepoint_that_stays_open,
    a_savepoint_that_is_released,
    a_savepoint_that_is_rolled_back,
]


@pytest.fixture(params=EVERY_WAY, ids=lambda way: way.__name__)
def between(request: pytest.FixtureRequest) -> Between:
    """What happens between the steps of a transaction."""
    return request.param


@pytest.fixture(params=EVERY_WAY[1:], ids=lambda way: way.__name__)
def between_flushes(request: pytest.FixtureRequest) -> Between:
    """What happens between the steps, where each must be a flush of its own."""
    return request.param

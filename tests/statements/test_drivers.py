"""Statements are recorded whichever driver sends them; PostgreSQL's know of results what the others do not."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from tests.statements.compared import difference_of
from tests.statements.shop import everything, fill, newest
from tests.statements.test_as_objects import STATEMENTS


@pytest.fixture
async def elsewhere(place, sessions, backend):
    """A session of the same database by way of psycopg, that celery's workers may have."""
    if backend != "postgresql":
        pytest.skip("SQLite has no other asynchronous driver")
    engine = create_async_engine(place.url.set(drivername="postgresql+psycopg"))
    place.engines.append(engine)
    async with AsyncSession(engine) as session:
        yield session


async def test_every_statement_is_recorded_by_way_of_psycopg(elsewhere, backend):
    await fill(elsewhere)
    before, after = await everything(elsewhere), await newest(elsewhere)
    wrong: dict[str, Any] = {}
    for name, given in STATEMENTS.items():
        given = given(backend) if callable(given) else given
        statement, parameters = given if isinstance(given, tuple) else (given, None)
        if problem := await difference_of(elsewhere, before, after, statement, parameters):
            wrong[name] = problem
    assert wrong == {}

"""What a statement returns may be read slowly, or not at all: it is recorded."""

from asyncio import to_thread
from typing import Any

import pytest
from sqlalchemy import create_engine, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session

from async_continuum import version_class
from tests.domain import Article
from tests.kit.places import Place

Sessions = async_sessionmaker[AsyncSession]

RETURNING: dict[str, Any] = {
    "all": (update(Article).values(name="q").returning(Article.id), "execute"),
    "one of them": (update(Article).values(name="q").returning(Article.id), "first"),
    "entities": (update(Article).values(name="q").returning(Article), "execute"),
    "to synchronize": (update(Article).where(func.length(Article.name) > 0).values(name=Article.name + "q"), "execute"),
    "a delete": (delete(Article).returning(Article.id), "first"),
    "an insert": (insert(Article).from_select(["name"], select(Article.name)).returning(Article.id), "execute"),
    "none": (update(Article).where(Article.id < 0).values(name="q").returning(Article.id), "execute"),
}


@pytest.mark.parametrize("statement", RETURNING)
async def test_what_a_synchronous_session_has_returned_is_recorded(
    sessions: Sessions, place: Place, backend: str, statement: str
) -> None:
    # sqlite3 counts the rows of such a statement when the last was fetched.
    given, way = RETURNING[statement]
    driver = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}[backend]

    def work() -> int:
        engine = create_engine(place.url.set(drivername=driver))
        with Session(engine) as session:
            session.add_all([Article(name="a"), Article(name="b")])
            session.commit()
            result = session.execute(given)
            found = [result.first()] if way == "first" else result.all()
            session.commit()
            versions = session.scalar(select(func.count()).select_from(version_class(Article)))
        engine.dispose()
        assert len(found) in ((1,) if way == "first" else (0, 2))
        return versions

    assert await to_thread(work) == (2 if statement == "none" else 4)


@pytest.mark.parametrize("statement", RETURNING)
async def test_what_is_streamed_of_a_statement_is_recorded(sessions: Sessions, statement: str) -> None:
    given, _ = RETURNING[statement]
    async with sessions() as session:
        session.add_all([Article(name="a"), Article(name="b")])
        await session.commit()
        if given.exported_columns:
            async for _ in await session.stream(given):
                break
        else:
            await session.execute(given)
        await session.commit()
        versions = await session.scalar(select(func.count()).select_from(version_class(Article)))
    assert versions == (2 if statement == "none" else 4)

"""What the other tests rely on: databases are used again, what is broken is seen, and what is left behind is found."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from async_continuum.manager.recorder import Recorder
from tests.domain import Article, Base, manager
from tests.kit import mode
from tests.kit.databases import Databases
from tests.kit.invariants import assert_invariants
from tests.kit.leftovers import leftovers
from tests.kit.places import Places

Sessions = async_sessionmaker[AsyncSession]


async def test_a_database_serves_the_next_test_as_good_as_new(backend: str, places: Places) -> None:
    urls = set()
    for _ in range(3):
        async with places.fresh(backend, Base.metadata) as place:
            urls.add(place.url)
            engine = place.usual_engine()
            async with AsyncSession(engine) as session:
                assert await session.get(Article, 1) is None
                session.add(Article(id=1, name="one"))
                await session.commit()
            await assert_invariants(engine, manager)
    assert len(urls) == 1


BROKEN = {
    'DELETE FROM "transaction"': r"\(1\) Article: transaction_id is no transaction",
    "UPDATE article_version SET end_transaction_id = transaction_id": r"\(2\) Article: a version does not end where",
    "UPDATE article_version SET operation_type = 0": r"\(2\) Article: an operation cannot follow",
    "UPDATE article SET name = 'three'": r"\(3\) Article .* differs in name",
    "DELETE FROM article": r"\(3\) Article: gone, but the newest version is no DELETE",
    "UPDATE article_version SET operation_type = 2 WHERE name = 'two'": r"\(3\) Article .* says it is gone",
    "DELETE FROM article_version": r"\(4\) transactions without a version",
}


@pytest.mark.skipif(mode.is_native(), reason="the statements that break history are recorded by triggers")
@pytest.mark.parametrize("statement", BROKEN)
async def test_the_proof_of_the_invariants_sees_what_is_broken(
    sessions: Sessions, database: Databases, statement: str
) -> None:
    async with sessions() as session:
        article = Article(id=1, name="one")
        session.add(article)
        await session.commit()
        article.name = "two"
        await session.commit()
    await database.assert_invariants()
    async with database.engine.connect() as connection:
        await connection.execute(text(statement))
        await connection.commit()
        with pytest.raises(AssertionError, match=BROKEN[statement]):
            await database.assert_invariants()
        for table in ("article_version", "article", '"transaction"'):
            await connection.execute(text(f"DELETE FROM {table}"))
        await connection.commit()


async def test_a_recorder_that_is_left_behind_is_found(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add(Article(id=1, name="one"))
        await session.flush()
        kept = [manager.recorder(session.sync_session)]
        await session.rollback()
    found = leftovers()
    assert found == kept
    assert isinstance(found[0], Recorder)
    assert leftovers() == []

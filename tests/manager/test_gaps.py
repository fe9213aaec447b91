"""A statement that fails, or whose recording does, is not committed, whoever catches the error."""

import asyncio
import re
from typing import Any

import pytest
from sqlalchemy import bindparam, case, delete, event, insert, select, update
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

import async_continuum as ac
from tests.domain import Article, Comment, Tag
from tests.kit.history import told

Sessions = async_sessionmaker[AsyncSession]

pytestmark = pytest.mark.sessions_record("a trigger that fails takes the statement with it")

STATEMENTS = {
    "insert": insert(Article).values(id=2, name="two"),
    "update": update(Article).values(name="two"),
    "delete": delete(Article),
    "of the table": update(Article.__table__).values(name="two"),
}

WRITES = re.compile(r"(INSERT INTO|UPDATE|DELETE FROM) article\b")


@pytest.fixture
async def article(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add(Article(id=1, name="one"))
        await session.commit()


async def fail(session: AsyncSession, statement: str = "update") -> None:
    """Execute a statement whose transaction cannot be signed: there is no place for the reason."""
    with (
        ac.versioning_context(meta={"reason": "lost"}),
        pytest.raises(ac.ImproperlyConfigured, match="nothing stores it"),
    ):
        await session.execute(STATEMENTS[statement])


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_what_cannot_be_recorded_is_not_committed(sessions: Sessions, article: None, statement: str) -> None:
    async with sessions() as session:
        await fail(session, statement)
        with pytest.raises(InvalidRequestError, match=r"Roll back.*nothing stores it"):
            await session.commit()
        await session.rollback()
        assert (await session.scalars(select(Article.name))).all() == ["one"]
        await session.execute(update(Article).values(name="three"))
        await session.commit()
    assert await told(sessions, Article, 1, "name") == [("INSERT", "one"), ("UPDATE", "three")]


async def test_a_savepoint_takes_it_back(sessions: Sessions, article: None) -> None:
    async with sessions() as session:
        savepoint = await session.begin_nested()
        inner = await session.begin_nested()
        await fail(session)
        await inner.commit()
        await savepoint.rollback()
        session.add(Tag(id=1, name="kept"))
        await session.commit()
    assert await told(sessions, Article, 1, "name") == [("INSERT", "one")]
    assert await told(sessions, Tag, 1, "name") == [("INSERT", "kept")]


async def test_a_savepoint_that_began_later_does_not(sessions: Sessions, article: None) -> None:
    async with sessions() as session:
        await fail(session)
        savepoint = await session.begin_nested()
        await savepoint.rollback()
        with pytest.raises(InvalidRequestError, match="Roll back"):
            await session.commit()
        await session.rollback()
    assert await told(sessions, Article, 1, "name") == [("INSERT", "one")]


async def test_one_that_is_cancelled_while_it_is_recorded_is_not_committed(sessions: Sessions, article: None) -> None:
    def cancelled() -> int:
        raise asyncio.CancelledError

    async with sessions() as session:
        with ac.versioning_context(user=cancelled), pytest.raises(asyncio.CancelledError):
            await session.execute(STATEMENTS["update"])
        with pytest.raises(InvalidRequestError, match=r"Roll back.*CancelledError"):
            await session.commit()
        await session.rollback()
    assert await told(sessions, Article, 1, "name") == [("INSERT", "one")]


FAILING = {
    "delete": delete(Article),
    "delete by key": delete(Article).where(Article.id == 1),
    "move": update(Article).values(id=Article.id + 1).where(Article.id == 1),
}


@pytest.fixture
async def commented(sessions: Sessions, article: None) -> None:
    """A comment that keeps its article from being deleted or moved."""
    async with sessions() as session:
        session.add(Comment(id=1, text="stays", article_id=1))
        await session.commit()


@pytest.mark.parametrize("statement", FAILING)
async def test_a_delete_that_fails_leaves_no_history_of_it(sessions: Sessions, commented: None, statement: str) -> None:
    async with sessions() as session:
        with pytest.raises(IntegrityError):
            await session.execute(FAILING[statement])
        with pytest.raises(InvalidRequestError, match=r"has failed in it.*Roll back.*begin_nested"):
            await session.commit()
        await session.rollback()
        with pytest.raises(IntegrityError):
            async with session.begin_nested():
                await session.execute(FAILING[statement])
        await session.execute(update(Article).values(name="two"))
        await session.commit()
    assert await told(sessions, Article, 1, "name") == [("INSERT", "one"), ("UPDATE", "two")]


PARTLY: dict[str, Any] = {
    "ORM insert": (insert(Article), [{"id": 2, "name": "two"}, {"id": 1, "name": "taken"}]),
    "Core insert": (insert(Article.__table__), [{"id": 2, "name": "two"}, {"id": 1, "name": "taken"}]),
    "ORM bulk update": (update(Article), [{"id": 1, "name": "two"}, {"id": 9, "name": None}]),
    "Core update": (
        update(Article.__table__).where(Article.id == bindparam("key")).values(name=bindparam("value")),
        [{"key": 1, "value": "two"}, {"key": 9, "value": None}],
    ),
    "or fail": (update(Article).prefix_with("OR FAIL").values(name=case((Article.id == 1, "two"))), None),
}


@pytest.mark.parametrize("statement", PARTLY)
async def test_one_that_fails_on_its_way_is_not_committed(
    sessions: Sessions, article: None, backend: str, statement: str
) -> None:
    if statement == "or fail" and backend != "sqlite":
        pytest.skip("OR FAIL is SQLite's")
    async with sessions() as session:
        session.add(Article(id=9, name="nine"))
        await session.commit()
        given, parameters = PARTLY[statement]
        with pytest.raises(IntegrityError):
            await (await session.connection()).execute(given, parameters)
        with pytest.raises(InvalidRequestError, match=r"has failed in it.*Roll back.*begin_nested"):
            await session.commit()
        await session.rollback()
        with pytest.raises(IntegrityError):
            async with session.begin_nested():
                await session.execute(given, parameters)
        await session.execute(update(Article).where(Article.id == 1).values(name="three"))
        await session.commit()
    assert await told(sessions, Article, 1, "name") == [("INSERT", "one"), ("UPDATE", "three")]


async def test_an_update_that_fails_is_no_matter_where_the_database_goes_on(
    sessions: Sessions, article: None, backend: str
) -> None:
    async with sessions() as session:
        with pytest.raises(IntegrityError):
            await session.execute(update(Article).values(name=None))
        if backend == "postgresql":
            await session.rollback()
        await session.execute(update(Article).values(name="two"))
        await session.commit()
    assert await told(sessions, Article, 1, "name") == [("INSERT", "one"), ("UPDATE", "two")]


@pytest.mark.parametrize("event_name", ["after_cursor_execute", "after_execute"])
@pytest.mark.parametrize("statement", STATEMENTS)
async def test_what_a_listener_fails_after_it_was_executed_is_not_committed(
    sessions: Sessions, article: None, engine: AsyncEngine, statement: str, event_name: str
) -> None:
    """Nor is what it did unrecorded, where somebody catches the error."""

    def refuse(_: Any, *about: Any) -> None:
        # Not what is sent for the recording itself.
        if any("article_version" not in str(each) and WRITES.search(str(each)) for each in about):
            raise LookupError

    async with sessions() as session:
        connection = (await session.connection()).sync_connection
        event.listen(connection, event_name, refuse)
        with pytest.raises(LookupError):
            await session.execute(STATEMENTS[statement])
        event.remove(connection, event_name, refuse)
        stands = (await session.scalars(select(Article.name))).all() != ["one"]
        with pytest.raises(InvalidRequestError, match="Roll back"):
            await session.commit()
        await session.rollback()
    assert stands
    assert await told(sessions, Article, 1, "name") == [("INSERT", "one")]


async def test_what_a_listener_fails_before_it_is_executed_does_no_harm(
    sessions: Sessions, article: None, engine: AsyncEngine
) -> None:
    def refuse(*_: Any) -> None:
        raise LookupError

    async with sessions() as session:
        connection = (await session.connection()).sync_connection
        event.listen(connection, "before_cursor_execute", refuse)
        with pytest.raises(LookupError):
            await session.execute(STATEMENTS["update"])
        event.remove(connection, "before_cursor_execute", refuse)
        await session.execute(update(Article).values(name="three"))
        await session.commit()
    assert await told(sessions, Article, 1, "name") == [("INSERT", "one"), ("UPDATE", "three")]

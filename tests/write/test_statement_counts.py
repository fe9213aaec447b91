"""What recording costs: a number of statements that does not grow, and no value on the wire."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

import async_continuum as ac
from tests.domain import Article, Comment, Seat, Tag, User
from tests.kit.statements import Statements

Sessions = async_sessionmaker[AsyncSession]

pytestmark = pytest.mark.not_on("mariadb", "its keys go in chunks, and ids come from a sequence that is asked first")

MORE = {"sqlite": 3, "postgresql": 2}
MORE_FOR_ONE = {"sqlite": 2, "postgresql": 2}
SECRET = "a value that never travels twice"


def recording(statements: Statements, since: int = 0) -> list[str]:
    """The statements that the recording has added: those that speak of versions, of transactions, or lock rows."""
    return [
        text for text in statements.texts[since:] if "_version" in text or "transaction" in text or "FOR UPDATE" in text
    ]


def total(statements: Statements) -> int:
    return len([text for text in statements.texts if not text.startswith("SELECT")])


async def fill(sessions: Sessions, rows: int) -> None:
    async with sessions() as session:
        session.add_all(Tag(id=number, name=f"{number}") for number in range(1, rows + 1))
        await session.commit()


async def unversioned(sessions: Sessions, act: Callable[[AsyncSession, list[Tag]], Any], statements: Statements) -> int:
    """Count what the same flush costs without recording, and take it back."""
    async with sessions() as session:
        tags = list(await session.scalars(select(Tag)))
        before = len(statements)
        with ac.versioning_disabled():
            await act(session, tags)
            await session.flush()
        await session.rollback()
    return len(statements) - before


async def add(session: AsyncSession, tags: list[Tag]) -> None:
    session.add_all(Tag(id=10**6 + number, name=f"{SECRET} {number}") for number in range(len(tags)))


async def change(session: AsyncSession, tags: list[Tag]) -> None:
    for tag in tags:
        tag.name = f"{SECRET} {tag.id}"


async def remove(session: AsyncSession, tags: list[Tag]) -> None:
    for tag in tags:
        await session.delete(tag)


async def back_and_forth(session: AsyncSession, tags: list[Tag]) -> None:
    half = len(tags) // 2 + 1
    for tag in tags[:half]:
        tag.name = f"{SECRET} {tag.id}"
    for tag in tags[half:]:
        await session.delete(tag)
    session.add_all(Tag(id=10**6 + number, name=f"{SECRET} new {number}") for number in range(half))


@pytest.mark.parametrize("rows", [1, 2, 10_000])
@pytest.mark.parametrize("act", [add, change, remove], ids=lambda act: act.__name__)
async def test_a_flush_of_one_kind_costs_a_few_statements_more(
    sessions: Sessions, backend: str, statements: Statements, act: Any, rows: int
) -> None:
    await fill(sessions, rows)
    alone = await unversioned(sessions, act, statements)
    more = (MORE_FOR_ONE if rows == 1 else MORE)[backend]
    async with sessions() as session:
        tags = list(await session.scalars(select(Tag)))
        await act(session, tags)
        before = len(statements)
        await session.flush()
        assert len(statements) - before <= alone + more, statements.texts[before:]
        assert len(recording(statements, before)) <= more
        before = len(statements)
        await session.commit()
        assert statements.texts[before:] == []


@pytest.mark.parametrize("rows", [2, 2_000])
async def test_a_mixed_flush_costs_at_most_six(
    sessions: Sessions, statements: Statements, rows: int, backend: str
) -> None:
    await fill(sessions, rows)
    alone = await unversioned(sessions, back_and_forth, statements)
    async with sessions() as session:
        tags = list(await session.scalars(select(Tag)))
        await back_and_forth(session, tags)
        before = len(statements)
        await session.flush()
        assert len(statements) - before <= alone + 6, statements.texts[before:]


@pytest.mark.parametrize("rows", [2, 2_000])
@pytest.mark.parametrize("act", [add, change, remove, back_and_forth], ids=lambda act: act.__name__)
async def test_a_repeated_flush_costs_at_most_six(
    sessions: Sessions, statements: Statements, act: Any, rows: int
) -> None:
    await fill(sessions, rows)
    async with sessions() as session:
        tags = list(await session.scalars(select(Tag)))
        for tag in tags:
            tag.name = f"{tag.id} changed"
        await session.flush()
        before = len(statements)
        with ac.versioning_disabled():
            savepoint = await session.begin_nested()
            await act(session, tags)
            await session.flush()
            await savepoint.rollback()
        alone = len([text for text in statements.texts[before:] if "SAVEPOINT" not in text])
        tags = list(await session.scalars(select(Tag)))
        await act(session, tags)
        before = len(statements)
        await session.flush()
        assert len(statements) - before <= alone + 6, statements.texts[before:]
        assert len(recording(statements, before)) <= 6


async def test_keys_that_move_cost_at_most_six(sessions: Sessions, statements: Statements) -> None:
    async with sessions() as session:
        session.add_all(Seat(hall="a", number=number, guest=f"{number}") for number in range(1, 101))
        await session.commit()
        for seat in (await session.scalars(select(Seat))).all():
            seat.number -= 1
        before = len(statements)
        await session.flush()
        assert len(recording(statements, before)) <= 6, statements.texts[before:]


@pytest.mark.sessions_record("triggers are no statements of the session")
async def test_an_emptied_transaction_costs_one_more_at_commit(sessions: Sessions, statements: Statements) -> None:
    await fill(sessions, 2)
    async with sessions() as session:
        tag = await session.get_one(Tag, 1)
        tag.name = "changed"
        await session.flush()
        tag.name = "1"
        await session.flush()
        before = len(statements)
        await session.commit()
        assert len(statements) - before == 1


@pytest.mark.parametrize("commits", [1, 2])
async def test_a_flush_of_what_keeps_no_history_costs_nothing(
    sessions: Sessions, statements: Statements, commits: int
) -> None:
    async with sessions() as session:
        for number in range(commits):
            session.add(User(id=number, name=f"{number}"))
            await session.commit()
    assert recording(statements) == []
    assert len(statements) == commits


async def test_a_read_costs_nothing(sessions: Sessions, statements: Statements) -> None:
    await fill(sessions, 2)
    before = len(statements)
    async with sessions() as session:
        await session.scalars(select(Tag))
        await session.commit()
    assert len(statements) - before == 1


async def test_a_versioned_class_that_is_only_saved_costs_nothing(sessions: Sessions, statements: Statements) -> None:
    async with sessions() as session:
        session.add(Article(id=1, name="one"))
        await session.commit()
        article = await session.get_one(Article, 1)
        await session.refresh(article, ["comments"])
        before = len(statements)
        article.comments.append(Comment(id=1, text="new"))
        await session.commit()
        assert not [text for text in statements.texts[before:] if "article_version" in text]


async def test_versioned_values_never_travel_for_the_recording(sessions: Sessions, statements: Statements) -> None:
    await fill(sessions, 20)
    async with sessions() as session:
        tags = list(await session.scalars(select(Tag)))
        await change(session, tags[:10])
        session.add_all(Tag(id=1000 + number, name=f"{SECRET} new {number}") for number in range(5))
        await session.flush()
        await change(session, tags[:15])
        await session.flush()
        await remove(session, tags[10:])
        await session.commit()

    recorded = set(recording(statements))
    sent = [
        (text, parameters)
        for text, parameters in zip(statements.texts, statements.parameters, strict=True)
        if text in recorded and SECRET in repr(parameters)
    ]
    assert sent == []
    assert any(SECRET in repr(parameters) for parameters in statements.parameters)


@pytest.mark.sessions_record("triggers are no statements of the session")
async def test_statements_are_compiled_once_for_each_table(sessions: Sessions, statements: Statements) -> None:
    for rows in (3, 7):
        async with sessions() as session:
            session.add_all(Tag(id=100 * rows + number, name=f"{rows} {number}") for number in range(rows))
            await session.commit()
    versions = statements.matching("INSERT INTO tag_version")
    assert len(versions) == 2
    assert len(set(versions)) == 1

"""History goes where its changes go: savepoints, failed flushes and outer transactions take it back with them."""

import itertools
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

import async_continuum as ac
from tests.domain import Article, Tag
from tests.kit.history import count_transactions, told
from tests.kit.places import Place

Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
async def articles(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add_all(Article(id=number, name=f"article {number}") for number in (1, 2, 3))
        await session.commit()


async def names(sessions: Sessions, key: int) -> list[tuple[Any, ...]]:
    return await told(sessions, Article, key, "name")


async def test_a_first_change_in_a_rolled_back_savepoint_leaves_nothing(sessions: Sessions, articles: None) -> None:
    async with sessions() as session:
        savepoint = await session.begin_nested()
        (await session.get_one(Article, 1)).name = "never"
        await session.flush()
        await savepoint.rollback()
        await session.commit()

    assert await names(sessions, 1) == [("INSERT", "article 1")]
    assert await count_transactions(sessions, Article) == 1


async def test_a_change_after_a_rolled_back_savepoint_has_its_transaction(sessions: Sessions, articles: None) -> None:
    async with sessions() as session:
        savepoint = await session.begin_nested()
        (await session.get_one(Article, 1)).name = "never"
        await session.flush()
        await savepoint.rollback()
        (await session.get_one(Article, 2)).name = "changed"
        await session.commit()

    assert await names(sessions, 1) == [("INSERT", "article 1")]
    assert await names(sessions, 2) == [("INSERT", "article 2"), ("UPDATE", "changed")]
    assert await count_transactions(sessions, Article) == 2


async def test_try_to_insert_and_catch_the_integrity_error(sessions: Sessions) -> None:
    async def ensure(session: AsyncSession, name: str) -> None:
        try:
            async with session.begin_nested():
                session.add(Tag(name=name))
        except IntegrityError:
            pass

    async with sessions() as session:
        for name in ("a", "a", "b", "a", "b"):
            await ensure(session, name)
        await session.commit()
        for name in ("b", "c", "a", "c"):
            await ensure(session, name)
        await session.commit()

    async with sessions() as session:
        versions = (await session.scalars(select(ac.version_class(Tag)))).all()
        assert sorted((version.name, version.operation_type.name) for version in versions) == [
            ("a", "INSERT"),
            ("b", "INSERT"),
            ("c", "INSERT"),
        ]
    assert await count_transactions(sessions, Tag) == 2


async def test_a_change_in_a_rolled_back_savepoint_made_again(sessions: Sessions, articles: None) -> None:
    async with sessions() as session:
        for attempt in range(3):
            savepoint = await session.begin_nested()
            (await session.get_one(Article, 1)).name = f"attempt {attempt}"
            await session.flush()
            if attempt < 2:
                await savepoint.rollback()
            else:
                await savepoint.commit()
        await session.commit()

    assert await names(sessions, 1) == [("INSERT", "article 1"), ("UPDATE", "attempt 2")]
    assert await count_transactions(sessions, Article) == 2


@pytest.mark.parametrize("before", [False, True], ids=["nothing before", "a change before"])
@pytest.mark.parametrize("ends", list(itertools.product(["commit", "rollback"], repeat=3)), ids="-".join)
async def test_nested_savepoints_end_in_every_order(
    sessions: Sessions, articles: None, ends: tuple[str, ...], before: bool
) -> None:
    async with sessions() as session:
        if before:
            (await session.get_one(Article, 1)).name = "before"
            await session.flush()
        savepoints = []
        for depth in (1, 2, 3):
            savepoints.append(await session.begin_nested())
            for key in range(1, depth + 1):
                (await session.get_one(Article, key)).name = f"depth {depth}"
            await session.flush()
        # From the innermost out; what an outer one does to an inner one's changes counts.
        name = {1: "depth 3", 2: "depth 3", 3: "depth 3"}
        for depth, end in zip((3, 2, 1), reversed(ends), strict=True):
            if end == "commit":
                await savepoints[depth - 1].commit()
            else:
                await savepoints[depth - 1].rollback()
                for key in (1, 2, 3):
                    below = "before" if before and key == 1 else f"article {key}"
                    name[key] = f"depth {depth - 1}" if key <= depth - 1 else below
            (await session.get_one(Article, 3)).content = f"after {depth}"
            await session.flush()
        await session.commit()

    for key in (1, 2, 3):
        wanted = [("INSERT", f"article {key}")]
        if name[key] != f"article {key}" or key == 3:
            wanted.append(("UPDATE", name[key]))
        assert await names(sessions, key) == wanted
    assert (await told(sessions, Article, 3, "content"))[-1] == ("UPDATE", "after 1")
    assert await count_transactions(sessions, Article) == 2


async def test_an_outer_savepoint_rolled_back_over_an_open_inner_one(sessions: Sessions, articles: None) -> None:
    async with sessions() as session:
        (await session.get_one(Article, 1)).name = "kept"
        outer = await session.begin_nested()
        (await session.get_one(Article, 2)).name = "never"
        await session.begin_nested()
        await session.delete(await session.get_one(Article, 3))
        await session.flush()
        await outer.rollback()
        (await session.get_one(Article, 3)).name = "changed"
        await session.commit()

    assert [len(await names(sessions, key)) for key in (1, 2, 3)] == [2, 1, 2]


async def test_a_commit_commits_the_open_savepoints_too(sessions: Sessions, articles: None) -> None:
    async with sessions() as session:
        await session.begin_nested()
        (await session.get_one(Article, 1)).name = "changed"
        await session.begin_nested()
        (await session.get_one(Article, 1)).name = "article 1"
        await session.flush()
        await session.commit()

    assert await names(sessions, 1) == [("INSERT", "article 1")]
    assert await count_transactions(sessions, Article) == 1


async def test_a_delete_in_a_rolled_back_savepoint(sessions: Sessions, articles: None) -> None:
    async with sessions() as session:
        (await session.get_one(Article, 1)).name = "changed"
        await session.flush()
        savepoint = await session.begin_nested()
        await session.delete(await session.get_one(Article, 1))
        await session.flush()
        await savepoint.rollback()
        (await session.get_one(Article, 1)).content = "alive"
        await session.commit()

    assert await told(sessions, Article, 1, "name", "content") == [
        ("INSERT", "article 1", None),
        ("UPDATE", "changed", "alive"),
    ]


async def test_everything_rolled_back_leaves_nothing(sessions: Sessions, articles: None) -> None:
    async with sessions() as session:
        session.add(Article(id=4, name="new"))
        (await session.get_one(Article, 1)).name = "never"
        await session.delete(await session.get_one(Article, 2))
        await session.flush()
        await session.begin_nested()
        (await session.get_one(Article, 3)).name = "never"
        await session.flush()
        await session.rollback()
        (await session.get_one(Article, 3)).name = "changed"
        await session.commit()

    assert await names(sessions, 1) == [("INSERT", "article 1")]
    assert await names(sessions, 2) == [("INSERT", "article 2")]
    assert await names(sessions, 3) == [("INSERT", "article 3"), ("UPDATE", "changed")]
    assert await names(sessions, 4) == []
    assert await count_transactions(sessions, Article) == 2


async def test_a_failed_flush_leaves_nothing(sessions: Sessions, articles: None) -> None:
    async with sessions() as session:
        (await session.get_one(Article, 1)).name = "never"
        await session.flush()
        await session.delete(await session.get_one(Article, 3))
        session.add(Tag(id=1, name="same"))
        session.add(Tag(id=2, name="same"))
        with pytest.raises(IntegrityError):
            await session.flush()
        await session.rollback()
        (await session.get_one(Article, 2)).name = "changed"
        await session.commit()

    assert [len(await names(sessions, key)) for key in (1, 2, 3)] == [1, 2, 1]
    assert await count_transactions(sessions, Article) == 2


async def test_a_failed_flush_in_a_savepoint_keeps_what_was_before(sessions: Sessions, articles: None) -> None:
    async with sessions() as session:
        (await session.get_one(Article, 1)).name = "kept"
        with pytest.raises(IntegrityError):
            async with session.begin_nested():
                await session.delete(await session.get_one(Article, 3))
                session.add_all([Tag(id=1, name="same"), Tag(id=2, name="same")])
        (await session.get_one(Article, 2)).name = "changed"
        await session.commit()

    assert [len(await names(sessions, key)) for key in (1, 2, 3)] == [2, 2, 1]
    assert await count_transactions(sessions, Article) == 2


# -- tests of users, in a transaction that is rolled back in the end ---------------------------------------------------


@pytest.fixture
async def outer(engine: AsyncEngine, sessions: Sessions) -> AsyncIterator[AsyncConnection]:
    """What the fixture of an application's tests does: one connection, one transaction, rolled back."""
    async with engine.connect() as connection:
        transaction = await connection.begin()
        yield connection
        await transaction.rollback()
    assert await count_transactions(sessions, Article) == 0


async def count(session: AsyncSession, model: Any) -> int:
    return (await session.scalars(select(func.count()).select_from(model))).one()


@pytest.mark.sessions_record("triggers sign the database's transaction, not each session that joins it")
async def test_a_session_joined_to_an_outer_transaction(outer: AsyncConnection) -> None:
    async with AsyncSession(outer, join_transaction_mode="create_savepoint") as session:
        session.add(Article(id=1, name="one"))
        await session.commit()
        (await session.get_one(Article, 1)).name = "two"
        await session.commit()
        (await session.get_one(Article, 1)).name = "never"
        await session.flush()
        await session.rollback()
        article = await session.get_one(Article, 1)
        async with session.begin_nested():
            article.content = "three"
        await session.commit()
        versions = await ac.versions_of(article)
        assert [(v.operation_type.name, v.name, v.content) for v in versions] == [
            ("INSERT", "one", None),
            ("UPDATE", "two", None),
            ("UPDATE", "two", "three"),
        ]
        assert [version.end_transaction_id for version in versions] == [
            *(version.transaction_id for version in versions[1:]),
            None,
        ]
        assert await count(session, ac.transaction_class(Article)) == 3


@pytest.mark.sessions_record("triggers sign the database's transaction, not each session that joins it")
@pytest.mark.parametrize("mode", ["conditional_savepoint", "rollback_only", "control_fully", "create_savepoint"])
async def test_every_way_to_join_an_outer_transaction(sessions: Sessions, engine: AsyncEngine, mode: Any) -> None:
    async with engine.connect() as connection, connection.begin():
        async with AsyncSession(connection, join_transaction_mode=mode) as session:
            session.add(Article(id=1, name="one"))
            await session.commit()
        if mode != "control_fully":
            async with AsyncSession(connection, join_transaction_mode=mode) as session:
                (await session.get_one(Article, 1)).name = "two"
                await session.commit()

    wanted = [("INSERT", "one")] + ([("UPDATE", "two")] if mode != "control_fully" else [])
    assert await names(sessions, 1) == wanted


@pytest.mark.sessions_record("to triggers what two sessions do in one transaction is one change")
async def test_two_sessions_on_one_connection(outer: AsyncConnection) -> None:
    def joined() -> AsyncSession:
        return AsyncSession(outer, join_transaction_mode="create_savepoint")

    async with joined() as one:
        one.add(Article(id=1, name="one"))
        await one.commit()
    async with joined() as two:
        (await two.get_one(Article, 1)).name = "two"
        await two.commit()
    async with joined() as three:
        assert len(await ac.versions_of(three, Article, 1)) == 2


# -- SQLite without the recipe -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("write_before", [False, True])
async def test_savepoints_without_begin_are_warned_of_once(place: Place, base: Any, write_before: bool) -> None:
    engine = create_async_engine(place.url)
    place.engines.append(engine)
    sessions = async_sessionmaker(engine)
    caught: list[warnings.WarningMessage]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with sessions() as session:
            if write_before:
                # The driver begins before an INSERT, so that this savepoint is sound.
                session.add(Tag(id=1, name="x"))
                await session.flush()
                async with session.begin_nested():
                    session.add(Tag(id=2, name="y"))
                await session.commit()
                assert caught == []
        for _ in range(2):
            async with sessions() as session:
                async with session.begin_nested():
                    await session.get(Tag, 1)
                await session.rollback()
    ours = [warning for warning in caught if warning.category is RuntimeWarning]
    assert len(ours) == 1
    assert "BEGIN" in str(ours[0].message)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_savepoints_with_the_recipe_are_not_warned_of(sessions: Sessions) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            async with sessions() as session:
                async with session.begin_nested():
                    await session.get(Tag, 1)
                await session.commit()
    assert caught == []


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_a_revert_without_the_recipe_ends_with_its_transaction(
    place: Place, sessions: Sessions, articles: None, end: str
) -> None:
    async with sessions() as session:
        (await session.get_one(Article, 1)).name = "changed"
        await session.commit()
    engine = create_async_engine(place.url)
    place.engines.append(engine)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with AsyncSession(engine) as session:
            await (await ac.versions_of(session, Article, 1)[0]).revert(session)
            await getattr(session, end)()

    told = [("INSERT", "article 1"), ("UPDATE", "changed")]
    assert await names(sessions, 1) == told + ([("UPDATE", "article 1")] if end == "commit" else [])

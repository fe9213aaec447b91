"""One version for each entity and transaction, whatever the number of flushes: the table of what is recorded."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import inspect, select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

import async_continuum as ac
from tests.domain import Account, Article, Price, Profile, Seat, Tag
from tests.kit.history import count_transactions, told
from tests.record.conftest import Between

Sessions = async_sessionmaker[AsyncSession]

# With the moment: SQLite's own CURRENT_TIMESTAMP is stored otherwise than a datetime that comes from Python.
ONE: dict[str, Any] = {"id": 1, "name": "one", "content": "first", "created_at": datetime(2026, 1, 1)}


@pytest.fixture(params=["updated before", "deleted before"])
async def article(request: pytest.FixtureRequest, sessions: Sessions) -> Article:
    """An article that lives, with a different past each time; detached."""
    async with sessions(expire_on_commit=False) as session:
        article = Article(**ONE)
        session.add(article)
        await session.commit()
        if request.param == "deleted before":
            await session.delete(article)
            await session.commit()
            session.add(Article(**ONE))
            await session.commit()
        if request.param == "updated before":
            article.content = "zeroth"
            await session.commit()
            article.content = "first"
            await session.commit()
    return article


async def last(sessions: Sessions, model: type, key: Any, since: int, *names: str) -> list[tuple[Any, ...]]:
    return (await told(sessions, model, key, *names))[since:]


async def length(sessions: Sessions, model: type, key: Any) -> int:
    return len(await told(sessions, model, key))


async def test_insert_and_updates_are_one_insert_with_the_last_values(sessions: Sessions, between: Between) -> None:
    async with sessions() as session:
        article = Article(id=1, name="a")
        session.add(article)
        await between(session)
        article.name = "b"
        await between(session)
        article.content = "c"
        await session.commit()

    assert await told(sessions, Article, 1, "name", "content") == [("INSERT", "b", "c")]
    assert await count_transactions(sessions, Article) == 1


async def test_updates_are_one_update_with_the_last_values(
    sessions: Sessions, between: Between, article: Article
) -> None:
    before = await length(sessions, Article, 1)
    async with sessions() as session:
        article = await session.get_one(Article, 1)
        article.name = "b"
        await between(session)
        article.name = "c"
        await between(session)
        article.content = "d"
        await session.commit()

    assert await last(sessions, Article, 1, before, "name", "content") == [("UPDATE", "c", "d")]


async def test_an_update_that_ends_where_it_began_leaves_nothing(
    sessions: Sessions, between: Between, article: Article
) -> None:
    before, transactions = await length(sessions, Article, 1), await count_transactions(sessions, Article)
    async with sessions() as session:
        article = await session.get_one(Article, 1)
        article.name = "b"
        await between(session)
        article.name = "c"
        await between(session)
        article.name = "one"
        await session.commit()

    assert await last(sessions, Article, 1, before) == []
    assert await count_transactions(sessions, Article) == transactions


async def test_an_update_back_beside_another_change_leaves_only_the_other(sessions: Sessions, between: Between) -> None:
    async with sessions() as session:
        session.add_all([Article(id=1, name="one"), Article(id=2, name="two")])
        await session.commit()
    async with sessions() as session:
        one, two = await session.get_one(Article, 1), await session.get_one(Article, 2)
        one.name = two.name = "changed"
        await between(session)
        one.name = "one"
        await session.commit()

    assert await told(sessions, Article, 1, "name") == [("INSERT", "one")]
    assert await told(sessions, Article, 2, "name") == [("INSERT", "two"), ("UPDATE", "changed")]


async def test_what_is_excluded_alone_leaves_nothing(sessions: Sessions, between: Between) -> None:
    async with sessions() as session:
        session.add(Profile(id=1, nickname="ann", password="old"))
        await session.commit()
        profile = await session.get_one(Profile, 1)
        profile.password = "new"
        await between(session)
        profile.password = "newer"
        await session.commit()

    assert await told(sessions, Profile, 1, "nickname") == [("INSERT", "ann")]
    assert await count_transactions(sessions, Profile) == 1


async def test_what_is_excluded_beside_what_is_not(sessions: Sessions, between: Between) -> None:
    async with sessions() as session:
        session.add(Profile(id=1, nickname="ann", password="old"))
        await session.commit()
        profile = await session.get_one(Profile, 1)
        profile.password = "new"
        await between(session)
        profile.nickname = "anne"
        await session.commit()

    assert await told(sessions, Profile, 1, "nickname") == [("INSERT", "ann"), ("UPDATE", "anne")]


async def test_a_delete_holds_the_last_stored_values(sessions: Sessions, article: Article) -> None:
    before = await length(sessions, Article, 1)
    async with sessions() as session:
        article = await session.get_one(Article, 1)
        await session.delete(article)
        await session.commit()

    assert await last(sessions, Article, 1, before, "name", "content") == [("DELETE", "one", "first")]


async def test_an_update_and_a_delete_are_one_delete(sessions: Sessions, between: Between, article: Article) -> None:
    before = await length(sessions, Article, 1)
    async with sessions() as session:
        article = await session.get_one(Article, 1)
        article.name = "b"
        await between(session)
        await session.delete(article)
        await session.commit()

    assert await last(sessions, Article, 1, before, "name") == [("DELETE", "b")]


async def test_what_a_delete_kept_from_being_stored_is_not_recorded(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add(Tag(id=1, name="stored"))
        await session.commit()
        tag = await session.get_one(Tag, 1)
        tag.name = "never stored"
        await session.delete(tag)
        await session.commit()

    assert await told(sessions, Tag, 1, "name") == [("INSERT", "stored"), ("DELETE", "stored")]


async def test_a_delete_records_columns_that_were_never_loaded(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add(Account(owner="ann", notes="deferred", secret="never to be loaded", balance=5))
        await session.commit()
    async with sessions() as session:
        account = (await session.scalars(select(Account))).one()
        assert {"notes", "secret"} <= inspect(account).unloaded
        key = account.id
        await session.delete(account)
        await session.commit()

    async with sessions() as session:
        version = await ac.versions_of(session, Account, key)[-1]
        await session.refresh(version, ["notes", "secret"])
        assert (version.operation_type, version.notes, version.secret, version.doubled) == (
            ac.Operation.DELETE,
            "deferred",
            "never to be loaded",
            10,
        )


async def test_a_delete_of_an_expired_object(sessions: Sessions) -> None:
    async with sessions() as session:
        article = Article(id=1, name="one")
        session.add(article)
        await session.commit()  # expires it
        await session.delete(article)
        await session.commit()

    assert await told(sessions, Article, 1, "name") == [("INSERT", "one"), ("DELETE", "one")]


async def test_a_delete_of_a_row_older_than_its_history(sessions: Sessions) -> None:
    async with sessions() as session:
        with ac.versioning_disabled():
            session.add(Article(id=1, name="old", content="as stored"))
            await session.commit()
        await session.delete(await session.get_one(Article, 1))
        await session.commit()

    assert await told(sessions, Article, 1, "name", "content") == [("DELETE", "old", "as stored")]


async def test_an_update_of_a_row_older_than_its_history(sessions: Sessions, between_flushes: Between) -> None:
    async with sessions() as session:
        with ac.versioning_disabled():
            session.add(Article(id=1, name="old"))
            await session.commit()
        article = await session.get_one(Article, 1)
        article.name = "b"
        await between_flushes(session)
        article.name = "c"
        await session.commit()

    assert await told(sessions, Article, 1, "name") == [("UPDATE", "c")]


async def test_a_row_older_than_its_history_deleted_and_inserted_again(sessions: Sessions, between: Between) -> None:
    async with sessions() as session:
        with ac.versioning_disabled():
            session.add(Seat(hall="a", number=1, guest="ann"))
            await session.commit()
        await session.delete(await session.get_one(Seat, ("a", 1)))
        await between(session)
        session.add(Seat(hall="a", number=1, guest="bob"))
        await session.commit()

    assert await told(sessions, Seat, ("a", 1), "guest") == [("UPDATE", "bob")]


async def test_a_delete_and_an_insert_of_the_same_key_are_an_update(
    sessions: Sessions, between: Between, article: Article
) -> None:
    before = await length(sessions, Article, 1)
    async with sessions() as session:
        article = await session.get_one(Article, 1)
        await session.delete(article)
        await between(session)
        session.add(Article(id=1, name="other", content="first"))
        await session.commit()

    assert await last(sessions, Article, 1, before, "name", "content") == [("UPDATE", "other", "first")]


async def test_a_delete_and_an_insert_of_the_same_row_are_nothing(
    sessions: Sessions, between: Between, article: Article
) -> None:
    before, transactions = await length(sessions, Article, 1), await count_transactions(sessions, Article)
    async with sessions() as session:
        article = await session.get_one(Article, 1)
        await session.delete(article)
        await between(session)
        session.add(Article(**ONE))
        await session.commit()

    assert await last(sessions, Article, 1, before) == []
    assert await count_transactions(sessions, Article) == transactions


async def test_delete_insert_delete_is_a_delete(sessions: Sessions, between_flushes: Between, article: Article) -> None:
    before = await length(sessions, Article, 1)
    async with sessions() as session:
        await session.delete(await session.get_one(Article, 1))
        await between_flushes(session)
        again = Article(id=1, name="again")
        session.add(again)
        await between_flushes(session)
        await session.delete(again)
        await session.commit()

    assert await last(sessions, Article, 1, before) == [("DELETE",)]


async def test_an_insert_and_a_delete_leave_nothing(sessions: Sessions, between_flushes: Between) -> None:
    async with sessions() as session:
        article = Article(id=1, name="a")
        session.add(article)
        await between_flushes(session)
        article.name = "b"
        await between_flushes(session)
        await session.delete(article)
        await session.commit()

    assert await told(sessions, Article, 1) == []
    assert await count_transactions(sessions, Article) == 0


async def test_an_insert_and_a_delete_of_a_key_with_a_past_leave_nothing(
    sessions: Sessions, between_flushes: Between
) -> None:
    async with sessions() as session:
        session.add(Article(id=1, name="one"))
        await session.commit()
        await session.delete(await session.get_one(Article, 1))
        await session.commit()
        article = Article(id=1, name="two")
        session.add(article)
        await between_flushes(session)
        await session.delete(article)
        await session.commit()

    assert await told(sessions, Article, 1, "name") == [("INSERT", "one"), ("DELETE", "one")]
    assert await count_transactions(sessions, Article) == 2


async def test_insert_delete_insert_is_an_insert(sessions: Sessions, between_flushes: Between) -> None:
    async with sessions() as session:
        article = Article(id=1, name="a")
        session.add(article)
        await between_flushes(session)
        await session.delete(article)
        await between_flushes(session)
        session.add(Article(id=1, name="b"))
        await session.commit()

    assert await told(sessions, Article, 1, "name") == [("INSERT", "b")]


async def test_a_reused_key_begins_anew(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add(Article(id=1, name="one"))
        await session.commit()
        await session.delete(await session.get_one(Article, 1))
        await session.commit()
        session.add(Article(id=1, name="two", content="new"))
        await session.commit()

        versions = await ac.versions_of(session, Article, 1)
        assert [version.operation_type.name for version in versions] == ["INSERT", "DELETE", "INSERT"]
        changes = await versions[2].changeset()
        assert changes["name"] == (None, "two")
        assert changes["id"] == (None, 1)
        assert await versions[2].previous() is versions[1]


@pytest.mark.parametrize("steps", ["back", "away", "insert delete", "delete insert"])
async def test_the_subquery_strategy_nets_as_well(sessions: Sessions, between_flushes: Between, steps: str) -> None:
    async with sessions() as session:
        if steps != "insert delete":
            session.add(Price(id=1, amount=1))
            await session.commit()
        match steps:
            case "back" | "away":
                price = await session.get_one(Price, 1)
                price.amount = 2
                await between_flushes(session)
                price.amount = 1 if steps == "back" else 3
            case "insert delete":
                price = Price(id=1, amount=1)
                session.add(price)
                await between_flushes(session)
                await session.delete(price)
            case "delete insert":
                await session.delete(await session.get_one(Price, 1))
                await between_flushes(session)
                session.add(Price(id=1, amount=1))
        await session.commit()

    wanted = {"back": ["INSERT"], "away": ["INSERT", "UPDATE"], "insert delete": [], "delete insert": ["INSERT"]}
    assert [operation for (operation,) in await told(sessions, Price, 1)] == wanted[steps]


async def test_all_kinds_of_changes_in_one_flush(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add_all(Tag(id=i, name=f"tag {i}") for i in range(1, 7))
        await session.commit()
    async with sessions() as session:
        tags = {tag.id: tag for tag in await session.scalars(select(Tag))}
        tags[1].name = "changed 1"
        tags[2].name = "changed 2"
        await session.delete(tags[3])
        await session.delete(tags[4])
        session.add_all([Tag(id=7, name="new 7"), Tag(id=8, name="new 8")])
        await session.commit()

    assert {i: await told(sessions, Tag, i, "name") for i in (1, 3, 5, 7)} == {
        1: [("INSERT", "tag 1"), ("UPDATE", "changed 1")],
        3: [("INSERT", "tag 3"), ("DELETE", "tag 3")],
        5: [("INSERT", "tag 5")],
        7: [("INSERT", "new 7")],
    }
    assert await count_transactions(sessions, Tag) == 2


async def test_none_is_recorded_as_null_and_not_as_a_default(sessions: Sessions) -> None:
    async with sessions() as session:
        account = Account(owner="ann", state="open", notes="x")
        session.add(account)
        await session.flush()
        key = account.id
        await session.commit()
        account.notes = None
        await session.commit()

    async with sessions() as session:
        table = ac.version_table(Account)
        notes = (await session.scalars(select(table.c.notes).where(table.c.id == key).order_by("transaction_id"))).all()
        assert notes == ["x", None]


@pytest.mark.unaccounted
@pytest.mark.sessions_record("a trigger has recorded what text() has deleted")
async def test_deleting_a_row_that_is_gone_already_leaves_its_history_alone(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add(Tag(id=1, name="a"))
        await session.commit()
        tag = await session.get_one(Tag, 1)
        async with session.begin_nested():
            await session.execute(text("DELETE FROM tag"))
        await session.delete(tag)
        with pytest.warns(Warning, match="expected to delete 1 row"):
            await session.commit()

    assert await told(sessions, Tag, 1, "name") == [("INSERT", "a")]
    assert await count_transactions(sessions, Tag) == 1

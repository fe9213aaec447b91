"""Under asyncio: what is expired, deferred or never loaded is assigned without IO, and recorded all the same."""

from typing import Any

import pytest
from sqlalchemy import inspect, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, load_only

import async_continuum as ac
from tests.domain import Account, Article, Preferences, User
from tests.kit.databases import Databases
from tests.kit.history import count_transactions, told
from tests.kit.statements import Statements

Sessions = async_sessionmaker[AsyncSession]


async def test_an_expired_attribute_is_assigned(sessions: Sessions, statements: Statements) -> None:
    async with sessions() as session:
        article = Article(id=1, name="one", content="kept")
        session.add(article)
        await session.commit()
        assert "name" in inspect(article).expired_attributes
        before = len(statements)
        article.name = "two"
        assert len(statements) == before
        await session.commit()
        article.content = None
        await session.commit()

    assert await told(sessions, Article, 1, "name", "content") == [
        ("INSERT", "one", "kept"),
        ("UPDATE", "two", "kept"),
        ("UPDATE", "two", None),
    ]


async def test_an_expired_attribute_assigned_what_it_was_records_nothing(sessions: Sessions) -> None:
    async with sessions() as session:
        article = Article(id=1, name="one")
        session.add(article)
        await session.commit()
        article.name = "one"
        await session.commit()

    assert await told(sessions, Article, 1, "name") == [("INSERT", "one")]
    assert await count_transactions(sessions, Article) == 1


async def account(sessions: Sessions) -> int:
    async with sessions() as session:
        account = Account(owner="ann", notes="n", secret="s")
        session.add(account)
        await session.flush()
        key = account.id
        await session.commit()
    return key


async def stored(sessions: Sessions, key: int) -> list[tuple[Any, ...]]:
    table = ac.version_table(Account)
    async with sessions() as session:
        found = await session.execute(
            select(table.c.owner, table.c.notes, table.c.secret)
            .where(table.c.id == key)
            .order_by(table.c.transaction_id)
        )
        return [tuple(row) for row in found]


async def test_a_deferred_attribute_is_assigned(sessions: Sessions) -> None:
    key = await account(sessions)
    async with sessions() as session:
        row = (await session.scalars(select(Account))).one()
        row.notes = "changed"
        await session.commit()

    assert await stored(sessions, key) == [("ann", "n", "s"), ("ann", "changed", "s")]


async def test_a_raiseload_attribute_is_recorded_and_never_loaded(sessions: Sessions, statements: Statements) -> None:
    key = await account(sessions)
    async with sessions() as session:
        row = (await session.scalars(select(Account))).one()
        with pytest.raises(InvalidRequestError, match="raiseload"):
            _ = row.secret
        row.owner = "bob"
        await session.commit()
        row.secret = "changed"
        await session.commit()
        await session.delete(row)
        await session.commit()

    assert not [text for text in statements.starting("SELECT") if "secret" in text]
    assert await stored(sessions, key) == [
        ("ann", "n", "s"),
        ("bob", "n", "s"),
        ("bob", "n", "changed"),
        ("bob", "n", "changed"),
    ]


async def test_an_object_loaded_in_part(sessions: Sessions) -> None:
    key = await account(sessions)
    async with sessions() as session:
        row = (await session.scalars(select(Account).options(load_only(Account.id)))).one()
        assert "owner" in inspect(row).unloaded
        row.owner = "bob"
        await session.commit()

    assert await stored(sessions, key) == [("ann", "n", "s"), ("bob", "n", "s")]


async def test_an_object_that_was_never_loaded(sessions: Sessions) -> None:
    key = await account(sessions)
    async with sessions() as session:
        row = await session.merge(Account(id=key), load=True)
        row.owner = "bob"
        await session.commit()
        await session.delete(row)
        await session.commit()

    assert await stored(sessions, key) == [("ann", "n", "s"), ("bob", "n", "s"), ("bob", "n", "s")]


async def test_a_detached_object_comes_back(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add(Preferences(id=1, options={"a": 1}))
        await session.commit()
        row = await session.get_one(Preferences, 1)
    row.options["b"] = 2
    async with sessions() as session:
        session.add(row)
        await session.commit()

    assert await told(sessions, Preferences, 1, "options") == [("INSERT", {"a": 1}), ("UPDATE", {"a": 1, "b": 2})]


async def test_a_flush_of_what_keeps_no_history_asks_for_no_other_bind(
    sessions: Sessions, statements: Statements
) -> None:
    engine = sessions.kw["bind"].sync_engine

    class OnlyUsers(Session):
        def get_bind(self, mapper: Any = None, **_: Any) -> Any:
            assert mapper is not None, "somebody asked for a bind without saying for what"
            assert inspect(mapper).class_ is User
            return engine

    async with AsyncSession(sync_session_class=OnlyUsers) as session:
        session.add(User(id=1, name="ann"))
        await session.commit()
        async with session.begin_nested():
            user = await session.get_one(User, 1)
            user.name = "bob"
        await session.delete(user)
        await session.commit()

    assert statements.matching("version") == statements.matching("INSERT INTO transaction") == []


async def test_a_session_with_a_bind_for_each_class(sessions: Sessions) -> None:
    engine = sessions.kw["bind"]
    async with AsyncSession(binds={Article: engine, User: engine}) as session:
        session.add(Article(id=1, name="one"))
        await session.flush()
        (await session.get_one(Article, 1)).name = "two"
        await session.commit()

    assert await told(sessions, Article, 1, "name") == [("INSERT", "two")]


async def test_a_synchronous_session_writes_the_same_history(database: Databases, sessions: Sessions) -> None:
    async with sessions() as session:

        def write(sync: Session) -> None:
            with Session(sync.connection()) as inner:
                inner.add(Article(id=1, name="one"))
                inner.commit()

        await session.run_sync(write)
        await session.commit()

    assert await told(sessions, Article, 1, "name") == [("INSERT", "one")]

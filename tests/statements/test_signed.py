"""Who and why sign a transaction in which nothing but statements change something."""

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, String, Table, delete, func, insert, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column, relationship

import async_continuum as ac
from async_continuum import ImproperlyConfigured, Versioned, set_context, versioning_context
from async_continuum.plugins import TransactionMetaPlugin
from tests.kit.history import count_transactions


@pytest.fixture
def models(own):
    """Articles with tags, users, and a place for the reasons of transactions."""
    Base, manager = own(user_cls="User", plugins=[TransactionMetaPlugin()])

    class User(Base):
        __tablename__ = "user_account"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))

    article_tag = Table(
        "article_tag",
        Base.metadata,
        Column("article_id", ForeignKey("article.id", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
        Column("tag_id", ForeignKey("tag.id"), primary_key=True),
    )

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50), unique=True)
        tags: Mapped[list[Tag]] = relationship(secondary=article_tag, passive_deletes=True)

    return SimpleNamespace(base=Base, manager=manager, User=User, Article=Article, Tag=Tag, article_tag=article_tag)


def _upsert(backend: str, model: Any) -> Any:
    upsert: Any = {"sqlite": sqlite, "postgresql": postgresql, "mariadb": mysql}[backend].insert(model)
    upsert = upsert.values(name="a1")
    if backend == "mariadb":
        return upsert.on_duplicate_key_update(name="upserted")
    return upsert.on_conflict_do_update(index_elements=["name"], set_={"name": "upserted"})


def _statements(models: Any, backend: str) -> dict[str, Any]:
    Article, table = models.Article, models.Article.__table__
    statements = {
        "update": update(Article).values(name=Article.name + "!"),
        "update by key": update(Article).where(Article.id == 1).values(name="new"),
        "update by primary key": (update(Article), [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}]),
        "move keys": update(Article).values(id=Article.id + 10),
        "delete": delete(Article).where(Article.name != "a1"),
        "delete by key": delete(Article).where(Article.id == 1),
        "insert": insert(Article).values(name="new"),
        "insert many": (insert(Article), [{"name": "x"}, {"name": "y"}]),
        "insert from a query": insert(Article).from_select(["name"], select(Article.name + "!")),
        "upsert": _upsert(backend, Article),
        "core": update(table).where(table.c.id > 1).values(name=table.c.name + "?"),
        "links": insert(models.article_tag).values(article_id=2, tag_id=1),
        "links that go": delete(models.article_tag),
    }
    if backend == "postgresql":
        gone = delete(Article).where(Article.id == 1).returning(Article.id).cte("gone")
        statements["inside another"] = select(gone.c.id)
    return statements


async def _signed(session: Any, models: Any) -> Any:
    """Give the newest transaction's user, address and reasons, and how many reasons there are at all."""
    transaction = ac.transaction_class(models.Article)
    newest = (await session.scalars(select(transaction).order_by(transaction.id.desc()).limit(1))).one()
    meta = dict(await newest.awaitable_attrs.meta)
    return newest.id, newest.user_id, newest.remote_addr, meta


@pytest.fixture
async def sessions(database, models):
    sessions = await database(models.base, models.manager)
    async with sessions.begin() as session:
        session.add(models.User(id=7, name="ann"))
        tag = models.Tag(id=1)
        session.add_all([models.Article(name="a1", tags=[tag]), models.Article(name="a2")])
    return sessions


@pytest.mark.parametrize("given", ["to the task", "to the session", "to both"])
async def test_who_and_why_sign_what_a_statement_alone_has_changed(sessions, models, backend, given):
    for name, each in _statements(models, backend).items():
        statement, parameters = each if isinstance(each, tuple) else (each, None)
        before = await count_transactions(sessions, models.Article)
        async with sessions() as session:
            user = await session.get_one(models.User, 7)
            mine = {"user": user, "remote_addr": "10.0.0.7", "meta": {"reason": name, "batch": 5}}
            theirs = {"user_id": 8, "remote_addr": "10.0.0.8", "meta": {"reason": "another", "ticket": "x"}}
            if given != "to the task":
                set_context(session, **mine)
            with versioning_context(**(mine if given == "to the task" else theirs if given == "to both" else {})):
                await session.execute(statement, parameters)
                await session.flush()
            signed = await _signed(session, models)
            extra = {"ticket": "x"} if given == "to both" else {}
            assert signed[1:] == (7, "10.0.0.7", {"reason": name, "batch": "5", **extra}), name
            await session.rollback()
        assert await count_transactions(sessions, models.Article) == before


async def test_one_transaction_is_signed_once_whatever_has_changed_it(sessions, models):
    before = await count_transactions(sessions, models.Article)
    async with sessions.begin() as session:
        with versioning_context(user_id=7, meta={"reason": "first"}):
            await session.execute(update(models.Article).where(models.Article.id == 1).values(name="x"))
        with versioning_context(user_id=9, meta={"reason": "second"}):
            await session.execute(delete(models.Article).where(models.Article.id == 2))
            (await session.get_one(models.Article, 1)).name = "y"
    assert await count_transactions(sessions, models.Article) == before + 1
    async with sessions() as session:
        assert (await _signed(session, models))[1:] == (7, None, {"reason": "first"})


async def test_a_statement_that_changes_nothing_leaves_no_reason(sessions, models):
    before = await count_transactions(sessions, models.Article)
    async with sessions.begin() as session:
        with versioning_context(user_id=7, meta={"reason": "in vain"}):
            await session.execute(update(models.Article).values(name=models.Article.name))
            await session.execute(delete(models.Article).where(models.Article.name == "nobody"))
            await session.execute(insert(models.Article).values(id=50, name="short"))
            await session.execute(delete(models.Article).where(models.Article.id == 50))
    assert await count_transactions(sessions, models.Article) == before
    async with sessions() as session:
        meta = models.base.metadata.tables["transaction_meta"]
        assert await session.scalar(select(func.count()).select_from(meta)) == 0
    # The next one is signed by its own.
    async with sessions.begin() as session:
        with versioning_context(meta={"reason": "in earnest"}):
            await session.execute(update(models.Article).values(name=models.Article.name + "!"))
    async with sessions() as session:
        assert (await _signed(session, models))[1:] == (None, None, {"reason": "in earnest"})


async def test_a_rolled_back_savepoint_takes_its_signature_along(sessions, models):
    async with sessions.begin() as session:
        with versioning_context(user_id=8, meta={"reason": "inner"}):
            savepoint = await session.begin_nested()
            await session.execute(update(models.Article).values(name=models.Article.name + "?"))
            await savepoint.rollback()
        with versioning_context(user_id=9, meta={"reason": "outer"}):
            await session.execute(update(models.Article).values(name=models.Article.name + "!"))
    async with sessions() as session:
        assert (await _signed(session, models))[1:] == (9, None, {"reason": "outer"})


@pytest.mark.parametrize("statement", ["update", "delete", "insert", "insert from a query", "core"])
async def test_a_reason_that_nothing_stores_is_refused_from_a_statement_too(own, database, statement):
    Base, manager = own()

    class Plain(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50), unique=True)

    sessions = await database(Base, manager)
    async with sessions.begin() as session:
        session.add_all([Plain(name="a1"), Plain(name="a2")])
    changing = {
        "update": update(Plain).values(name=Plain.name + "!"),
        "delete": delete(Plain).where(Plain.name != "a1"),
        "insert": insert(Plain).values(name="new"),
        "insert from a query": insert(Plain).from_select(["name"], select(Plain.name + "!")),
        "core": update(Plain.__table__).values(name="x").where(Plain.__table__.c.id == 1),
    }[statement]
    async with sessions() as session:
        for wrong in ({"meta": {"reason": "lost"}}, {"user_id": 7}):
            with versioning_context(**wrong), pytest.raises(ImproperlyConfigured):
                await session.execute(changing)
            await session.rollback()
        await session.execute(changing)
        await session.commit()
    assert await count_transactions(sessions, Plain) == 2

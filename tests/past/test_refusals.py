"""A session in the past writes nothing, locks nothing, and runs no text whose tables would be those of the present."""

import re
from typing import Any

import pytest
from sqlalchemy import column, delete, func, insert, literal_column, select, table, tablesample, text, true, update
from sqlalchemy.orm import aliased
from sqlalchemy.schema import CreateTable

from async_continuum import ClassNotVersioned, ReadOnlySession, as_of, transaction_class, version_class
from tests.domain import Article, Comment, User

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

STATEMENTS: dict[str, Any] = {
    "insert": insert(Article).values(name="x"),
    "an ORM bulk insert": (insert(Article), [{"name": "x"}, {"name": "y"}]),
    "insert returning": insert(Article).values(name="x").returning(Article),
    "update": update(Article).values(name="x"),
    "update of live rows": update(User).values(name="x"),
    "an ORM bulk update": (update(Article), [{"id": 1, "name": "x"}]),
    "delete": delete(Article),
    "a Core delete": delete(Article.__table__),
    "DDL": CreateTable(Article.__table__),
    "text": text("SELECT * FROM article"),
    "text with columns": text("SELECT id FROM article").columns(Article.id),
    "from_statement of text": select(Article).from_statement(text("SELECT * FROM article")),
    "from_statement of an update": select(Article).from_statement(update(Article).values(name="x").returning(Article)),
    "text for a table": select(text("name")).select_from(text("article")),
    "text with a query in it": select(Article).where(text("article.id IN (SELECT id FROM article)")),
    "text with a query in a subquery": select(Article).where(
        Article.id.in_(text("SELECT id FROM article").columns(Article.id).scalar_subquery())
    ),
    "a literal column with a query in it": select(literal_column("(SELECT count(*) FROM article)")),
    "a table by its name alone": select(table("article", column("id")).c.id),
    "a CTE that hides a version table": select(select(User.id).cte("article_version").c.id, Article.id).join(
        Article, true()
    ),
    "a sample": select(aliased(Article, tablesample(Article, func.bernoulli(100)))),
    "a sample of the table": select(tablesample(Article.__table__, 10).c.id),
    "a lock": select(Article).with_for_update(),
    "a lock in a subquery": select(select(Article.id).with_for_update().subquery().c.id),
}


@pytest.fixture
async def past(session):
    """The moment at which there were one article and two users."""
    session.add_all([Article(id=1, name="first"), User(id=1, name="ann"), User(id=2, name="bob")])
    await session.commit()
    async with as_of(session, 1) as past:
        yield past


async def refused(execute, statement, *parameters):
    try:
        await execute(statement, *parameters)
    except ReadOnlySession as error:
        return error.statement is not None and re.search(r"read-only; it refused (?s:.+): .+\.$", str(error))
    return False


async def test_every_statement_that_is_no_query_of_history_is_refused_with_a_remedy(past):
    answered = []
    for name, given in STATEMENTS.items():
        statement, *parameters = given if isinstance(given, tuple) else (given,)
        for execute in (past.execute, past.scalar, past.scalars, past.stream):
            if not await refused(execute, statement, *parameters):
                answered.append((name, execute.__name__))
    assert answered == []
    assert await past.scalar(select(func.count()).select_from(Article)) == 1


async def test_whatever_would_be_flushed_is_refused(past):
    article = await past.get_one(Article, 1)
    article.name = "changed"
    with pytest.raises(ReadOnlySession, match=r"a flush of Article \(1,\)"):
        await past.flush()
    with pytest.raises(ReadOnlySession, match="a flush of Article"):
        await past.scalars(select(Comment))
    with pytest.raises(ReadOnlySession, match="a flush of Article"):
        await past.commit()
    past.expunge_all()

    past.add(Comment(text="new", article_id=1))
    with pytest.raises(ReadOnlySession, match=r"a flush of Comment \(new\)"):
        await past.flush()
    past.expunge_all()

    await past.delete(await past.get_one(User, 1))
    with pytest.raises(ReadOnlySession, match="a flush of User"):
        await past.flush()
    past.expunge_all()
    assert (await past.get_one(Article, 1)).name == "first"


async def test_an_object_that_is_set_to_what_it_is_can_be_read_on(past):
    article = await past.get_one(Article, 1)
    article.name = "first"
    await past.flush()
    assert await past.scalar(select(Article.name)) == "first"
    await past.commit()


async def test_nothing_reaches_the_database_in_bulk(past):
    def bulk(session):
        for call in (
            lambda: session.bulk_save_objects([Article(name="x")]),
            lambda: session.bulk_insert_mappings(Article, [{"name": "x"}]),
            lambda: session.bulk_update_mappings(Article, [{"id": 1, "name": "x"}]),
        ):
            with pytest.raises(ReadOnlySession, match="bulk_"):
                call()

    await past.run_sync(bulk)


async def test_no_connection_is_handed_out(past):
    with pytest.raises(ReadOnlySession, match="connection"):
        await past.connection()
    with pytest.raises(ReadOnlySession, match="connection"):
        await past.run_sync(lambda session: session.connection())


async def test_a_lock_is_refused_by_get_and_refresh(past):
    with pytest.raises(ReadOnlySession, match="with_for_update"):
        await past.get(Article, 1, with_for_update=True)
    article = await past.get_one(Article, 1)
    with pytest.raises(ReadOnlySession, match="with_for_update"):
        await past.refresh(article, with_for_update=True)


async def test_text_that_reads_no_table_is_answered(past):
    fragments = select(Article).where(text("article.name = :name")).order_by(text("article.id"))
    assert [each.id for each in await past.scalars(fragments, {"name": "first"})] == [1]
    assert await past.scalar(select(literal_column("1 + 1")).select_from(Article)) == 2
    assert await past.scalar(func.lower("A")) == "a"


async def test_models_without_history_are_read_live_or_refused(session, past):
    await session.execute(delete(User).where(User.id == 2))
    assert [user.name for user in await past.scalars(select(User))] == ["ann"]
    async with as_of(session, 1, live="refuse") as strict:
        assert (await strict.get_one(Article, 1)).name == "first"
        assert len((await strict.scalars(select(version_class(Article)))).all()) == 1
        assert len((await strict.scalars(select(transaction_class(Article)))).all()) == 1
        with pytest.raises(ClassNotVersioned, match="user_account"):
            await strict.scalars(select(User))
        with pytest.raises(ClassNotVersioned, match="user_account"):
            await strict.scalars(select(Article).join(Article.author))
    assert len((await past.scalars(select(User))).all()) == 1
    with pytest.raises(ValueError, match="'read' or 'refuse'"):
        as_of(session, 1, live="ignore")

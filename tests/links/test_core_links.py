"""Links that Core statements make and take away in a session are recorded like the ORM's."""

from functools import partial

import pytest
from sqlalchemy import bindparam, delete, func, insert, literal, select, update

import async_continuum as ac
from async_continuum import versions_of
from tests.links.magazine import links, transactions


@pytest.fixture
async def ends(session, models):
    """Articles 1 to 3 and tags 1 to 3, with no links."""
    for number in (1, 2, 3):
        session.add_all([models.Article(id=number), models.Tag(id=number)])
    await session.commit()


@pytest.fixture
async def linked(sessions, models, ends):
    """Each article with the tag of its number."""
    async with sessions() as session:
        await session.execute(insert(models.tagged), [{"article_id": n, "tag_id": n} for n in (1, 2, 3)])
        await session.commit()


# MariaDB's ids come from a sequence, which is asked first.
ONE_MORE = 5
MADE = [(1, 1, "INSERT"), (2, 2, "INSERT"), (3, 3, "INSERT")]


@pytest.mark.parametrize("name", ["tagged", "ranked", "numbered", "keyless"])
async def test_one_link_is_inserted_and_deleted(sessions, models, ends, name):
    table = getattr(models, name)
    async with sessions() as session:
        await session.execute(insert(table).values(article_id=1, tag_id=2))
        await session.commit()
    async with sessions() as session:
        await session.execute(insert(table), {"article_id": 1, "tag_id": 3})
        await session.commit()
        expected = [(1, 2, "INSERT"), (1, 3, "INSERT")]
        assert await links(session, models.manager, table) == expected
        await session.execute(delete(table).where(table.c.article_id == 1, table.c.tag_id == 2))
        await session.commit()
        assert await links(session, models.manager, table) == [*expected, (1, 2, "DELETE")]
        assert await transactions(session, models) == 4
        assert len(await versions_of(session, models.Article, 1)) == 1


async def test_further_columns_are_recorded_as_stored(sessions, models, ends):
    async with sessions() as session:
        await session.execute(insert(models.ranked).values(article_id=1, tag_id=1, note="first"))
        await session.execute(insert(models.ranked), [{"article_id": 1, "tag_id": n, "place": n} for n in (2, 3)])
        await session.commit()
        more = ("place", "reason", "note")
        assert await links(session, models.manager, models.ranked, *more) == [
            (1, 1, 7, "none given", "first", "INSERT"),
            (1, 2, 2, "none given", None, "INSERT"),
            (1, 3, 3, "none given", None, "INSERT"),
        ]
        await session.execute(update(models.ranked).where(models.ranked.c.place < 5).values(reason="low"))
        await session.commit()
        assert (await links(session, models.manager, models.ranked, "place", "reason"))[3:] == [
            (1, 2, 2, "low", "UPDATE"),
            (1, 3, 3, "low", "UPDATE"),
        ]


@pytest.mark.parametrize("name", ["numbered", "keyless"])
async def test_a_row_of_which_an_end_is_null_is_no_link(session, models, ends, name):
    table = getattr(models, name)
    session_links = partial(links, session, models.manager, table)
    await session.execute(insert(table).values(article_id=1, tag_id=None))
    await session.execute(insert(table), [{"article_id": 1, "tag_id": n} for n in (1, None, 2)])
    await session.execute(insert(table).values([{"article_id": 2, "tag_id": n} for n in (None, 3)]))
    await session.commit()
    made = [(1, 1, "INSERT"), (1, 2, "INSERT"), (2, 3, "INSERT")]
    assert await session_links() == made
    assert (await session.execute(update(table).where(table.c.article_id == 1).values(article_id=3))).rowcount == 4
    await session.commit()
    made += [(1, 1, "DELETE"), (1, 2, "DELETE"), (3, 1, "INSERT"), (3, 2, "INSERT")]
    assert await session_links() == made
    whole = update(table).where(table.c.article_id == 2, table.c.tag_id.is_(None)).values(tag_id=1)
    assert (await session.execute(whole)).rowcount == 1
    half = update(table).where(table.c.article_id == 3, table.c.tag_id == 1).values(article_id=None)
    assert (await session.execute(half)).rowcount == 1
    await session.commit()
    made += [(2, 1, "INSERT"), (3, 1, "DELETE")]
    assert await session_links() == made
    moves = update(table).where(table.c.article_id == bindparam("old")).values(article_id=bindparam("new"))
    await session.execute(moves, [{"old": 3, "new": 1}, {"old": 1, "new": 3}])
    await session.commit()
    assert await session_links() == made
    assert await ac.backfill(session, models.Article) == 0
    assert await ac.verify(session, models.Article) == []
    assert (await session.execute(delete(table).where(table.c.tag_id.is_(None)))).rowcount == 2
    assert (await session.execute(delete(table))).rowcount == 4
    await session.commit()
    assert await session_links() == [*made, (2, 1, "DELETE"), (2, 3, "DELETE"), (3, 2, "DELETE")]
    assert await session.scalar(select(func.count()).select_from(table)) == 0


async def test_many_parameter_sets_are_many_links(sessions, models, ends, statements, backend):
    async with sessions() as session:
        before = len(statements)
        given = [{"article_id": a, "tag_id": t} for a in (1, 2, 3) for t in (1, 2, 3)]
        await session.execute(insert(models.tagged), given)
        await session.commit()
        assert len(statements) - before <= (4 if backend != "mariadb" else ONE_MORE)
        assert await links(session, models.manager, models.tagged) == [
            (a, t, "INSERT") for a in (1, 2, 3) for t in (1, 2, 3)
        ]


async def test_several_rows_of_values_are_several_links(sessions, models, ends):
    async with sessions() as session:
        given = [{"article_id": 1, "tag_id": t} for t in (1, 2, 3)]
        await session.execute(insert(models.tagged).values(given))
        await session.commit()
        assert await links(session, models.manager, models.tagged) == [(1, t, "INSERT") for t in (1, 2, 3)]


async def test_values_as_tuples_are_links_too(sessions, models, ends):
    async with sessions() as session:
        await session.execute(insert(models.tagged).values([(1, 1), (2, 3)]))
        await session.execute(insert(models.tagged).values((3, 3)))
        await session.commit()
        assert await links(session, models.manager, models.tagged) == [
            (1, 1, "INSERT"),
            (2, 3, "INSERT"),
            (3, 3, "INSERT"),
        ]


async def test_a_link_named_by_the_parameters_of_a_delete_goes(sessions, models, linked):
    c = models.tagged.c
    by_key = delete(models.tagged).where(c.article_id == bindparam("a"), c.tag_id == bindparam("t"))
    async with sessions() as session:
        await session.execute(by_key, {"a": 1, "t": 1})
        connection = await session.connection()
        await connection.execute(by_key, [{"a": 2, "t": 2}, {"a": 9, "t": 9}])
        await session.commit()
        assert await links(session, models.manager, models.tagged) == [*MADE, (1, 1, "DELETE"), (2, 2, "DELETE")]


async def test_a_parameter_called_like_a_column_is_still_a_condition(sessions, models, linked):
    c = models.tagged.c
    odd = delete(models.tagged).where(c.article_id >= bindparam("article_id"), c.tag_id >= bindparam("tag_id"))
    async with sessions() as session:
        await session.execute(odd, {"article_id": 2, "tag_id": 1})
        await session.commit()
        assert await links(session, models.manager, models.tagged) == [*MADE, (2, 2, "DELETE"), (3, 3, "DELETE")]


async def test_a_link_may_move_to_where_another_was(sessions, models, linked):
    c = models.tagged.c
    async with sessions() as session:
        await session.execute(insert(models.tagged).values(article_id=1, tag_id=2))
        await session.commit()
        await session.execute(delete(models.tagged).where(c.article_id == 1, c.tag_id == 1))
        await session.execute(update(models.tagged).where(c.article_id == 1).values(tag_id=c.tag_id - 1))
        await session.commit()
        assert await links(session, models.manager, models.tagged) == [*MADE, (1, 2, "INSERT"), (1, 2, "DELETE")]
        await session.execute(update(models.tagged).values(article_id=4 - c.article_id))
        await session.execute(update(models.tagged).values(article_id=4 - c.article_id))
        await session.commit()
        assert await links(session, models.manager, models.tagged) == [*MADE, (1, 2, "INSERT"), (1, 2, "DELETE")]


@pytest.mark.parametrize("all_of_them", [True, False])
async def test_any_condition_says_which_links_go(sessions, models, linked, all_of_them):
    statement = delete(models.tagged)
    if not all_of_them:
        named = select(models.Article.id).where(models.Article.id > literal(1))
        statement = statement.where(models.tagged.c.article_id.in_(named))
    async with sessions() as session:
        await session.execute(statement)
        await session.commit()
        gone = [(n, n, "DELETE") for n in ((1, 2, 3) if all_of_them else (2, 3))]
        assert await links(session, models.manager, models.tagged) == [*MADE, *gone]


async def test_a_delete_that_matches_nothing_makes_no_transaction(sessions, models, linked):
    async with sessions() as session:
        await session.execute(delete(models.tagged).where(models.tagged.c.article_id == 99))
        await session.commit()
        assert await transactions(session, models) == 2


async def test_a_link_moved_to_another_end_is_one_gone_and_one_made(sessions, models, linked):
    async with sessions() as session:
        await session.execute(update(models.tagged).where(models.tagged.c.article_id == 1).values(tag_id=3))
        await session.commit()
        assert await links(session, models.manager, models.tagged) == [*MADE, (1, 1, "DELETE"), (1, 3, "INSERT")]


async def test_what_is_deleted_and_inserted_again_is_no_change(sessions, models, linked):
    async with sessions() as session:
        await session.execute(delete(models.tagged))
        await session.execute(insert(models.tagged), [{"article_id": n, "tag_id": n} for n in (1, 2, 3)])
        await session.commit()
        assert await links(session, models.manager, models.tagged) == MADE
        await session.execute(insert(models.tagged).values(article_id=1, tag_id=2))
        await session.execute(delete(models.tagged).where(models.tagged.c.tag_id == 2, models.tagged.c.article_id == 1))
        await session.commit()
        assert await links(session, models.manager, models.tagged) == MADE
        assert await transactions(session, models) == 2


async def test_core_and_orm_changes_of_one_transaction_add_up(session, models, linked):
    article = await session.get_one(models.Article, 1)
    tags = await article.awaitable_attrs.tags
    tags.append(await session.get_one(models.Tag, 2))
    # SQLAlchemy 2.0 does not flush before statements on a plain table.
    await session.flush()
    await session.execute(insert(models.tagged).values(article_id=1, tag_id=3))
    await session.execute(delete(models.tagged).where(models.tagged.c.tag_id == 2, models.tagged.c.article_id == 1))
    article.name = "renamed"
    await session.commit()
    assert await links(session, models.manager, models.tagged) == [*MADE, (1, 3, "INSERT")]
    assert await transactions(session, models) == 3
    assert [version.transaction_id for version in await article.awaitable_versions()] == [1, 3]


async def test_savepoints_and_rollbacks_take_core_links_back(sessions, models, linked):
    async with sessions() as session:
        savepoint = await session.begin_nested()
        await session.execute(delete(models.tagged))
        await savepoint.rollback()
        async with session.begin_nested():
            await session.execute(insert(models.tagged).values(article_id=1, tag_id=2))
        await session.commit()
        await session.execute(delete(models.tagged))
        await session.rollback()
        assert await links(session, models.manager, models.tagged) == [*MADE, (1, 2, "INSERT")]
        assert await transactions(session, models) == 3


async def test_a_statement_that_fails_leaves_nothing_waiting(sessions, models, linked):
    async with sessions() as session:
        for statement in (
            insert(models.tagged).values(article_id=1, tag_id=1),
            insert(models.tagged).values(article_id=1, tag_id=99),
            update(models.tagged).where(models.tagged.c.article_id == 1).values(tag_id=99),
        ):
            with pytest.raises(Exception, match=r"(?i)unique|duplicate|foreign key"):
                async with session.begin_nested():
                    await session.execute(statement)
        await session.execute(delete(models.tagged).where(models.tagged.c.article_id == 2))
        await session.commit()
        assert await links(session, models.manager, models.tagged) == [*MADE, (2, 2, "DELETE")]


async def test_who_and_why_sign_links_too(sessions, models, ends):
    with ac.versioning_context(remote_addr="10.0.0.7"):
        async with sessions() as session:
            await session.execute(insert(models.tagged).values(article_id=1, tag_id=1))
            await session.commit()
            transaction = await session.get_one(ac.transaction_class(models.Article), 2)
            assert transaction.remote_addr == "10.0.0.7"


async def test_a_current_transaction_is_the_one_of_the_links(sessions, models, ends):
    async with sessions() as session:
        transaction = await ac.current_transaction(session, model=models.Article)
        await session.execute(insert(models.tagged).values(article_id=1, tag_id=1))
        await session.commit()
        await session.refresh(transaction)
        assert transaction.id == 2
        assert await transactions(session, models) == 2


@pytest.mark.parametrize("name", ["keyless", "numbered"])
async def test_a_link_that_is_stored_twice_is_one_and_ends_with_the_last_of_them(sessions, models, ends, name):
    table = getattr(models, name)
    c = table.c
    twice, made = [{"article_id": 1, "tag_id": 2}] * 2, [(1, 2, "INSERT")]
    one_of_them = select(func.max(c.id)).scalar_subquery() if "id" in c else None
    async with sessions() as session:
        await session.execute(insert(table), twice)
        await session.commit()
        assert await links(session, models.manager, table) == made
        await session.execute(insert(table).values(twice))
        await session.commit()
        assert await links(session, models.manager, table) == made
        if one_of_them is not None:
            await session.execute(delete(table).where(c.id == one_of_them))
            await session.commit()
            await session.execute(update(table).where(c.id == one_of_them).values(tag_id=3))
            await session.commit()
            made.append((1, 3, "INSERT"))
            assert await links(session, models.manager, table) == made
        assert await ac.verify(session, models.Article) == []
        await session.execute(delete(table).where(c.article_id == 1, c.tag_id == 2))
        await session.commit()
        assert await links(session, models.manager, table) == [*made, (1, 2, "DELETE")]
        with ac.versioning_disabled():
            await session.execute(insert(table), twice)
            await session.commit()
        assert [each.kind for each in await ac.verify(session, models.Article)] == ["missing"]
        assert await ac.backfill(session, models.Article) == 1
        await session.commit()


@pytest.mark.parametrize("size", [2, 200])
async def test_a_statement_costs_a_constant_number_of_others(sessions, models, statements, size, backend):
    async with sessions() as session:
        session.add_all(models.Article(id=n) for n in range(1, size + 1))
        session.add(models.Tag(id=1))
        await session.commit()
        before = len(statements)
        given = [{"article_id": n, "tag_id": 1} for n in range(1, size + 1)]
        await session.execute(insert(models.tagged), given)
        assert len(statements) - before <= (4 if backend != "mariadb" else ONE_MORE), statements[before:]
        await session.commit()
        before = len(statements)
        await session.execute(delete(models.tagged).where(models.tagged.c.tag_id == 1))
        # On SQLite three of them make and empty the place for what is marked.
        assert len(statements) - before <= {"sqlite": 8, "mariadb": 7}.get(backend, 4), statements[before:]
        await session.commit()

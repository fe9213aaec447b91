"""A version object has the attributes of its model, neighbours that are never stale, and no hidden IO."""

import pickle

import pytest
from sqlalchemy import inspect, select
from sqlalchemy.orm import selectinload

import async_continuum as ac
from async_continuum import Operation, Version, version_class, versions_of
from tests import domain
from tests.chronicle import setting, write


@pytest.fixture
async def article(session, models):
    article = models.Article(id=1, name="a", content="long")
    await write(session, article, setting(article, name="b"), setting(article, name="c"))
    return article


async def test_neighbours_lead_through_history_and_end_in_none(article):
    first, second, third = await article.awaitable_versions()
    assert [await v.previous() for v in (first, second, third)] == [None, first, second]
    assert [await v.next() for v in (first, second, third)] == [second, third, None]
    assert [await v.index() for v in (first, second, third)] == [0, 1, 2]


async def test_neighbours_are_those_of_now(session, sessions, models, article):
    newest = await article.awaitable_versions()[-1]
    assert await newest.next() is None
    await session.commit()
    async with sessions() as other:
        (await other.get_one(models.Article, 1)).name = "d"
        await other.commit()
    following = await newest.next()
    assert following.name == "d"
    assert await following.previous() is newest
    assert await newest.next() is following


async def test_a_neighbour_shows_what_was_closed_since(session, article):
    newest = await article.awaitable_versions()[-1]
    assert newest.end_transaction_id is None
    article.name = "d"
    await session.flush()
    following = await newest.next()
    assert (await following.previous()).end_transaction_id == following.transaction_id
    await session.commit()


async def test_neighbours_of_an_expired_version_cost_one_statement_each(session, article, statements):
    versions = await article.awaitable_versions()
    session.expire_all()
    before = len(statements)
    await versions[1].previous()
    await versions[1].next()
    await versions[1].index()
    assert len(statements) == before + 3


async def test_a_reused_key_is_another_life_whose_first_version_follows_the_delete(session, models, article):
    await session.delete(article)
    await session.commit()
    await write(session, models.Article(id=1, name="new"))
    versions = await versions_of(session, models.Article, 1)
    assert [v.operation_type.name for v in versions] == ["INSERT", "UPDATE", "UPDATE", "DELETE", "INSERT"]
    assert await versions[-1].previous() is versions[-2]
    assert await versions[-1].index() == 4
    assert await versions[-1].changeset() == {"id": (None, 1), "name": (None, "new")}


async def test_a_version_has_the_models_synonyms_hybrids_and_column_properties(session, models, article):
    version = version_class(models.Article)
    first = await article.awaitable_versions()[0]
    assert (first.title, first.shouted, first.length, first.content) == ("a", "a!", 1, "long")
    for criterion in (version.title == "a", version.shouted == "a!", version.length == 1):
        found = await session.scalars(select(version).where(criterion, version.operation_type == Operation.INSERT))
        assert list(found) == [first]


async def test_the_operation_is_an_int_enum_and_the_transaction_columns_are_ids(article):
    for version in await article.awaitable_versions():
        assert isinstance(version.operation_type, Operation)
        assert isinstance(version.transaction_id, int)
    assert [int(operation) for operation in Operation] == [0, 1, 2]


async def test_transaction_and_parent_are_awaited_or_loaded_eagerly(session, models, article, statements):
    version = version_class(models.Article)
    for each in await article.awaitable_versions():
        assert (await each.awaitable_attrs.transaction).id == each.transaction_id
        assert await each.awaitable_attrs.version_parent is article
    session.expunge_all()
    before = len(statements)
    options = (selectinload(version.transaction), selectinload(version.version_parent))
    for each in await versions_of(session, models.Article, 1).options(*options):
        assert each.transaction.id == each.transaction_id
        assert each.version_parent.name == "c"
    assert len(statements) == before + 3


async def test_the_parent_of_what_is_gone_is_none(session, models, article):
    await session.delete(article)
    await session.commit()
    for version in await versions_of(session, models.Article, 1):
        assert await version.awaitable_attrs.version_parent is None


async def test_plain_access_does_no_io(article, statements):
    version = await article.awaitable_versions()[0]
    before = len(statements)
    for name in ("id", "name", "content", "title", "shouted", "length", "transaction_id", "end_transaction_id"):
        getattr(version, name)
    assert str(version)
    for method in (version.previous, version.next, version.index, version.changeset):
        method().close()
    assert len(statements) == before


async def test_a_version_says_in_its_repr_which_one_it_is(session, article):
    version = await article.awaitable_versions()[0]
    assert "ArticleVersion" in repr(version)
    assert "INSERT" in repr(version)
    session.expire_all()
    assert "ArticleVersion" in repr(version)


async def test_a_detached_version_has_no_session(session, article):
    version = await article.awaitable_versions()[0]
    session.expunge(version)
    for coroutine in (version.previous, version.next, version.index, version.changeset):
        with pytest.raises(ac.NoSession) as caught:
            await coroutine()
        assert caught.value.instance is version
    assert version.name == "a"


async def test_what_the_model_calls_like_a_method_of_ours_is_the_models(session, models):
    mark = models.Bookmark(id=1, index=5, next="n", previous="p", diff="d", changeset="c", revert="r", transaction="t")
    await write(session, mark, setting(mark, index=6))
    first, second = await mark.awaitable_versions()
    assert (first.index, first.next, first.previous) == (5, "n", "p")
    assert (first.diff, first.changeset, first.revert, first.transaction) == ("d", "c", "r", "t")
    assert await Version.previous(second) is first
    assert await Version.next(first) is second
    assert await Version.index(second) == 1
    assert await Version.changeset(second) == {"index": (5, 6)}
    assert await Version.diff(second, first) == {"index": (6, 5)}
    assert (await session.get(ac.transaction_class(models.Bookmark), second.transaction_id)) is not None
    assert (await Version.revert(first, session)).index == 5
    await session.commit()
    assert await mark.awaitable_versions().count() == 3


async def test_a_version_class_is_found_from_its_model_and_back(models):
    version = version_class(models.Article)
    assert ac.parent_class(version) is models.Article
    assert issubclass(version, Version)
    assert inspect(version).local_table is ac.version_table(models.Article)
    with pytest.raises(ac.ClassNotVersioned):
        ac.parent_class(models.Article)
    with pytest.raises(ac.ClassNotVersioned):
        version_class(models.User)


class TestOfImportableModels:
    """Classes of a module, unlike those of a function, can be pickled."""

    @pytest.fixture
    def base(self):
        return domain.Base

    @pytest.fixture
    def manager(self):
        return domain.manager

    @pytest.fixture
    def models(self):
        return domain

    async def test_a_version_survives_pickling(self, session):
        article = domain.Article(id=1, name="a")
        await write(session, article, setting(article, name="b"))
        versions = await article.awaitable_versions()
        copies = pickle.loads(pickle.dumps(versions))
        assert [type(copy) for copy in copies] == [domain.ArticleVersion] * 2
        assert [(c.name, c.transaction_id, c.operation_type) for c in copies] == [
            (v.name, v.transaction_id, v.operation_type) for v in versions
        ]
        session.expunge_all()
        session.add_all(copies)
        assert await copies[1].changeset() == {"name": ("a", "b")}

    async def test_attributes_keep_their_names_where_columns_have_others(self, session):
        person = domain.Person(number=1, given="Ada", family="Lovelace")
        await write(session, person, setting(person, family="King"))
        first, second = await person.awaitable_versions()
        assert (first.number, first.given, first.family, first.surname) == (1, "Ada", "Lovelace", "Lovelace")
        assert await second.changeset() == {"family": ("Lovelace", "King")}
        assert len(await versions_of(session, domain.Person, {"number": 1})) == 2
        assert await first.revert(session) is person
        await session.commit()
        assert (await person.awaitable_versions()[-1]).family == "Lovelace"

    async def test_keys_that_python_sees_otherwise_and_quoted_names_are_read(self, session):
        badge = domain.Badge(code="7", holder="ann")
        purchase = domain.Purchase(id=1, select="x", percent=1, spoken="hi", accented="ä", punctuated=".")
        await write(session, badge, setting(badge, holder="bob"), purchase, setting(purchase, percent=2))
        assert [v.holder for v in await versions_of(session, domain.Badge, "7")] == ["ann", "bob"]
        _, second = await badge.awaitable_versions()
        assert await second.changeset() == {"holder": ("ann", "bob")}
        assert (await second.previous()).code == "7"
        found = await ac.changesets(session, await purchase.awaitable_versions()[1:])
        assert list(found.values()) == [{"percent": (1, 2)}]

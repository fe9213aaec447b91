"""Every loader of SQLAlchemy's loads the relations of versions, and all of them load the same."""

import pytest
from sqlalchemy import inspect, select
from sqlalchemy.exc import InvalidRequestError, MissingGreenlet, StatementError
from sqlalchemy.orm import (
    contains_eager,
    defaultload,
    immediateload,
    joinedload,
    lazyload,
    raiseload,
    selectinload,
    subqueryload,
)

from async_continuum import version_class
from tests.relations.library import seen, tell
from tests.relations.test_as_they_were import RELATIONS, alike


@pytest.fixture
async def told(sessions, models):
    await tell(sessions, models, touched=False)


async def lazily(sessions, version, name):
    async with sessions() as session:
        return {
            inspect(each).identity: alike(name, seen(await getattr(each.awaitable_attrs, name)))
            for each in await session.scalars(select(version))
        }


EAGER = {
    "selectinload": selectinload,
    "joinedload": joinedload,
    "subqueryload": subqueryload,
    "immediateload": immediateload,
}


@pytest.mark.parametrize("loader", EAGER)
async def test_every_relation_is_loaded_as_if_it_were_asked_for(sessions, models, told, loader):
    wrong = {}
    for model in models.versioned:
        version = version_class(model)
        for name in {*RELATIONS[model.__name__]} - {"writer"}:
            expected = await lazily(sessions, version, name)
            async with sessions() as session:
                loaded = await session.scalars(select(version).options(EAGER[loader](getattr(version, name))))
                found = {
                    inspect(each).identity: alike(name, seen(inspect(each).dict[name])) for each in loaded.unique()
                }
            if found != expected:
                wrong[model.__name__, name] = (found, expected)
    assert wrong == {}


CHAINS = {
    "selectin, selectin": lambda b, t: selectinload(b.tags).selectinload(t.books),
    "selectin, joined": lambda b, t: selectinload(b.tags).joinedload(t.books),
    "joined, joined": lambda b, t: joinedload(b.tags).joinedload(t.books),
    "joined, selectin": lambda b, t: joinedload(b.tags).selectinload(t.books),
    "subquery, subquery": lambda b, t: subqueryload(b.tags).subqueryload(t.books),
    "immediate, immediate": lambda b, t: immediateload(b.tags).immediateload(t.books),
}


@pytest.mark.parametrize("chain", CHAINS)
async def test_loaders_are_chained(sessions, models, told, chain):
    BookVersion, TagVersion = version_class(models.Book), version_class(models.Tag)
    expected = await lazily(sessions, TagVersion, "books")
    async with sessions() as session:
        chosen = CHAINS[chain](BookVersion, TagVersion)
        books = (await session.scalars(select(BookVersion).options(chosen))).unique().all()
        tags = {inspect(tag).identity: tag for book in books for tag in book.tags}
        assert len(tags) >= 3
        for identity, tag in tags.items():
            assert seen(tag.books) == expected[identity]


async def test_a_chain_leads_back_into_its_own_table(sessions, models, told):
    BookVersion = version_class(models.Book)
    expected = await lazily(sessions, BookVersion, "after")
    for loader in (joinedload, selectinload, subqueryload):
        async with sessions() as session:
            path = loader(BookVersion.before)
            path = getattr(path, loader.__name__)(BookVersion.after)
            for book in (await session.scalars(select(BookVersion).options(path))).unique():
                for later in book.before:
                    assert seen(later.after) == expected[inspect(later).identity]


async def test_several_relations_are_loaded_at_once(sessions, models, told):
    BookVersion, AuthorVersion = version_class(models.Book), version_class(models.Author)
    names = ("tags", "author", "editor", "related", "shops", "praise")
    expected = {name: await lazily(sessions, BookVersion, name) for name in names}
    async with sessions() as session:
        loaded = select(BookVersion).options(
            joinedload(BookVersion.author).joinedload(AuthorVersion.bio),
            joinedload(BookVersion.editor),
            joinedload(BookVersion.tags),
            selectinload(BookVersion.related),
            joinedload(BookVersion.shops),
            subqueryload(BookVersion.praise),
        )
        for book in (await session.scalars(loaded)).unique():
            for name in names:
                assert seen(inspect(book).dict[name]) == expected[name][inspect(book).identity], name


async def test_eager_loading_goes_with_limits_and_orders(sessions, models, told):
    BookVersion = version_class(models.Book)
    expected = await lazily(sessions, BookVersion, "tags")
    for loader in (joinedload, selectinload, subqueryload):
        async with sessions() as session:
            newest = select(BookVersion).order_by(BookVersion.transaction_id.desc(), BookVersion.id).limit(2)
            books = (await session.scalars(newest.options(loader(BookVersion.tags)))).unique().all()
            assert len(books) == 2
            for book in books:
                assert seen(book.tags) == expected[inspect(book).identity]


async def test_a_loader_takes_criteria_of_its_own(sessions, models, told):
    BookVersion, TagVersion = version_class(models.Book), version_class(models.Tag)
    expected = await lazily(sessions, BookVersion, "tags")
    for loader in (joinedload, selectinload, subqueryload):
        async with sessions() as session:
            only_old = loader(BookVersion.tags.and_(TagVersion.name.startswith("old")))
            for book in (await session.scalars(select(BookVersion).options(only_old))).unique():
                wanted = [tag for tag in expected[inspect(book).identity] if tag[-1].startswith("old")]
                assert seen(book.tags) == wanted


async def test_a_join_of_the_users_own_fills_a_relation(sessions, models, told):
    BookVersion = version_class(models.Book)
    expected = await lazily(sessions, BookVersion, "reviews")
    async with sessions() as session:
        joined = select(BookVersion).join(BookVersion.reviews).options(contains_eager(BookVersion.reviews))
        books = (await session.scalars(joined)).unique().all()
        assert {inspect(book).identity for book in books} == {key for key, shown in expected.items() if shown}
        for book in books:
            assert sorted(seen(book.reviews)) == sorted(expected[inspect(book).identity])


async def test_a_query_of_versions_takes_loader_options(sessions, models, told):
    BookVersion, TagVersion = version_class(models.Book), version_class(models.Tag)
    expected = await lazily(sessions, BookVersion, "tags")
    async with sessions() as session:
        book = await session.get_one(models.Book, 1)
        versions = await book.awaitable_versions().options(selectinload(BookVersion.tags))
        assert [seen(version.tags) for version in versions] == [expected[inspect(each).identity] for each in versions]
        last = (await book.awaitable_versions().options(selectinload(BookVersion.tags).selectinload(TagVersion.books)))[
            -1
        ]
        assert any(seen(last) in seen(tag.books) for tag in last.tags)


# aiosqlite leaves a coroutine behind where SQLAlchemy raises.
@pytest.mark.filterwarnings("ignore:coroutine 'Connection.cursor' was never awaited", "ignore:Exception ignored in")
async def test_what_is_not_loaded_is_never_a_silent_query(sessions, models, told):
    BookVersion = version_class(models.Book)
    async with sessions() as session:
        book = (await session.scalars(select(BookVersion).limit(1))).one()
        for name in {*RELATIONS["Book"]} - {"publisher", "after"}:
            with pytest.raises((MissingGreenlet, StatementError), match="greenlet_spawn has not been called"):
                getattr(book, name)
            assert name not in inspect(book).dict


@pytest.mark.parametrize("wild", [False, True])
async def test_raiseload_and_its_like_are_heeded(sessions, models, told, wild):
    BookVersion = version_class(models.Book)
    async with sessions() as session:
        refused = raiseload("*") if wild else raiseload(BookVersion.tags)
        book = (await session.scalars(select(BookVersion).options(refused).limit(1))).one()
        with pytest.raises(InvalidRequestError, match="raise"):
            _ = book.tags
        with pytest.raises(InvalidRequestError, match="raise"):
            await book.awaitable_attrs.tags
        again = select(BookVersion).options(lazyload(BookVersion.tags)).execution_options(populate_existing=True)
        assert await (await session.scalars(again.limit(1))).one().awaitable_attrs.tags is not None


async def test_a_default_is_set_along_a_path(sessions, models, told):
    BookVersion, TagVersion = version_class(models.Book), version_class(models.Tag)
    async with sessions() as session:
        path = selectinload(BookVersion.tags), defaultload(BookVersion.tags).raiseload(TagVersion.books)
        for book in await session.scalars(select(BookVersion).options(*path)):
            for tag in book.tags:
                with pytest.raises(InvalidRequestError, match="raise"):
                    _ = tag.books


async def test_the_models_lazy_is_not_inherited(sessions, models, told, statements):
    BookVersion = version_class(models.Book)
    async with sessions() as session:
        before = len(statements)
        books = (await session.scalars(select(BookVersion))).all()
        assert len(statements) == before + 1
        assert "JOIN" not in statements[-1]
        for relation in inspect(BookVersion).relationships:
            assert relation.lazy == "select", relation
            assert relation.key not in inspect(books[0]).dict


async def test_a_collection_is_a_list_a_set_or_a_dict_as_it_is_on_the_model(sessions, models, told):
    async with sessions() as session:
        book = await session.get_one(models.Book, 1)
        first = await book.awaitable_versions()[0]
        plain = await first.awaitable_attrs.reviews
        assert isinstance(plain, list)
        assert len(plain) > 1
        assert await first.awaitable_attrs.review_set == set(plain)
        assert isinstance(await first.awaitable_attrs.review_set, set)
        assert await first.awaitable_attrs.review_dict == {review.name: review for review in plain}
        assert await first.awaitable_attrs.lazy_dynamic == await first.awaitable_attrs.lazy_write_only == plain


async def test_a_stream_loads_relations_of_versions_and_of_models_as_ever(sessions, models, told):
    async with sessions() as session:
        for entity in (models.Book, version_class(models.Book)):
            loaded = select(entity).options(lazyload("*"), selectinload(entity.tags))
            streamed = await session.stream_scalars(loaded, execution_options={"yield_per": 2})
            found = {inspect(each).identity: seen(inspect(each).dict["tags"]) async for each in streamed}
            expected = (await session.scalars(loaded)).all()
            assert found == {inspect(each).identity: seen(inspect(each).dict["tags"]) for each in expected}
            assert any(found.values())

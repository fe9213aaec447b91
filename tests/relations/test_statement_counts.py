"""A list of versions loads a relation in one statement, however many there are."""

import pytest
from sqlalchemy import insert, inspect, select
from sqlalchemy.orm import selectinload

from async_continuum import version_class

COUNT = 100


@pytest.fixture(params=[2, COUNT], ids="{} versions".format)
async def count(request, sessions, models):
    """Books, each with ten tags of its own choice and an author who has a bio, in two transactions."""
    async with sessions.begin() as session:
        session.add_all([models.Tag(id=n, name=f"tag {n}") for n in range(1, 31)])
        session.add_all([models.Author(id=n, name=f"author {n}") for n in (1, 2, 3)])
        await session.flush()
        session.add_all([models.Bio(id=n, name=f"bio {n}", author_id=n) for n in (1, 2, 3)])
        session.add_all([models.Book(id=n, name=f"book {n}", author_id=1 + n % 3) for n in range(1, request.param + 1)])
        await session.flush()
        links = [{"left_id": n, "right_id": 1 + (n + k) % 30} for n in range(1, request.param + 1) for k in range(10)]
        await session.execute(insert(models.book_tag), links)
    async with sessions.begin() as session:
        (await session.get_one(models.Tag, 1)).name = "renamed"
        (await session.get_one(models.Author, 1)).name = "renamed"
    return request.param


async def test_each_relation_takes_one_statement(sessions, models, count, statements):
    BookVersion = version_class(models.Book)
    async with sessions() as session:
        chosen = select(BookVersion).order_by(BookVersion.id)
        before = len(statements)
        options = [selectinload(BookVersion.tags), selectinload(BookVersion.author)]
        versions = (await session.scalars(chosen.options(*options))).all()
        assert len(statements) == before + 3, str(statements)
        # Of a parameter, generic plans of PostgreSQL would expect that nearly every version is a DELETE.
        assert all("operation_type != 2" in text for text in statements[before + 1 :])
        assert len(versions) == count
        for book in versions:
            assert sorted(tag.id for tag in book.tags) == sorted(1 + (book.id + k) % 30 for k in range(10))
            assert book.author.name == f"author {1 + book.id % 3}"
            assert not any(tag.name == "renamed" for tag in book.tags)


async def test_each_relation_of_a_chained_path_takes_one_statement(sessions, models, count, statements):
    BookVersion, AuthorVersion, TagVersion = (version_class(m) for m in (models.Book, models.Author, models.Tag))
    async with sessions() as session:
        before = len(statements)
        loaded = select(BookVersion).options(
            selectinload(BookVersion.tags).selectinload(TagVersion.books),
            selectinload(BookVersion.author).selectinload(AuthorVersion.bio),
        )
        versions = (await session.scalars(loaded)).all()
        assert len(statements) == before + 5, str(statements)
        assert len(versions) == count
        for book in versions:
            assert book.author.bio.name == f"bio {book.author.id}"
            assert all(book in tag.books for tag in book.tags)


async def test_every_relation_of_all_takes_one_statement_each(sessions, models, count, statements):
    BookVersion = version_class(models.Book)
    # version_parent loads live objects, which load what their model says they do.
    names = set(inspect(BookVersion).relationships.keys()) - {"version_parent"}
    async with sessions() as session:
        before = len(statements)
        loaded = select(BookVersion).options(*(selectinload(getattr(BookVersion, name)) for name in names))
        versions = (await session.scalars(loaded)).all()
        # A many-to-one that leads nowhere needs none at all.
        assert len(statements) <= before + 1 + len(names), str(statements)
        assert len(versions) == count


async def test_a_query_of_one_entitys_versions_takes_one_statement_for_each_relation(sessions, models, statements):
    async with sessions.begin() as session:
        session.add(models.Author(id=1, name="ann"))
        await session.flush()
        session.add_all([models.Book(id=1, name="0", author_id=1), models.Tag(id=1, name="0")])
        await session.flush()
        await session.execute(insert(models.book_tag).values(left_id=1, right_id=1))
    for n in range(1, 20):
        async with sessions.begin() as session:
            (await session.get_one(models.Book, 1)).name = str(n)
            (await session.get_one(models.Tag, 1)).name = str(n)
    BookVersion = version_class(models.Book)
    async with sessions() as session:
        book = await session.get_one(models.Book, 1)
        before = len(statements)
        options = [selectinload(BookVersion.tags), selectinload(BookVersion.author)]
        versions = await book.awaitable_versions().options(*options)
        assert len(statements) == before + 3, str(statements)
        assert [(v.name, [tag.name for tag in v.tags], v.author.name) for v in versions] == [
            (str(n), [str(n)], "ann") for n in range(20)
        ]

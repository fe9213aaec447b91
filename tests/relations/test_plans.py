"""The relations of a list of versions are found by index, their keys handed over in one parameter."""

import pytest
from sqlalchemy import insert, select
from sqlalchemy.orm import selectinload

from async_continuum import version_class


@pytest.fixture(params=[1, 20], ids="{} versions".format)
async def count(request, sessions, models):
    async with sessions.begin() as session:
        session.add_all([models.Tag(id=n, name=f"tag {n}") for n in range(1, 31)])
        session.add_all([models.Author(id=n, name=f"author {n}") for n in (1, 2, 3)])
        await session.flush()
        session.add_all([models.Book(id=n, name=f"book {n}", author_id=1 + n % 3) for n in range(1, 61)])
        await session.flush()
        links = [{"left_id": n, "right_id": 1 + (n + k) % 30} for n in range(1, 61) for k in range(10)]
        await session.execute(insert(models.book_tag), links)
    return request.param


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_no_relation_reads_a_table_from_end_to_end(sessions, models, count, statements):
    BookVersion, TagVersion = version_class(models.Book), version_class(models.Tag)
    tables = {each.name for each in models.Book.metadata.tables.values()}
    async with sessions() as session:
        options = [
            selectinload(BookVersion.tags).selectinload(TagVersion.version_parent),
            selectinload(BookVersion.author),
        ]
        before = len(statements)
        chosen = select(BookVersion).where(BookVersion.id <= count)
        books = (await session.scalars(chosen.options(*options))).all()
        assert len(books) == count
        assert all(len(book.tags) == 10 and book.author for book in books)
        loads = list(zip(statements.texts[before + 1 :], statements.parameters[before + 1 :], strict=True))
        assert len(loads) >= 3
        connection = await session.connection()
        for statement, parameters in loads:
            rows = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plan = [row[3] for row in rows]
            assert not [line for line in plan if line.startswith("SCAN") and line.split()[1] in tables], plan
            assert any("SEARCH" in line for line in plan), plan


@pytest.mark.parametrize("number", [501, 1_100])
async def test_more_versions_than_one_statement_takes_are_asked_for_in_several(sessions, models, statements, number):
    BookVersion = version_class(models.Book)
    async with sessions.begin() as session:
        session.add_all([models.Author(id=n, name=f"author {n}") for n in (1, 2, 3)])
        await session.flush()
        await session.execute(
            insert(models.Book), [{"id": n, "name": "b", "author_id": 1 + n % 3} for n in range(1, number + 1)]
        )
    async with sessions() as session:
        before = len(statements)
        books = (await session.scalars(select(BookVersion).options(selectinload(BookVersion.author)))).all()
        assert len(books) == number
        assert all(book.author.name == f"author {1 + book.id % 3}" for book in books)
        loads = statements.texts[before + 1 :]
        assert len(loads) == 1 + (number - 1) // 500
        assert len(set(loads)) == 1, loads[-1]


async def test_a_relation_of_many_versions_is_one_text_on_any_database(sessions, models, statements):
    BookVersion = version_class(models.Book)
    async with sessions.begin() as session:
        session.add_all([models.Book(id=n, name="b", author=models.Author(name=f"a {n}")) for n in range(1, 6)])
    texts = set()
    for number in (2, 5):
        async with sessions() as session:
            chosen = select(BookVersion).where(BookVersion.id <= number).options(selectinload(BookVersion.author))
            books = (await session.scalars(chosen)).all()
            assert [book.author.name for book in books] == [f"a {book.id}" for book in books]
            texts.add(statements[-1])
    assert len(texts) == 1

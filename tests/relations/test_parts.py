"""What a model adds to its columns and relations works on its versions: hybrids, synonyms, composites, proxies."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from async_continuum import version_class
from tests.relations.library import Span, seen, tell


@pytest.fixture
async def first(session, sessions, models):
    """The first version of a book, with what its proxies go over."""
    await tell(sessions, models, days=3)
    BookVersion, CreditVersion = version_class(models.Book), version_class(models.Credit)
    loaded = select(BookVersion).where(BookVersion.id == 1).order_by(BookVersion.transaction_id)
    loaded = loaded.options(
        selectinload(BookVersion.tags),
        selectinload(BookVersion.author),
        selectinload(BookVersion.review_dict),
        selectinload(BookVersion.credits).selectinload(CreditVersion.author),
    )
    return (await session.scalars(loaded)).first()


async def test_a_proxy_shows_what_it_stands_for_as_it_was(session, models, first):
    assert first.tag_names == ["old", "hidden"]
    assert first.author_name == "ann"
    assert [author.name for author in first.contributors] == ["ann", "bob"]
    assert dict(first.ratings) == {"review 2": 2, "review 4": 4}
    newest = await first.next()
    assert [tag.name for tag in await newest.awaitable_attrs.tags] == list(newest.tag_names) == ["hidden", "new"]


async def test_a_proxy_is_asked_for_in_queries(session, models, first):
    BookVersion = version_class(models.Book)
    found = await session.scalars(select(BookVersion).where(BookVersion.tag_names == "old"))
    assert {(book.id, book.transaction_id) for book in found} == {(1, 1), (3, 2)}
    by_bob = await session.scalars(select(BookVersion.id).where(BookVersion.author_name == "bob"))
    assert set(by_bob) == {2}


async def test_a_hybrid_over_a_relation_shows_what_was_related(session, models, first):
    BookVersion = version_class(models.Book)
    assert first.is_tagged
    assert first.shouted == "one!"
    tagged = await session.execute(select(BookVersion.id, BookVersion.transaction_id).where(BookVersion.is_tagged))
    assert {tuple(row) for row in tagged} == {(1, 1), (2, 1), (1, 2), (2, 2), (3, 2), (1, 3), (2, 3), (3, 3)}


async def test_a_hybrid_method_is_asked_of_versions(session, models, first):
    BookVersion = version_class(models.Book)
    assert not first.begins_after(1900)
    after = await session.scalars(
        select(BookVersion.transaction_id).where(BookVersion.id == 1, BookVersion.begins_after(1900))
    )
    assert list(after) == [2, 3]


async def test_a_synonym_of_a_relation_is_that_relation(session, models, first):
    BookVersion = version_class(models.Book)
    assert first.writer is first.author
    assert first.title == first.name == "one"
    found = await session.scalars(select(BookVersion.id).where(BookVersion.writer.has(name="bob")))
    assert set(found) == {2}
    loaded = select(BookVersion).where(BookVersion.id == 2).options(selectinload(BookVersion.writer))
    shown = [seen(book.author) for book in await session.scalars(loaded.order_by(BookVersion.transaction_id))]
    assert [author[-1] for author in shown] == ["ann", "bob", "ONE"]


async def test_a_composite_is_made_of_the_values_of_then(session, models, first):
    BookVersion = version_class(models.Book)
    assert first.span == Span(1900, None)
    assert (await first.next()).span == Span(1950, None)
    found = await session.scalars(select(BookVersion.transaction_id).where(BookVersion.span == Span(1900, None)))
    assert set(found) == {1, 2, 3}


async def test_a_column_property_over_the_row_itself_is_of_the_past(session, models, first):
    BookVersion = version_class(models.Book)
    assert first.length == 3
    assert set(await session.scalars(select(BookVersion.id).where(BookVersion.length == 5))) == {3}


async def test_a_column_property_over_other_rows_is_absent_and_says_why(session, models, first):
    with pytest.raises(AttributeError, match=r"BookVersion\.review_count is not available.*other rows"):
        _ = first.review_count
    with pytest.raises(AttributeError, match=r"BookVersion\.review_count is not available.*other rows"):
        _ = version_class(models.Book).review_count
    assert not hasattr(first, "review_count")

"""The relations of versions are used in queries as those of any model: any, has, joins, comparisons, aliases."""

import pytest
from sqlalchemy import func, inspect, select
from sqlalchemy.exc import ArgumentError, InvalidRequestError
from sqlalchemy.orm import aliased, selectinload, with_parent

from async_continuum import alive_at, version_class
from tests.relations.library import tell


@pytest.fixture
async def past(session, sessions, models):
    """Every version of a book, with its relations: what plain Python can be asked about."""
    await tell(sessions, models)
    BookVersion = version_class(models.Book)
    names = ("tags", "author", "editor", "after", "before", "related", "reviews", "credits", "shops", "publisher")
    loaded = select(BookVersion).options(*(selectinload(getattr(BookVersion, name)) for name in names))
    return list(await session.scalars(loaded))


def named(value, name):
    return value is not None and value.name == name


# What is asked in SQL of the version class, and what the same is in Python.
QUESTIONS = {
    "a many-to-many has any": (lambda b: b.tags.any(), lambda b: b.tags),
    "a many-to-many has any of a kind": (
        lambda b: b.tags.any(name="old'"),
        lambda b: any(named(tag, "old'") for tag in b.tags),
    ),
    "a many-to-many has none": (lambda b: ~b.tags.any(), lambda b: not b.tags),
    "a one-to-many has any of a kind": (
        lambda b: b.reviews.any(stars=5),
        lambda b: any(review.stars == 5 for review in b.reviews),
    ),
    "a many-to-one is there": (lambda b: b.editor.has(), lambda b: b.editor is not None),
    "a many-to-one is of a kind": (lambda b: b.author.has(name="bob"), lambda b: named(b.author, "bob")),
    "a many-to-one is not there": (lambda b: ~b.editor.has(), lambda b: b.editor is None),
    "a many-to-one is None": (lambda b: b.editor == None, lambda b: b.editor is None),  # noqa: E711
    "a many-to-one is not None": (lambda b: b.editor != None, lambda b: b.editor is not None),  # noqa: E711
    "a live object is None": (lambda b: b.publisher == None, lambda b: b.publisher is None),  # noqa: E711
    "a collection is None": (lambda b: b.tags == None, lambda b: not b.tags),  # noqa: E711
    "a self-reference is there": (lambda b: b.after.has(), lambda b: b.after is not None),
    "a self-reference is of a kind": (lambda b: b.after.has(name="one"), lambda b: named(b.after, "one")),
    "a self-referential collection has any": (
        lambda b: b.before.any(name="two"),
        lambda b: any(named(each, "two") for each in b.before),
    ),
    "a self-referential many-to-many has any": (
        lambda b: b.related.any(name="three"),
        lambda b: any(named(each, "three") for each in b.related),
    ),
    "a collection of live objects has any": (
        lambda b: b.shops.any(name="shop 3"),
        lambda b: any(named(each, "shop 3") for each in b.shops),
    ),
    "a live object is of a kind": (
        lambda b: b.publisher.has(name="publisher 2"),
        lambda b: named(b.publisher, "publisher 2"),
    ),
}


async def test_a_version_is_chosen_by_what_was_related(session, models, past):
    BookVersion, wrong = version_class(models.Book), {}
    for question, (in_sql, in_python) in QUESTIONS.items():
        expected = {version for version in past if in_python(version)}
        assert 0 < len(expected) < len(past), question
        for asked in (BookVersion, aliased(BookVersion)):
            found = set(await session.scalars(select(asked).where(in_sql(asked))))
            if found != expected:
                wrong[question, asked is BookVersion] = (found, expected)
    assert wrong == {}


async def test_one_relation_leads_to_the_next(session, models, past):
    BookVersion, CreditVersion = version_class(models.Book), version_class(models.Credit)
    by_bob = BookVersion.credits.any(CreditVersion.author.has(name="bob"))
    found = set(await session.scalars(select(BookVersion).where(by_bob)))
    expected = set()
    for book in past:
        for credit in book.credits:
            if named(await credit.awaitable_attrs.author, "bob"):
                expected.add(book)
    assert found == expected
    assert found


async def test_a_join_gives_each_version_with_what_was_related(session, models, past):
    BookVersion = version_class(models.Book)
    for name in ("tags", "author", "editor", "after", "before", "related", "reviews", "shops"):
        to = aliased(inspect(BookVersion).relationships[name].mapper.class_)
        for outer in (False, True):
            joined = select(BookVersion, to).join(getattr(BookVersion, name).of_type(to), isouter=outer)
            found = [tuple(row) for row in await session.execute(joined)]
            expected = []
            for book in past:
                value = getattr(book, name)
                related = value if isinstance(value, list) else [value] if value is not None else []
                expected += [(book, each) for each in related or ([None] if outer else [])]
            assert len(found) == len(expected), (name, outer)
            assert set(found) == set(expected), (name, outer)


async def test_two_aliases_of_one_version_class_are_told_apart(session, models, past):
    BookVersion = version_class(models.Book)
    earlier, earliest = aliased(BookVersion), aliased(BookVersion)
    joined = select(BookVersion, earlier, earliest).join(BookVersion.after.of_type(earlier))
    joined = joined.join(earlier.after.of_type(earliest), isouter=True)
    found = {tuple(row) for row in await session.execute(joined)}
    expected = {(b, b.after, await b.after.awaitable_attrs.after) for b in past if b.after is not None}
    assert found == expected
    assert any(row[2] for row in found)


async def test_related_versions_are_counted_and_grouped(session, models, past):
    BookVersion, TagVersion = version_class(models.Book), version_class(models.Tag)
    counted = (
        select(BookVersion.id, BookVersion.transaction_id, func.count(TagVersion.id))
        .join(BookVersion.tags)
        .group_by(BookVersion.id, BookVersion.transaction_id)
    )
    found = {(key, begins): count for key, begins, count in await session.execute(counted)}
    assert found == {(book.id, book.transaction_id): len(book.tags) for book in past if book.tags}


@pytest.mark.parametrize("alias", [False, True], ids=["", "of an alias"])
async def test_a_version_is_compared_with_what_was_related(session, models, past, alias):
    asked = aliased(version_class(models.Book)) if alias else version_class(models.Book)
    open_and_closed = set()
    for name in ("author", "after", "publisher"):
        relation = getattr(asked, name)
        for value in {getattr(book, name) for book in past} - {None}:
            open_and_closed.add(getattr(value, "end_transaction_id", None) is None)
            found = set(await session.scalars(select(asked).where(relation == value)))
            assert found == {book for book in past if getattr(book, name) is value}, name
            others = set(await session.scalars(select(asked).where(relation != value)))
            assert others == set(past) - found, name
    for name in ("tags", "reviews", "related", "before", "shops"):
        relation = getattr(asked, name)
        for value in {each for book in past for each in getattr(book, name)}:
            found = set(await session.scalars(select(asked).where(relation.contains(value))))
            assert found == {book for book in past if value in getattr(book, name)}, name
            others = set(await session.scalars(select(asked).where(~relation.contains(value))))
            assert others == set(past) - found, name
    assert open_and_closed == {True, False}


async def test_a_relation_is_compared_with_what_it_leads_to_and_nothing_else(session, models, past):
    BookVersion = version_class(models.Book)
    live = await session.get_one(models.Author, 2)
    for compare in (lambda: BookVersion.author == live, lambda: BookVersion.author != live):
        with pytest.raises(ArgumentError, match="leads to AuthorVersion"):
            compare()
    with pytest.raises(ArgumentError, match="leads to TagVersion"):
        BookVersion.tags.contains(live)
    with pytest.raises(InvalidRequestError, match="contains"):
        _ = BookVersion.tags == past[0]


async def test_what_was_related_to_one_version_is_a_query_of_its_own(session, models, past):
    BookVersion = version_class(models.Book)
    for name in ("tags", "reviews", "before", "related"):
        to = inspect(BookVersion).relationships[name].mapper.class_
        for book in past:
            found = set(await session.scalars(select(to).where(with_parent(book, getattr(BookVersion, name)))))
            assert found == set(getattr(book, name)), name


async def test_a_moment_and_a_relation_go_together(session, models, past):
    BookVersion = version_class(models.Book)
    for moment in sorted({book.transaction_id for book in past}):
        tagged = select(BookVersion).where(alive_at(BookVersion, moment), BookVersion.tags.any(name="old"))
        found = {book.id for book in await session.scalars(tagged)}
        assert found == {
            book.id for book in past if book.transaction_id == moment and any(tag.name == "old" for tag in book.tags)
        }


async def test_a_version_class_is_used_twice_in_a_subquery(session, models, past):
    BookVersion = version_class(models.Book)
    newest = aliased(BookVersion, select(BookVersion).where(BookVersion.transaction_id >= 2).subquery())
    found = set(await session.scalars(select(newest).where(newest.tags.any()).options(selectinload(newest.tags))))
    assert found == {book for book in past if book.transaction_id >= 2 and book.tags}

"""Every kind of relation of a version shows what the model's own relation showed after that transaction."""

from typing import Any

import pytest
from sqlalchemy import insert, inspect, select

from async_continuum import Operation, backfill, transaction_class, version_class, versioning_disabled, versions_of
from tests.relations.library import STORY, seen, touch

RELATIONS = {
    "Author": ["books", "edited", "bio", "credits"],
    "Bio": ["author"],
    "Tag": ["books"],
    "Credit": ["book", "author"],
    "Review": ["book"],
    "Copy": ["loans"],
    "Loan": ["copy"],
    "Book": [
        *("author", "editor", "writer", "publisher", "shops", "tags", "after", "before", "related", "related_by"),
        *("credits", "reviews", "copies", "praise", "genres", "namesakes", "coeval", "review_set", "review_dict"),
        *("lazy_dynamic", "lazy_write_only", "lazy_raise", "lazy_raise_on_sql", "lazy_selectin", "lazy_joined"),
        *("lazy_subquery", "lazy_immediate", "lazy_joined_author"),
    ],
}

UNORDERED = {"related_by"}


def alike(name: str, value: Any) -> Any:
    """Give a value that can be compared: a relation without an order shows its rows in any."""
    return sorted(value) if name in UNORDERED else value


async def shown_now(live: Any, name: str) -> Any:
    """Give what the model's own relation shows, whatever its `lazy=`."""
    plain = {"lazy_joined_author": "author"}.get(name, "reviews" if name.startswith("lazy_") else name)
    return alike(name, seen(await getattr(live.awaitable_attrs, plain)))


async def snapshot(sessions: Any, models: Any) -> dict[tuple[Any, ...], Any]:
    """Give what every relation of every object shows, by class, key and relation."""
    found = {}
    async with sessions() as session:
        for model in models.versioned:
            for live in (await session.scalars(select(model))).unique():
                for name in RELATIONS[model.__name__]:
                    found[model.__name__, inspect(live).identity, name] = await shown_now(live, name)
    return found


async def remembered(sessions: Any, models: Any, transaction_id: int) -> dict[tuple[Any, ...], Any]:
    """Give what every relation of every version made in a transaction shows, those of a DELETE left out."""
    found = {}
    async with sessions() as session:
        for model in models.versioned:
            version = version_class(model)
            made = select(version).where(
                version.transaction_id == transaction_id, version.operation_type != Operation.DELETE
            )
            for each in await session.scalars(made):
                for name in RELATIONS[model.__name__]:
                    value = seen(await getattr(each.awaitable_attrs, name))
                    found[model.__name__, inspect(each).identity[:-1], name] = alike(name, value)
    return found


@pytest.mark.parametrize("touched", [True, False], ids=["every entity changes", "only what the story changes"])
async def test_every_relation_of_every_version_shows_what_the_models_showed_then(sessions, models, touched):
    then = {}
    for day, happens in enumerate(STORY):
        async with sessions.begin() as session:
            await happens(session, models)
            await session.flush()
            if touched:
                await touch(session, models, day)
        async with sessions() as session:
            Transaction = transaction_class(models.Book)
            (newest,) = await session.scalars(select(Transaction.id).order_by(Transaction.id.desc()).limit(1))
        then[newest] = await snapshot(sessions, models)
    assert len(then) == len(STORY)
    compared = 0
    for transaction_id, expected in then.items():
        found = await remembered(sessions, models, transaction_id)
        compared += len(found)
        wrong = {place: (shown, expected[place]) for place, shown in found.items() if shown != expected[place]}
        assert wrong == {}
        if touched:
            assert found.keys() == expected.keys()
    assert compared > (400 if touched else 100)
    if touched:
        _assert_that_each_relation_has_moved(list(then.values()))


def _assert_that_each_relation_has_moved(snapshots):
    # Otherwise the story would prove nothing about it.
    for model, names in RELATIONS.items():
        for name in names:
            shown = {
                repr([value for place, value in each.items() if place[0] == model and place[2] == name])
                for each in snapshots
            }
            assert len(shown) > 1, f"nothing happens to {model}.{name}"


async def test_every_relation_of_the_models_is_tried(models):
    for model in models.versioned:
        mapper = inspect(model)
        assert {*mapper.relationships.keys()} <= set(RELATIONS[model.__name__]), model
        assert {*mapper.relationships.keys()} | {"version_parent", "transaction", "end_transaction"} == {
            *inspect(version_class(model)).relationships.keys()
        }


async def test_every_relation_of_a_version_is_for_reading_only(models):
    for model in models.versioned:
        for relation in inspect(version_class(model)).relationships:
            assert relation.viewonly, relation


async def test_what_had_no_history_yet_is_not_shown_until_a_backfill_begins_it(sessions, models):
    m = models
    async with sessions() as session:
        with versioning_disabled():
            session.add_all([m.Author(id=1, name="ann"), *(m.Tag(id=n, name="unrecorded") for n in (1, 4))])
            await session.flush()
            session.add(m.Book(id=1, name="one", author_id=1))
            await session.flush()
            session.add(m.Review(id=1, name="review", stars=3, book_id=1))
            await session.execute(insert(m.book_tag).values(left_id=1, right_id=1))
            await session.commit()
        session.add(m.Tag(id=2, name="recorded"))
        await session.flush()
        # A link that is recorded leads to a tag that is not, too.
        await session.execute(insert(m.book_tag), [{"left_id": 1, "right_id": n} for n in (2, 4)])
        (await session.get_one(m.Book, 1)).name = "one, recorded"
        await session.commit()
        before = await versions_of(session, m.Book, 1)[0]
        assert await before.awaitable_attrs.author is None
        assert await before.awaitable_attrs.reviews == []
        assert [tag.id for tag in await before.awaitable_attrs.tags] == [2]
        await backfill(session, *m.versioned)
        await session.commit()
        (await session.get_one(m.Book, 1)).name = "one, after"
        await session.commit()
        after = await versions_of(session, m.Book, 1)[-1]
        assert (await after.awaitable_attrs.author).name == "ann"
        assert [review.id for review in await after.awaitable_attrs.reviews] == [1]
        assert sorted(tag.id for tag in await after.awaitable_attrs.tags) == [1, 2, 4]
        # The moments before it say what they said.
        session.expunge_all()
        before = await versions_of(session, m.Book, 1)[0]
        assert await before.awaitable_attrs.author is None
        assert [tag.id for tag in await before.awaitable_attrs.tags] == [2]

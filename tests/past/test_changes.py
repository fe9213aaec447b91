"""What changed between two moments, asked of the database, is what the two states differ in."""

from typing import Any

import pytest
from sqlalchemy import inspect, select

from async_continuum import (
    Change,
    ClassNotVersioned,
    Operation,
    as_of,
    changes_between,
    transaction_class,
    version_class,
)
from tests.past.test_opening import asks_for_tables
from tests.relations.library import STORY, base, manager, models, touch

__all__ = ["base", "manager", "models"]


def values(instance: Any, model: Any) -> dict[str, Any]:
    return {name: getattr(instance, name) for name in model.__blueprint__.attributes}


async def state(session: Any, m: Any) -> dict[Any, dict[str, Any]]:
    """Give the values of every live entity."""
    found = {}
    for model in m.versioned:
        for each in (await session.scalars(select(model))).unique():
            found[model, tuple(inspect(each).identity)] = values(each, model)
    return found


def difference(before: dict[Any, Any], after: dict[Any, Any]) -> dict[Any, Any]:
    """Say in plain Python what `changes_between` should."""
    found = {}
    for place in before.keys() | after.keys():
        old, new = before.get(place, {}), after.get(place, {})
        changes = {k: Change(old.get(k), new.get(k)) for k in old | new if old.get(k) != new.get(k)}
        if not old:
            found[place] = Operation.INSERT, changes
        elif not new:
            found[place] = Operation.DELETE, changes
        elif changes:
            found[place] = Operation.UPDATE, changes
    return found


@pytest.fixture
async def days(sessions, models):
    """The states after each day of the story, by transaction id."""
    Transaction = transaction_class(models.Book)
    found = {}
    for day, happens in enumerate(STORY):
        async with sessions.begin() as session:
            await happens(session, models)
            if day % 2:
                await session.flush()
                await touch(session, models, day)
        async with sessions() as session:
            newest = (await session.scalars(select(Transaction.id).order_by(Transaction.id.desc()).limit(1))).one()
            found[newest] = await state(session, models)
    return found


async def test_between_any_two_moments_it_says_in_what_they_differ(session, models, days):
    seen = set()
    first, second, third, *_, last = days
    for since, until in ((first, second), (second, third), (first, last), (last, first), (third, second), (last, last)):
        before, after = days[since], days[until]
        listed = await changes_between(session, models.versioned, since, until)
        found = {(each.model, each.key): (each.operation, each.changes) for each in listed}
        assert found == difference(before, after), (since, until)
        assert len(listed) == len(found)
        for change in listed:
            version, place = version_class(change.model), (change.model, change.key)
            for side, known in ((change.before, before), (change.after, after)):
                assert (side is None) == (place not in known)
                assert side is None or (type(side) is version and values(side, change.model) == known[place])
            seen.add(change.operation)
    assert seen == {*Operation}


async def test_before_history_there_was_nothing_and_the_past_itself_may_be_asked(session, models, days):
    first, *_, last = days
    transaction = await session.get_one(transaction_class(models.Book), first)
    made = await changes_between(session, models.Tag, transaction.issued_at.replace(year=2000), first)
    assert {each.key: each.operation for each in made} == dict.fromkeys([(1,), (2,), (3,)], Operation.INSERT)
    async with as_of(session, first) as past:
        asked = [changes_between(each, models.Tag, transaction, last) for each in (past, session)]
        assert [each.changes for each in await asked[0]] == [each.changes for each in await asked[1]]
    with pytest.raises(ValueError, match="there is no transaction"):
        await changes_between(session, models.Tag, first, last + 99)
    with pytest.raises(ClassNotVersioned):
        changes_between(session, models.Publisher, first, last)


async def test_a_query_of_changes_is_narrowed_ordered_and_paged_in_the_database(session, models, days, statements):
    first, *_, last = days
    ReviewVersion = version_class(models.Review)
    query = changes_between(session, models.Review, first, last)
    every = await query
    assert len(every) >= 4
    assert [each.key for each in every] == sorted(each.key for each in every)

    high = query.where(ReviewVersion.stars >= 4)
    expected = [e.key for e in every if any(side is not None and side.stars >= 4 for side in (e.before, e.after))]
    assert [each.key for each in await high] == expected
    assert 0 < len(expected) < len(every)
    about_one = query.where(ReviewVersion.book.has(id=1), ReviewVersion.name.like("review%"))
    assert 0 < len(await about_one) < len(every)

    by_stars = query.order_by(ReviewVersion.stars.desc(), ReviewVersion.name)
    sides = [each.after or each.before for each in every]
    assert [(e.after or e.before) for e in await by_stars] == sorted(sides, key=lambda v: (-v.stars, v.name))

    updated = query.only(Operation.UPDATE)
    assert [e.key for e in await updated] == [e.key for e in every if e.operation is Operation.UPDATE]
    assert [e.key for e in await query.limit(2).offset(1)] == [e.key for e in every[1:3]]
    assert (await query.first()).key == every[0].key
    assert await query.where(ReviewVersion.id == 99).first() is None
    assert await query.count() == len(every)
    assert await query.limit(2).count() == 2
    assert await query.offset(len(every) - 1).count() == 1
    assert [each.key async for each in query] == [each.key for each in every]
    before = len(statements)
    await query
    # A look-up of each moment, and the changes.
    assert len([each for each in statements[before:] if not asks_for_tables(each)]) == 3


async def test_changes_of_several_models_are_paged_through_as_one_list(session, models, days):
    first, *_, last = days
    query = changes_between(session, models.versioned, first, last)
    every = [(each.model, each.key) for each in await query]
    assert len({model for model, _ in every}) > 3
    assert await query.count() == len(every)
    paged = []
    for start in range(0, len(every) + 3, 3):
        paged += [(each.model, each.key) for each in await query.limit(3).offset(start)]
    assert paged == every
    for method in (query.where, query.order_by):
        with pytest.raises(ValueError, match="of one model"):
            method(version_class(models.Tag).id)


async def test_criteria_about_the_present_are_refused(session, models):
    query = changes_between(session, models.Tag, 1, 2)
    for method in (query.where, query.order_by):
        with pytest.raises(ValueError, match=r"is about the present: ask about TagVersion\.name"):
            method(models.Tag.name)
    with pytest.raises(TypeError):
        list(query)

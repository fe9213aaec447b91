"""A changeset says what a version changed, as stored; many of them cost no more queries than one."""

import uuid
from decimal import Decimal

import pytest
from sqlalchemy import text

import async_continuum as ac
from async_continuum import Change, changesets, versions_of
from tests.chronicle import setting, write


@pytest.fixture
async def article(session, models):
    article = models.Article(id=1, name="a", content="x")
    await write(session, article, setting(article, name="b"), setting(article, name="c", content=None))
    await session.delete(article)
    await session.commit()
    return article


EXPECTED = [
    {"id": (None, 1), "name": (None, "a"), "content": (None, "x")},
    {"name": ("a", "b")},
    {"name": ("b", "c"), "content": ("x", None)},
    {"id": (1, None), "name": ("c", None)},
]


@pytest.fixture
async def versions(session, models, article):
    return await versions_of(session, models.Article, 1)


async def test_each_operation_has_its_form(versions):
    assert [await version.changeset() for version in versions] == EXPECTED
    change = (await versions[1].changeset())["name"]
    assert isinstance(change, Change)
    assert (change.old, change.new) == ("a", "b")


async def test_many_cost_nothing_where_all_of_an_entity_are_there(session, versions, statements):
    assert list((await changesets(session, versions)).values()) == EXPECTED
    assert len(statements) == 0
    assert list(await changesets(session, reversed(versions))) == versions[::-1]


async def test_many_cost_one_query_where_predecessors_are_missing(session, models, versions, statements):
    found = await changesets(session, versions[2:])
    assert list(found.values()) == EXPECTED[2:]
    assert len(statements) == 1


async def test_many_of_many_entities_cost_a_query_for_each_class(session, models, statements):
    articles = [models.Article(id=n, name="a") for n in range(1, 60)]
    seats = [models.Seat(hall="A", number=n, guest="x") for n in range(1, 60)]
    for name in ("a", "b", "c"):
        for article, seat in zip(articles, seats, strict=True):
            article.name = seat.guest = name
        session.add_all([*articles, *seats])
        await session.commit()
    newest = []
    for article, seat in zip(articles, seats, strict=True):
        newest += [await article.awaitable_versions()[-1], await seat.awaitable_versions()[-1]]
    before = len(statements)
    found = await changesets(session, newest)
    assert len(statements) == before + 2
    assert list(found) == newest
    assert [set(found[version].values()) for version in newest] == [{("b", "c")}] * 118


async def test_expired_versions_are_loaded_in_one_query(session, versions, statements):
    await session.commit()
    assert list((await changesets(session, versions)).values()) == EXPECTED
    assert len(statements) == 1


async def test_versions_of_another_session_and_detached_ones_are_left_where_they_are(
    sessions, session, models, versions, statements
):
    async with sessions() as other:
        twins = await versions_of(other, models.Article, 1)
        found = await changesets(session, [*versions[:2], *twins])
        assert [found[version] for version in versions[:2]] == EXPECTED[:2]
        assert [found[twin] for twin in twins] == EXPECTED
        other.expire_all()
        assert list((await changesets(session, twins)).values()) == EXPECTED
        assert all(twin in other for twin in twins)
    assert list((await changesets(session, twins)).values()) == EXPECTED


async def test_none_cost_nothing(session, statements):
    assert await changesets(session, []) == {}
    assert len(statements) == 0


async def test_only_versions_have_changesets_and_only_an_async_session_gives_them(session, models, versions):
    with pytest.raises(ac.ClassNotVersioned):
        await changesets(session, [models.User(name="x")])
    with pytest.raises(TypeError, match="AsyncSession"):
        await changesets(session.sync_session, versions)


async def test_the_first_recorded_change_of_a_row_older_than_its_history_starts_from_nothing(session, models):
    await session.execute(text("INSERT INTO article (id, name) VALUES (7, 'old')"))
    await session.commit()
    article = await session.get_one(models.Article, 7)
    await write(session, setting(article, content="new"))
    (version,) = await article.awaitable_versions()
    assert version.operation_type is ac.Operation.UPDATE
    assert await version.changeset() == {"id": (None, 7), "name": (None, "old"), "content": (None, "new")}


async def test_two_versions_of_one_entity_are_compared_in_either_direction(versions):
    first, _, third, gone = versions
    assert await first.diff(third) == {"name": ("a", "c"), "content": ("x", None)}
    assert await third.diff(first) == {"name": ("c", "a"), "content": (None, "x")}
    assert await first.diff(first) == {}
    assert await first.diff(gone) == {"id": (1, None), "name": ("a", None), "content": ("x", None)}
    assert await gone.diff(first) == {"id": (None, 1), "name": (None, "a"), "content": (None, "x")}


async def test_versions_of_two_entities_are_not_compared(session, models, versions):
    other, seat = models.Article(id=2, name="a"), models.Seat(hall="A", number=1)
    await write(session, other, seat)
    for stranger in (await other.awaitable_versions()[0], await seat.awaitable_versions()[0]):
        with pytest.raises(ValueError, match="one entity"):
            await versions[0].diff(stranger)
    with pytest.raises(ValueError, match="one entity"):
        await versions[0].diff(await session.get_one(models.Article, 2))


async def test_expired_and_detached_versions_are_compared(session, versions):
    first, second = versions[:2]
    session.expunge(first)
    session.expire(second)
    assert await first.diff(second) == {"name": ("a", "b")}


async def test_values_of_many_types_are_compared_as_stored(session, models):
    one, other = uuid.uuid4(), uuid.uuid4()
    thing = models.Thing(id=1, document={"a": [1]}, options={"x": 1}, token=one, flag=True)
    await write(
        session,
        thing,
        setting(thing, document={"a": [1.5]}),
        setting(thing, document={"a": [None]}),
        setting(thing, options={"x": 2}),
        setting(thing, token=other),
        setting(thing, flag=None),
        setting(thing, flag=False),
    )
    versions = await thing.awaitable_versions()
    assert [await version.changeset() for version in versions] == [
        {
            "id": (None, 1),
            "document": (None, {"a": [1]}),
            "options": (None, {"x": 1}),
            "token": (None, one),
            "flag": (None, True),
        },
        {"document": ({"a": [1]}, {"a": [1.5]})},
        {"document": ({"a": [1.5]}, {"a": [None]})},
        {"options": ({"x": 1}, {"x": 2})},
        {"token": (one, other)},
        {"flag": (True, None)},
        {"flag": (None, False)},
    ]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_decimal_of_another_scale_is_a_change(session, models):
    thing = models.Thing(id=1, amount=Decimal("1.0"))
    await write(session, thing)
    await session.execute(text("UPDATE thing SET amount = 1.00"))
    await session.refresh(thing)
    await write(session, setting(thing, flag=True))
    changeset = await (await thing.awaitable_versions()[-1]).changeset()
    assert changeset == {"amount": (Decimal("1.0"), Decimal("1.00")), "flag": (None, True)}
    assert str(changeset["amount"].new) == "1.00"


async def test_composite_keys_have_changesets(session, models):
    seat = models.Seat(hall="A", number=1, guest="ann")
    await write(session, seat, models.Seat(hall="B", number=1, guest="eve"), setting(seat, guest="bob"))
    found = await changesets(session, (await seat.awaitable_versions())[1:])
    assert list(found.values()) == [{"guest": ("ann", "bob")}]


async def test_pending_changes_of_a_live_object_are_seen_without_io(session, models, statements):
    article = models.Article(id=1, name="a")
    assert ac.changeset(article) == {"id": (None, 1), "name": (None, "a")}
    await write(session, article)
    assert ac.changeset(article) == {}
    before = len(statements)
    article.name = "b"
    assert ac.changeset(article) == {"name": (None, "b")}
    assert ac.is_modified(article)
    assert ac.is_modified_or_deleted(article)
    assert ac.is_session_modified(session)
    assert ac.versioned_objects(session) == [article]
    assert len(statements) == before
    await session.rollback()
    assert not ac.is_modified(article)
    assert not ac.is_session_modified(session)
    await session.delete(await session.get_one(models.Article, 1))
    assert ac.is_modified_or_deleted(article)
    assert not ac.is_modified(article)
    await session.rollback()

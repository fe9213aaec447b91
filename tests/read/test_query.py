"""An entity's versions are listed, indexed, sliced, counted and streamed by one immutable query."""

import gc
import tracemalloc
import uuid
import weakref

import pytest
from sqlalchemy import Select, insert
from sqlalchemy.orm import Session, object_session, selectinload

import async_continuum as ac
from async_continuum import Operation, version_class, versions_of
from tests.chronicle import setting, write


@pytest.fixture
async def article(session, models):
    """Seven versions: v0 to v6."""
    article = models.Article(id=1, name="v0")
    await write(session, article, *(setting(article, name=f"v{n}") for n in range(1, 7)))
    return article


def names(versions):
    return [version.name for version in versions]


async def test_awaiting_lists_the_versions_oldest_first(session, article):
    versions = await article.awaitable_versions()
    assert names(versions) == ["v0", "v1", "v2", "v3", "v4", "v5", "v6"]
    assert [version.operation_type for version in versions] == [Operation.INSERT, *[Operation.UPDATE] * 6]
    assert [v.end_transaction_id for v in versions] == [*(v.transaction_id for v in versions[1:]), None]


async def test_versions_of_other_entities_stay_out(session, models, article):
    await write(session, models.Article(id=2, name="other"), models.Tag(id=1, name="other"))
    assert names(await versions_of(session, models.Article, 2)) == ["other"]
    assert len(await article.awaitable_versions()) == 7


@pytest.mark.parametrize("index", [0, 1, 6, -1, -2, -7])
async def test_an_index_gives_what_it_gives_of_a_list(article, index):
    assert (await article.awaitable_versions()[index]).name == names(await article.awaitable_versions())[index]


@pytest.mark.parametrize("index", [7, -8, 100, -100])
async def test_an_index_out_of_range_is_an_index_error(article, index):
    with pytest.raises(IndexError, match="Article"):
        await article.awaitable_versions()[index]
    with pytest.raises(IndexError):
        await article.awaitable_versions().order_by(version_class(type(article)).name)[index]


@pytest.mark.parametrize(
    "part",
    [
        slice(2, 5),
        slice(None, 2),
        slice(5, None),
        slice(5, 100),
        slice(3, 2),
        slice(-2, None),
        slice(-9, None),
        slice(None),
    ],
)
async def test_a_slice_gives_what_it_gives_of_a_list(article, part):
    query = article.awaitable_versions()[part]
    expected = names(await article.awaitable_versions())[part]
    assert names(await query) == expected
    assert await query.count() == len(expected)
    assert [version.name async for version in query] == expected
    assert getattr(await query.first(), "name", None) == (expected[0] if expected else None)
    assert getattr(await query.last(), "name", None) == (expected[-1] if expected else None)


async def test_slices_of_slices_and_indices_of_slices_agree_with_lists(article):
    query, listed = article.awaitable_versions(), names(await article.awaitable_versions())
    assert names(await query[2:6][1:3]) == listed[2:6][1:3]
    assert names(await query[-3:][1:]) == listed[-3:][1:]
    assert names(await query[-3:][-2:]) == listed[-3:][-2:]
    assert (await query[-3:][0]).name == listed[-3:][0]
    assert (await query[-3:][-1]).name == listed[-3:][-1]
    assert (await query[2:5][-1]).name == listed[2:5][-1]
    assert names(await query[-3:].limit(2)) == listed[-3:][:2]
    with pytest.raises(IndexError):
        await query[2:5][3]
    with pytest.raises(IndexError):
        await query[2:5][-4]


@pytest.mark.parametrize("part", [slice(-3, -1), slice(0, -1), slice(0, 5, 2)])
async def test_a_slice_that_needs_the_whole_list_says_so(article, part):
    with pytest.raises(ValueError, match="slice the list"):
        article.awaitable_versions()[part]


async def test_one_version_costs_one_statement(article, statements):
    for query in (
        article.awaitable_versions()[0],
        article.awaitable_versions()[-1],
        article.awaitable_versions().last(),
    ):
        before = len(statements)
        await query
        assert len(statements) == before + 1


async def test_a_query_is_counted_in_the_database(article, statements):
    query = article.awaitable_versions()
    assert await query.count() == 7
    assert len(statements) == 1
    assert await query.where(version_class(type(article)).name > "v3").count() == 3
    assert await query.limit(2).count() == 2
    assert await query.offset(5).count() == 2


async def test_a_query_chains_and_each_step_is_a_new_one(article):
    version, query = version_class(type(article)), article.awaitable_versions()
    chained = query.where(version.name != "v0").order_by(version.transaction_id.desc()).offset(1).limit(3)
    assert names(await chained) == ["v5", "v4", "v3"]
    assert (await chained[-1]).name == "v3"
    assert (await chained[0]).name == "v5"
    assert len(await query) == 7
    with pytest.raises(AttributeError):
        query._limit = 3


async def test_a_query_may_be_awaited_again_and_sees_what_has_happened(session, article):
    query = article.awaitable_versions()
    before = await query
    assert await query == before
    await write(session, setting(article, name="v7"))
    assert len(await query) == 8


@pytest.mark.parametrize("few", [0, 1_000])
async def test_a_version_that_the_session_holds_shows_what_has_closed_it_since(session, article, few, monkeypatch):
    monkeypatch.setattr("async_continuum.read.held._FEW", few)
    newest = await article.awaitable_versions()[-1]
    for name, read in {"v7": _listed, "v8": _streamed}.items():
        assert newest.end_transaction_id is None
        await write(session, setting(article, name=name))
        *_, closed, following = await read(article.awaitable_versions())
        assert closed is newest
        assert newest.end_transaction_id == following.transaction_id
        newest = following


async def _listed(query):
    return await query


async def _streamed(query):
    return [version async for version in query]


async def test_what_is_set_is_flushed_before_it_is_read(session, article):
    article.name = "pending"
    assert (await article.awaitable_versions()[-1]).name == "pending"


async def test_the_statement_is_a_plain_select(session, article):
    query = article.awaitable_versions()
    for each in (query, query[2:4], query[-2:], query.between(1, 3)):
        assert isinstance(each.statement, Select)
        assert list(await session.scalars(each.statement)) == await each


async def test_options_load_what_they_name(session, models, article):
    query = article.awaitable_versions().options(selectinload(version_class(models.Article).transaction))
    assert [version.transaction.id for version in await query] == [v.transaction_id for v in await query]
    assert [version.transaction.id async for version in query] == [v.transaction_id for v in await query]


async def test_reading_never_overwrites_what_is_set_and_not_flushed(session, models, article):
    session.expire_all()
    await session.refresh(article)
    parent = selectinload(version_class(models.Article).version_parent)
    with session.no_autoflush:
        article.name = "set"
        versions = await article.awaitable_versions().options(parent)
        async for version in article.awaitable_versions().options(parent):
            assert version.version_parent is article
    assert article.name == "set"
    assert {version.version_parent for version in versions} == {article}
    await session.rollback()


async def test_nothing_first_and_nothing_last_is_none(article):
    query = article.awaitable_versions().where(version_class(type(article)).name == "nothing")
    assert (await query.first(), await query.last(), await query, await query.count()) == (None, None, [], 0)


async def test_a_query_is_no_list(article):
    for misuse in (iter, len, list):
        with pytest.raises(TypeError):
            misuse(article.awaitable_versions())


@pytest.mark.unaccounted
async def test_streaming_holds_a_part_of_the_versions_only(session, models, engine):
    count = 4_000
    version, transaction = ac.version_table(models.Article), ac.transaction_class(models.Article).__table__
    async with engine.begin() as connection:
        await connection.execute(insert(transaction), [{"id": n} for n in range(1, count + 1)])
        rows = [
            {"id": 1, "name": f"v{n}", "content": "x" * 500, "transaction_id": n, "operation_type": min(n - 1, 1)}
            for n in range(1, count + 1)
        ]
        if models.strategy == "validity":
            for row in rows:
                row["end_transaction_id"] = row["transaction_id"] + 1 if row["transaction_id"] < count else None
        await connection.execute(insert(version), rows)
    seen, alive, most = 0, weakref.WeakSet(), 0
    tracemalloc.start()
    async for each in versions_of(session, models.Article, 1):
        seen += 1
        alive.add(each)
        if seen % 500 == 1:
            most = max(most, len(alive))
        if seen == 1_500:
            gc.collect()
            settled = tracemalloc.get_traced_memory()[0]
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - settled
    tracemalloc.stop()
    assert seen == count
    assert most <= 1_001
    assert grown < 1_000_000, grown


async def test_a_stream_may_be_left_early(session, article):
    async for version in article.awaitable_versions():
        assert version.name == "v0"
        break
    await write(session, setting(article, name="v7"))
    assert await article.awaitable_versions().count() == 8


class TestWhichSession:
    async def test_a_transient_object_has_no_versions(self, session, models):
        query = models.Article(id=1, name="never stored").awaitable_versions()
        assert await query == []
        assert [version async for version in query] == []
        assert (await query.count(), await query.first(), await query.last(), await query.at(1)) == (
            0,
            None,
            None,
            None,
        )
        assert await query[:3] == []
        assert await models.Article(id=1, name="x").awaitable_versions(session) == []
        with pytest.raises(IndexError):
            await query[0]

    async def test_a_pending_object_is_flushed_first(self, session, models):
        article = models.Article(name="pending")
        session.add(article)
        assert names(await article.awaitable_versions()) == ["pending"]
        await session.commit()

    async def test_a_pending_object_that_may_not_be_flushed_has_none(self, session, models):
        article = models.Article(name="pending")
        session.add(article)
        with session.no_autoflush:
            assert await article.awaitable_versions() == []
            assert await article.awaitable_versions()[-2:] == []
            assert await article.awaitable_versions().count() == 0
        await session.rollback()

    async def test_a_query_made_before_its_object_was_stored_finds_its_versions(self, session, models):
        article = models.Article(name="early")
        query = article.awaitable_versions()
        await write(session, article)
        assert names(await query) == ["early"]

    async def test_a_detached_object_has_no_session_and_the_error_says_what_to_do(self, session, article):
        session.expunge(article)
        with pytest.raises(ac.NoSession, match=r"Article.*awaitable_versions\(session\)") as caught:
            article.awaitable_versions()
        assert caught.value.instance is article
        with pytest.raises(ac.NoSession):
            versions_of(article)
        assert len(await article.awaitable_versions(session)) == 7
        assert len(await versions_of(session, article)) == 7

    async def test_another_session_may_be_given(self, sessions, session, article):
        async with sessions() as other:
            versions = await article.awaitable_versions(other)
            assert len(versions) == 7
            assert all(object_session(version) is other.sync_session for version in versions)

    async def test_a_synchronous_session_is_refused_at_once(self, session, models, article):
        for misuse in (
            lambda: article.awaitable_versions(session.sync_session),
            lambda: versions_of(Session(), models.Article, 1),
            lambda: versions_of("session", models.Article, 1),
        ):
            with pytest.raises(TypeError, match="AsyncSession"):
                misuse()

    async def test_an_object_of_a_synchronous_session_is_refused(self, session, models):
        with Session() as synchronous:
            article = models.Article(id=1, name="x")
            synchronous.add(article)
            with pytest.raises(TypeError, match="AsyncSession"):
                article.awaitable_versions()

    async def test_an_expired_object_is_not_loaded_for_it(self, session, article, statements):
        session.expire(article)
        assert len(await article.awaitable_versions()) == 7
        assert len(statements) == 1


class TestVersionsOf:
    async def test_an_object_and_a_key_give_the_same(self, session, models, article):
        listed = await article.awaitable_versions()
        for query in (
            versions_of(article),
            versions_of(session, article),
            versions_of(session, models.Article, 1),
            versions_of(session, models.Article, (1,)),
            versions_of(session, models.Article, {"id": 1}),
        ):
            assert await query == listed

    async def test_a_composite_key_is_a_tuple_in_the_order_of_the_primary_key_or_a_dict(self, session, models):
        seat = models.Seat(hall="A", number=3, guest="ann")
        await write(session, seat, models.Seat(hall="B", number=3), setting(seat, guest="bob"))
        key = tuple({"hall": "A", "number": 3}[column.key] for column in models.Seat.__mapper__.primary_key)
        listed = await seat.awaitable_versions()
        assert [version.guest for version in listed] == ["ann", "bob"]
        assert await versions_of(session, models.Seat, key) == listed
        assert await versions_of(session, models.Seat, list(key)) == listed
        assert await versions_of(session, models.Seat, {"hall": "A", "number": 3}) == listed

    async def test_a_uuid_is_a_key(self, session, models):
        key = uuid.uuid4()
        await write(session, models.Device(id=key, label="x"))
        assert len(await versions_of(session, models.Device, key)) == 1

    @pytest.mark.parametrize("key", [1, (1,), (1, 2, 3), {"hall": "A"}, {"hall": "A", "nummer": 1}, ()])
    async def test_a_key_of_the_wrong_shape_is_refused(self, session, models, key):
        with pytest.raises(ValueError, match=r"Seat.*number"):
            versions_of(session, models.Seat, key)

    async def test_a_key_must_be_given(self, session, models):
        with pytest.raises(TypeError, match="key"):
            versions_of(session, models.Article)

    async def test_a_class_without_history_is_refused(self, session, models):
        with pytest.raises(ac.ClassNotVersioned) as caught:
            versions_of(session, models.User, 1)
        assert caught.value.model is models.User

    async def test_a_deleted_entity_keeps_its_versions(self, session, models, article):
        await session.delete(article)
        await session.flush()
        assert len(await article.awaitable_versions()) == 8
        await session.commit()
        versions = await versions_of(session, models.Article, 1)
        assert versions[-1].operation_type is Operation.DELETE
        assert versions == await versions_of(session, article)
        with pytest.raises(ac.NoSession):
            versions_of(article)

    async def test_an_unknown_key_has_no_versions(self, session, models):
        assert await versions_of(session, models.Article, 99) == []


async def test_deleted_selects_the_last_version_of_what_is_gone(session, models, article):
    gone, back = models.Article(id=2, name="gone"), models.Article(id=3, name="back")
    await write(session, gone, back)
    for each in (gone, back):
        await session.delete(each)
    await session.commit()
    await write(session, models.Article(id=3, name="back again"))
    (version,) = await session.scalars(ac.deleted(models.Article))
    assert (version.id, version.name, version.operation_type) == (2, "gone", Operation.DELETE)


async def test_a_version_class_is_queried_as_any_model(session, models, article):
    version = version_class(models.Article)
    assert version.__name__ == "ArticleVersion"
    third = await article.awaitable_versions()[2]
    found = await session.scalars(
        Select(version).where(version.name == "v2", version.transaction_id == third.transaction_id)
    )
    assert list(found) == [third]
    open_ones = await session.scalars(Select(version).where(version.end_transaction_id.is_(None)))
    assert names(open_ones) == ["v6"]


async def test_versions_are_counted_without_being_loaded(session, models, article, statements):
    assert await ac.count_versions(article) == 7
    assert await ac.count_versions(models.Article(id=1)) == 0
    assert len(statements) == 1

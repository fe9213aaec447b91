"""A transaction says when, who and from where, and what it changed."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import Session

import async_continuum as ac
from async_continuum import current_transaction, transaction_class, version_class, versioning_context
from tests.chronicle import setting, write


@pytest.fixture
def transaction(models):
    return transaction_class(models.Article)


async def ids(session, transaction, *criteria):
    return list(await session.scalars(select(transaction.id).where(*criteria).order_by(transaction.id)))


async def test_issued_at_is_the_databases_clock_in_aware_utc(session, models, transaction):
    before = datetime.now(UTC) - timedelta(milliseconds=2)
    await write(session, models.Article(id=1, name="x"))
    after = datetime.now(UTC) + timedelta(milliseconds=2)
    (found,) = await session.scalars(select(transaction))
    assert found.issued_at.tzinfo is UTC
    assert before <= found.issued_at <= after
    assert (await session.scalars(select(transaction).where(transaction.issued_at <= after))).all() == [found]
    assert await ids(session, transaction, transaction.issued_at > after) == []


async def test_ids_grow_and_every_commit_has_one(session, models, transaction):
    article = models.Article(id=1, name="x")
    await write(session, article, setting(article, name="y"), setting(article, name="y"), setting(article, name="z"))
    found = await ids(session, transaction)
    assert len(found) == 3
    assert found == [v.transaction_id for v in await article.awaitable_versions()]


async def test_touched_finds_the_transactions_of_a_class_and_of_an_entity(session, models, transaction):
    article, other, tag = models.Article(id=1, name="x"), models.Article(id=2, name="x"), models.Tag(id=1, name="t")
    seat, next_seat = models.Seat(hall="A", number=1), models.Seat(hall="A", number=2)
    await write(session, article, other, tag, seat, next_seat, setting(article, name="y"), setting(seat, guest="g"))
    all_ids = await ids(session, transaction)
    n = all_ids.index
    assert [n(i) for i in await ids(session, transaction, transaction.touched(models.Article))] == [0, 1, 5]
    assert [n(i) for i in await ids(session, transaction, transaction.touched(models.Tag))] == [2]
    assert [n(i) for i in await ids(session, transaction, transaction.touched(article))] == [0, 5]
    assert [n(i) for i in await ids(session, transaction, transaction.touched(seat))] == [3, 6]
    assert [n(i) for i in await ids(session, transaction, ~transaction.touched(models.Seat))] == [0, 1, 2, 5]
    session.expire_all()
    assert [n(i) for i in await ids(session, transaction, transaction.touched(next_seat))] == [4]
    session.expunge(article)
    assert [n(i) for i in await ids(session, transaction, transaction.touched(article))] == [0, 5]


async def test_touched_refuses_what_has_no_history_here(models, transaction):
    with pytest.raises(ac.ClassNotVersioned):
        transaction.touched(models.User)
    with pytest.raises(ValueError, match="never stored"):
        transaction.touched(models.Article(name="x"))
    for version in (version_class(models.Article), version_class(models.Article)()):
        with pytest.raises(TypeError, match="takes Article, or an object of it, not ArticleVersion"):
            transaction.touched(version)
    with pytest.raises(TypeError, match=r"children='tags' is one name.*children=\['tags'\]"):
        transaction.touched(models.Article, children="tags")
    from tests import domain

    with pytest.raises(ac.ClassNotVersioned):
        transaction.touched(domain.Article)


async def test_a_transaction_lists_what_it_changed(session, models, transaction, statements):
    articles = [models.Article(id=n, name=f"a{n}") for n in (2, 1, 3)]
    session.add_all([*articles, models.Tag(id=1, name="t")])
    await session.commit()
    await write(session, setting(articles[0], name="other"))
    first, second = await ids(session, transaction)
    found = await session.get(transaction, first)
    session.expire(found)
    before = len(statements)
    changed = await found.changed_entities()
    assert {cls: [v.name for v in versions] for cls, versions in changed.items()} == {
        version_class(models.Article): ["a1", "a2", "a3"],
        version_class(models.Tag): ["t"],
    }
    assert len(statements) == before + len(models.versioned)
    before = len(statements)
    assert await found.entity_names() == ["Article", "Tag"]
    assert len(statements) == before + 1
    assert await (await session.get(transaction, second)).entity_names() == ["Article"]
    session.expunge(found)
    for coroutine in (found.changed_entities, found.entity_names):
        with pytest.raises(ac.NoSession):
            await coroutine()


class TestCurrentTransaction:
    @pytest.fixture
    def current(self, session, models):
        return lambda: current_transaction(session, model=models.Article)

    async def test_fields_set_before_the_first_flush_are_stored_with_it(self, session, models, current, transaction):
        tx = await current()
        assert isinstance(tx, transaction)
        tx.remote_addr = "mine"
        assert tx.id is None
        assert tx not in session
        article = models.Article(id=1, name="x")
        session.add(article)
        await session.flush()
        assert tx in session
        assert tx.id == (await article.awaitable_versions()[0]).transaction_id
        await session.commit()
        await session.refresh(tx)
        assert (tx.remote_addr, tx.issued_at.tzinfo) == ("mine", UTC)

    async def test_fields_set_after_the_first_flush_are_stored_too(self, session, models, current):
        session.add(models.Article(id=1, name="x"))
        await session.flush()
        tx = await current()
        assert tx.id is not None
        tx.remote_addr = "late"
        await session.commit()
        await session.refresh(tx)
        assert tx.remote_addr == "late"

    async def test_fields_are_changed_on_both_sides_of_a_flush(self, session, models, current):
        tx = await current()
        tx.remote_addr, tx.user_id = "early", 5
        session.add(models.Article(id=1, name="x"))
        await session.flush()
        tx.remote_addr = "late"
        await session.commit()
        await session.refresh(tx)
        assert (tx.remote_addr, tx.user_id) == ("late", 5)

    async def test_it_is_one_object_for_one_transaction(self, session, models, current):
        tx = await current()
        assert await current() is tx
        session.add(models.Article(id=1, name="x"))
        await session.flush()
        assert await current() is tx
        await session.commit()
        following = await current()
        assert following is not tx
        await session.rollback()

    async def test_its_row_stays_where_nothing_is_recorded(self, session, current, transaction, database):
        tx = await current()
        tx.remote_addr = "audit"
        await session.commit()
        await session.refresh(tx)
        database.allowed_empty.add(tx.id)
        assert tx.remote_addr == "audit"
        assert await ids(session, transaction) == [tx.id]

    async def test_its_row_stays_where_what_was_recorded_is_taken_back(self, session, models, current, database):
        tx = await current()
        article = models.Article(id=1, name="x")
        session.add(article)
        await session.flush()
        await session.delete(article)
        await session.commit()
        await session.refresh(tx)
        database.allowed_empty.add(tx.id)
        assert await tx.changed_entities() == {}

    async def test_it_wins_over_the_context(self, session, models, current):
        with versioning_context(user=5, remote_addr="context"):
            tx = await current()
            tx.remote_addr = "mine"
            await write(session, models.Article(id=1, name="x"))
        await session.refresh(tx)
        assert (tx.user_id, tx.remote_addr) == (5, "mine")

    async def test_its_user_may_be_an_object_that_is_never_attached(self, session, models, current):
        ann = models.User(id=7, name="ann")
        await write(session, ann)
        session.expunge(ann)
        tx = await current()
        tx.user = ann
        await write(session, models.Article(id=1, name="x"))
        await session.refresh(tx)
        assert tx.user_id == 7
        assert ann not in session

    async def test_a_rollback_ends_it(self, session, models, current, transaction):
        tx = await current()
        tx.remote_addr = "lost"
        session.add(models.Article(id=1, name="x"))
        await session.flush()
        await session.rollback()
        assert tx not in session
        assert await current() is not tx
        await session.rollback()
        assert await ids(session, transaction) == []

    async def test_a_savepoints_rollback_does_not(self, session, models, current):
        tx = await current()
        tx.remote_addr = "kept"
        savepoint = await session.begin_nested()
        session.add(models.Article(id=1, name="x"))
        await session.flush()
        await savepoint.rollback()
        assert await current() is tx
        assert tx.remote_addr == "kept"
        article = models.Article(id=2, name="y")
        session.add(article)
        await session.commit()
        await session.refresh(tx)
        assert tx.remote_addr == "kept"
        assert (await article.awaitable_versions()[0]).transaction_id == tx.id

    async def test_it_keeps_its_id_where_a_later_savepoint_is_rolled_back(self, session, models, current):
        session.add(models.Article(id=1, name="x"))
        await session.flush()
        tx = await current()
        known = tx.id
        async with session.begin_nested() as savepoint:
            session.add(models.Article(id=2, name="y"))
            await session.flush()
            await savepoint.rollback()
        assert (await current()) is tx
        await session.commit()
        await session.refresh(tx)
        assert tx.id == known

    async def test_a_request_ends_with_its_session_where_nothing_was_done(self, session, current, transaction):
        tx = await current()
        await session.close()
        assert await current() is not tx
        await session.rollback()
        await session.commit()
        assert await ids(session, transaction) == []

    async def test_any_other_kind_of_session_is_refused(self, session, models):
        for wrong in (session.sync_session, Session(), "session", async_sessionmaker()):
            with pytest.raises(TypeError, match="AsyncSession"):
                await current_transaction(wrong, model=models.Article)

    async def test_the_model_says_which_where_several_managers_record_the_session(self, session, models):
        with pytest.raises(ac.ImproperlyConfigured, match=r"model=X"):
            await current_transaction(session)
        with pytest.raises(ac.ClassNotVersioned):
            await current_transaction(session, model=models.User)

    async def test_it_is_counted_once(self, session, models, current, transaction):
        await current()
        await write(session, models.Article(id=1, name="x"))
        assert await session.scalar(select(func.count()).select_from(transaction)) == 1

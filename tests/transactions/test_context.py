"""Who did it and why: given by task or by session, nested, isolated, and never read from the database."""

import asyncio
import contextvars
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager

import pytest
from sqlalchemy import Column, String, select
from sqlalchemy.orm import Session

import async_continuum as ac
from async_continuum import set_context, transaction_class, version_table, versioning_context, versioning_disabled
from async_continuum.record import context_of
from tests.chronicle import setting, write


@pytest.fixture
async def ann(session, models):
    ann = models.User(id=7, name="ann")
    await write(session, ann)
    return ann


@pytest.fixture
def signed(session, models):
    """Write an article and tell who signed it."""
    numbers = iter(range(1, 1000))

    async def sign(session=session):
        number = next(numbers)
        session.add(models.Article(id=number, name="x"))
        await session.commit()
        (version,) = await ac.versions_of(session, models.Article, number)
        transaction = await version.awaitable_attrs.transaction
        await session.commit()
        await session.refresh(transaction)
        values = transaction.user_id, transaction.remote_addr
        await session.commit()
        return values

    return sign


async def test_nobody_is_nobody(signed):
    assert await signed() == (None, None)


async def test_a_context_signs_what_is_committed_in_it_and_ends_with_its_block(signed):
    with versioning_context(user=5, remote_addr="10.0.0.7"):
        assert await signed() == (5, "10.0.0.7")
    assert await signed() == (None, None)


async def test_contexts_nest_and_add_up(signed):
    with versioning_context(user=5):
        with versioning_context(remote_addr="inner"):
            assert await signed() == (5, "inner")
            with versioning_context(user=6):
                assert await signed() == (6, "inner")
        assert await signed() == (5, None)
        async with versioning_context(user=8):
            assert await signed() == (8, None)


async def test_none_is_nobody_and_takes_back_what_was_given(signed, session):
    with versioning_context(user=5, remote_addr="10.0.0.7"):
        with versioning_context(user=None):
            assert await signed() == (None, "10.0.0.7")
        assert await signed() == (5, "10.0.0.7")
        set_context(session, user=6)
        assert await signed() == (6, "10.0.0.7")
        set_context(session, user=None, remote_addr=None)
        assert await signed() == (None, None)
    assert await signed() == (None, None)


async def test_a_context_ends_with_an_exception_too(signed):
    with pytest.raises(ZeroDivisionError), versioning_context(user=5):
        raise ZeroDivisionError
    assert await signed() == (None, None)


async def test_a_context_decorates_functions_and_coroutine_functions(signed):
    @versioning_context(user=5)
    async def asynchronous(address):
        with versioning_context(remote_addr=address):
            return await signed()

    @versioning_context(user=6)
    def synchronous():
        return asyncio.ensure_future(signed())

    assert await asynchronous("a") == (5, "a")
    assert await asynchronous("b") == (5, "b")
    assert await synchronous() == (6, None)
    assert await signed() == (None, None)
    assert asynchronous.__name__ == "asynchronous"


async def test_tasks_are_isolated_and_child_tasks_inherit(sessions, session, models):
    seen = {}

    async def work(number):
        with versioning_context(user=number):
            await asyncio.sleep(0)

            async def child():
                seen[number] = context_of(session.sync_session).columns["user_id"]

            await asyncio.create_task(child())

    await asyncio.gather(*(work(number) for number in range(1, 20)))
    assert seen == {number: number for number in range(1, 20)}
    assert "user_id" not in context_of(session.sync_session).columns


async def test_one_context_object_serves_several_tasks_at_the_same_time(session):
    shared = versioning_context(user=5)

    async def work(delay):
        with shared:
            await asyncio.sleep(delay)
            assert context_of(session.sync_session).columns["user_id"] == 5
        assert "user_id" not in context_of(session.sync_session).columns

    await asyncio.gather(work(0.003), work(0.001), work(0.002))


async def opened(within: AbstractContextManager[None]) -> AsyncGenerator[None]:
    with within:
        yield


async def begun_elsewhere(within: AbstractContextManager[None]) -> AsyncGenerator[None]:
    """Enter a block in a task of its own, as a web framework may do with what it depends on."""
    generator = opened(within)
    await asyncio.create_task(anext(generator))
    return generator


async def test_a_block_that_is_left_in_another_task_takes_away_only_its_own_context(signed):
    with versioning_context(remote_addr="mine"):
        elsewhere = await begun_elsewhere(versioning_context(remote_addr="theirs"))
        assert await signed() == (None, "mine")
        await elsewhere.aclose()
        assert await signed() == (None, "mine")
    assert await signed() == (None, None)


async def test_blocks_of_one_task_may_end_in_any_order(signed):
    early = opened(versioning_context(user_id=1, remote_addr="early"))
    await anext(early)
    with versioning_context(remote_addr="late"):
        await early.aclose()
        assert await signed() == (None, "late")
    assert await signed() == (None, None)


async def test_what_is_disabled_in_another_task_stays_so_where_it_was(session, models):
    with versioning_disabled():
        elsewhere = await begun_elsewhere(versioning_disabled(models.Article))
        await elsewhere.aclose()
        article = models.Article(name="a")
        session.add(article)
        await session.commit()
        await session.refresh(article)
        assert await article.awaitable_versions() == []
        early = opened(versioning_disabled())
        await anext(early)
    article.name = "b"
    await session.commit()
    await session.refresh(article)
    assert await article.awaitable_versions() == []
    await early.aclose()
    article.name = "c"
    await session.commit()
    await session.refresh(article)
    assert await article.awaitable_versions().count() == 1


def test_a_block_may_be_left_in_another_context_than_it_was_entered_in():
    for scope in (versioning_context(user=5), versioning_disabled()):
        contextvars.copy_context().run(scope.__enter__)
        contextvars.copy_context().run(scope.__exit__, None, None, None)


class TestUser:
    @pytest.mark.parametrize("state", ["persistent", "expired", "detached", "foreign", "deleted", "pending"])
    async def test_a_mapped_object_gives_its_key_without_io_and_stays_where_it_is(
        self, sessions, session, models, ann, signed, statements, state
    ):
        await session.refresh(ann)
        async with sessions() as other:
            match state:
                case "expired":
                    session.expire(ann)
                case "detached":
                    session.expire(ann)
                    session.expunge(ann)
                case "foreign":
                    session.expunge(ann)
                    ann = await other.get_one(models.User, 7)
                    await other.commit()
                case "deleted":
                    await session.delete(ann)
                case "pending":
                    session.expunge(ann)
                    ann = models.User(id=7, name="ann")
            before = len(statements.matching("FROM user_account"))
            with versioning_context(user=ann):
                assert await signed() == (7, None)
            assert len([text for text in statements.matching("FROM user_account")[before:] if "SELECT" in text]) == 0
            assert (ann in session) is (state in ("persistent", "expired"))

    async def test_a_user_inserted_by_the_same_flush_has_a_key_in_time(self, session, models):
        user, article = models.User(name="new"), models.Article(id=1, name="x")
        session.add_all([user, article])
        with versioning_context(user=user):
            await session.commit()
        await session.refresh(user)
        version = await article.awaitable_versions()[0]
        assert (await version.awaitable_attrs.transaction).user_id == user.id

    async def test_a_user_without_a_key_fails_the_flush(self, session, models):
        session.add(models.Article(id=1, name="x"))
        with versioning_context(user=models.User(name="new")), pytest.raises(ValueError, match="flush it first"):
            await session.commit()
        await session.rollback()
        assert await session.get(models.Article, 1) is None

    async def test_a_callable_is_called_at_the_first_recording_of_each_transaction(self, session, models, ann):
        calls = []

        def user():
            calls.append(1)
            return 5 if len(calls) == 1 else ann

        with versioning_context(user=user):
            assert calls == []
            await session.commit()
            assert calls == []
            article = models.Article(id=1, name="x")
            session.add(article)
            await session.flush()
            assert calls == [1]
            article.name = "y"
            await session.flush()
            await session.commit()
            assert calls == [1]
            await write(session, setting(article, name="z"))
        versions = await article.awaitable_versions()
        assert [(await v.awaitable_attrs.transaction).user_id for v in versions] == [5, 7]
        assert len(calls) == 2

    async def test_the_user_of_a_transaction_is_loaded_and_outlives_nothing(self, session, models, ann):
        with versioning_context(user=ann):
            await write(session, models.Article(id=1, name="x"))
        transaction = transaction_class(models.Article)
        (found,) = await session.scalars(select(transaction).where(transaction.user_id == 7))
        assert await found.awaitable_attrs.user is ann
        await session.delete(ann)
        await session.commit()
        await session.refresh(found)
        assert found.user_id == 7
        assert await found.awaitable_attrs.user is None


class TestSetContext:
    async def test_it_holds_for_one_session_and_wins(self, sessions, session, signed):
        set_context(session, user=5)
        set_context(session, remote_addr="mine")
        with versioning_context(user=6, remote_addr="theirs"):
            assert await signed() == (5, "mine")
            await session.close()
            async with sessions() as other:
                assert await signed(other) == (6, "theirs")
        assert await signed() == (5, "mine")

    async def test_it_takes_any_session_that_is_recorded(self, session):
        set_context(session.sync_session, user=5)
        assert context_of(session.sync_session).columns["user_id"] == 5
        for wrong in ("session", None, Session):
            with pytest.raises(TypeError, match="AsyncSession"):
                set_context(wrong, user=5)


async def test_a_misspelt_column_fails_the_flush_and_nothing_is_lost(session, models):
    session.add(models.Article(id=1, name="x"))
    with pytest.raises(ac.ImproperlyConfigured, match="remote_adr"), versioning_context(remote_adr="10.0.0.7"):
        await session.commit()
    await session.rollback()
    assert await session.get(models.Article, 1) is None


async def test_user_and_user_id_are_one_thing():
    with pytest.raises(TypeError, match="not both"):
        versioning_context(user=1, user_id=2)


class TestWithoutUsers:
    @pytest.fixture
    def models(self):
        from sqlalchemy.ext.asyncio import AsyncAttrs
        from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

        class Base(AsyncAttrs, DeclarativeBase):
            pass

        manager = ac.make_versioned(mapper=Base, manager=ac.VersioningManager(), user_cls=None)

        class Article(ac.Versioned, Base):
            __tablename__ = "article"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str] = mapped_column(String(50))

        table = transaction_class(Article).__table__
        table.append_column(Column("reason", String(50)))
        transaction_class(Article).__mapper__.add_property("reason", table.c.reason)
        yield type("models", (), {"Base": Base, "Article": Article, "manager": manager})
        ac.remove_versioning(manager=manager)

    async def test_a_user_is_refused_rather_than_dropped(self, session, models):
        session.add(models.Article(id=1, name="x"))
        with versioning_context(user=5), pytest.raises(ac.ImproperlyConfigured, match="user_cls") as caught:
            await session.commit()
        assert caught.value.option == "user_cls"
        await session.rollback()
        assert await session.get(models.Article, 1) is None
        assert "user_id" not in transaction_class(models.Article).__table__.c

    async def test_further_columns_of_the_transaction_are_given_by_name(self, session, models):
        with versioning_context(reason="import"):
            article = models.Article(id=1, name="x")
            await write(session, article)
        version = await article.awaitable_versions()[0]
        assert (await version.awaitable_attrs.transaction).reason == "import"


@pytest.mark.unaccounted
class TestDisabled:
    async def counts(self, session, models):
        return [
            len((await session.execute(select(version_table(model)))).all()) for model in (models.Article, models.Tag)
        ]

    async def test_nothing_is_recorded_in_the_block(self, session, models):
        with versioning_disabled():
            article = models.Article(id=1, name="x")
            await write(session, article, setting(article, name="y"), models.Tag(id=1, name="t"))
            await session.delete(article)
            await session.commit()
        assert await self.counts(session, models) == [0, 0]
        assert (await session.scalars(select(transaction_class(models.Article)))).all() == []
        await write(session, models.Article(id=2, name="x"))
        assert await self.counts(session, models) == [1, 0]

    async def test_single_classes_may_be_named_and_blocks_add_up(self, session, models):
        with versioning_disabled(models.Article):
            await write(session, models.Article(id=1, name="x"), models.Tag(id=1, name="t"))
            assert await self.counts(session, models) == [0, 1]
            with versioning_disabled(models.Tag):
                await write(session, models.Article(id=2, name="x"), models.Tag(id=2, name="t"))
            assert await self.counts(session, models) == [0, 1]
            await write(session, models.Article(id=3, name="x"), models.Tag(id=3, name="t"))
            assert await self.counts(session, models) == [0, 2]
            with versioning_disabled(), versioning_disabled(models.Seat):
                await write(session, models.Tag(id=4, name="t"))
        assert await self.counts(session, models) == [0, 2]
        await write(session, models.Article(id=5, name="x"))
        assert await self.counts(session, models) == [1, 2]

    async def test_it_decorates(self, session, models):
        @versioning_disabled()
        async def quietly():
            await write(session, models.Article(id=1, name="x"))

        await quietly()
        assert await self.counts(session, models) == [0, 0]
        await write(session, models.Article(id=2, name="x"))
        assert await self.counts(session, models) == [1, 0]

    async def test_history_goes_on_with_what_is_stored(self, session, models):
        article = models.Article(id=1, name="a")
        await write(session, article)
        with versioning_disabled():
            await write(session, setting(article, name="b"))
        await write(session, setting(article, content="c"))
        versions = await article.awaitable_versions()
        assert [(v.name, v.content) for v in versions] == [("a", None), ("b", "c")]


class TestCoroutines:
    async def test_a_coroutine_function_is_awaited_when_the_block_begins(self, signed):
        calls = []

        async def user():
            await asyncio.sleep(0)
            calls.append(1)
            return 5

        async with versioning_context(user=user, remote_addr="10.0.0.7"):
            assert calls == [1]
            assert await signed() == (5, "10.0.0.7")
            assert await signed() == (5, "10.0.0.7")
        assert await signed() == (None, None)
        assert calls == [1]

        @versioning_context(user=user)
        async def decorated():
            return await signed()

        assert await decorated() == (5, None)
        assert calls == [1, 1]

    async def test_what_cannot_be_awaited_is_refused_and_nothing_is_lost(self, session, models):
        async def user():
            return 5

        with pytest.raises(TypeError, match=r"user_id.*async with"), versioning_context(user=user):
            pass
        with pytest.raises(TypeError, match=r"user_id.*await them"):
            set_context(session, user=user)
        with pytest.raises(TypeError, match="async with"):
            versioning_context(user=user)(lambda: None)()
        session.add(models.Article(id=1, name="x"))
        with pytest.raises(TypeError, match="async def"), versioning_context(user=lambda: user()):
            await session.commit()
        await session.rollback()
        assert await session.get(models.Article, 1) is None

    async def test_generators_are_not_decorated(self):
        def dependency():
            yield

        async def asynchronous():
            yield

        for function in (dependency, asynchronous):
            with pytest.raises(TypeError, match="generator"):
                versioning_context(user=5)(function)


async def test_threads_and_run_sync_inherit_the_context(session, models):
    def seen(sync=None):
        return dict(context_of(session.sync_session).columns)

    with versioning_context(user=5):
        assert await asyncio.to_thread(seen) == {"user_id": 5}
        assert await session.run_sync(seen) == {"user_id": 5}
        assert await asyncio.create_task(asyncio.to_thread(seen)) == {"user_id": 5}
    assert await asyncio.to_thread(seen) == {}


async def test_statements_are_signed_as_objects_are(session, models):
    from sqlalchemy import insert

    with versioning_context(user=5):
        await session.execute(insert(models.Article), [{"id": 1, "name": "x"}])
        await session.commit()
    (version,) = await ac.versions_of(session, models.Article, 1)
    assert (await version.awaitable_attrs.transaction).user_id == 5

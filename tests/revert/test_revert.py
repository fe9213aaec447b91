"""A version takes its entity back: changed, deleted, or brought back to life under its old key."""

import uuid
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import async_continuum as ac
from async_continuum import Operation, versions_of
from tests.chronicle import setting, write


@pytest.fixture
async def article(session, models):
    article = models.Article(id=1, name="a", content="x")
    await write(session, article, setting(article, name="b", content=None))
    return article


async def operations(session, model, key):
    return [version.operation_type.name for version in await versions_of(session, model, key)]


async def test_an_entity_becomes_what_it_was(session, models, article):
    version = await article.awaitable_versions()[0]
    assert await version.revert(session) is article
    assert (article.name, article.content) == ("a", "x")
    await session.commit()
    newest = await article.awaitable_versions()[-1]
    assert (newest.name, newest.content, newest.operation_type) == ("a", "x", Operation.UPDATE)
    assert await newest.changeset() == {"name": ("b", "a"), "content": (None, "x")}


async def test_a_revert_is_not_committed(session, models, article):
    await (await article.awaitable_versions()[0]).revert(session)
    await session.rollback()
    await session.refresh(article)
    assert article.name == "b"
    assert await article.awaitable_versions().count() == 2


async def test_reverting_to_the_present_records_nothing(session, models, article, statements):
    newest = await article.awaitable_versions()[-1]
    await session.commit()
    before = len(statements)
    assert await newest.revert(session) is article
    await session.commit()
    assert [text for text in statements[before:] if not text.startswith("SELECT")] == []
    assert await operations(session, models.Article, 1) == ["INSERT", "UPDATE"]


async def test_what_was_set_meanwhile_is_taken_back_too(session, article):
    newest = await article.awaitable_versions()[-1]
    article.name = "not flushed"
    await newest.revert(session)
    assert article.name == "b"
    await session.commit()
    assert await article.awaitable_versions().count() == 2


async def test_reverting_to_a_delete_deletes_what_lives_now(session, models, article):
    await session.delete(article)
    await session.commit()
    await write(session, models.Article(id=1, name="new"))
    gone = (await versions_of(session, models.Article, 1))[2]
    assert gone.operation_type is Operation.DELETE
    assert await gone.revert(session) is None
    await session.commit()
    assert await session.get(models.Article, 1) is None
    assert await operations(session, models.Article, 1) == ["INSERT", "UPDATE", "DELETE", "INSERT", "DELETE"]
    assert await gone.revert(session) is None
    await session.commit()
    assert len(await versions_of(session, models.Article, 1)) == 5


async def test_a_deleted_entity_lives_again_under_its_key(session, models, article):
    await session.delete(article)
    await session.commit()
    first, *_ = await versions_of(session, models.Article, 1)
    back = await first.revert(session)
    assert back is not article
    assert (back.id, back.name, back.content) == (1, "a", "x")
    await session.commit()
    assert (await session.get_one(models.Article, 1)).name == "a"
    assert await operations(session, models.Article, 1) == ["INSERT", "UPDATE", "DELETE", "INSERT"]


async def test_a_deletion_that_is_not_flushed_yet_is_taken_back(session, models, article):
    first = await article.awaitable_versions()[0]
    with session.no_autoflush:
        await session.delete(article)
        assert await first.revert(session) is article
    await session.commit()
    assert await operations(session, models.Article, 1) == ["INSERT", "UPDATE", "UPDATE"]


async def test_an_entity_deleted_in_this_transaction_lives_again(session, models, article):
    first, second = await article.awaitable_versions()
    await session.delete(article)
    await session.flush()
    assert (await second.revert(session)).name == "b"
    await session.commit()
    assert await operations(session, models.Article, 1) == ["INSERT", "UPDATE"]
    await session.delete(await session.get_one(models.Article, 1))
    await session.flush()
    await first.revert(session)
    await session.commit()
    assert await operations(session, models.Article, 1) == ["INSERT", "UPDATE", "UPDATE"]


async def test_an_entity_is_brought_back_without_its_init(session, models):
    device = models.Device(id=uuid.UUID(int=7), label="d")
    assert device.made
    await write(session, device)
    await session.delete(device)
    await session.commit()
    back = await (await versions_of(session, models.Device, uuid.UUID(int=7))[0]).revert(session)
    assert not hasattr(back, "made")
    assert (back.id, back.label) == (uuid.UUID(int=7), "d")
    await session.commit()


async def test_null_comes_back_as_null_and_not_as_the_columns_default(session, models):
    device = models.Device(id=uuid.UUID(int=7), label="d")
    await write(session, device, setting(device, label=None))
    version = await device.awaitable_versions()[-1]
    await session.delete(device)
    await session.commit()
    back = await version.revert(session)
    assert back.label is None
    await session.commit()
    await session.refresh(back)
    assert back.label is None


async def test_json_null_and_null_come_back_as_they_were_stored(session, models, backend):
    unset, null = models.Thing(id=1), models.Thing(id=2, document=None)
    await write(session, unset, null)
    stored = f"SELECT id, CAST(document AS {'char' if backend == 'mariadb' else 'text'}) FROM thing ORDER BY id"
    before = [tuple(row) for row in await session.execute(text(stored))]
    versions = [await each.awaitable_versions()[0] for each in (unset, null)]
    await session.delete(unset)
    await session.delete(null)
    await session.commit()
    for version in versions:
        assert (await version.revert(session)).document is None
    await session.commit()
    assert [tuple(row) for row in await session.execute(text(stored))] == before
    await session.rollback()


async def test_composite_keys_are_kept(session, models):
    seat, other = models.Seat(hall="A", number=1, guest="ann"), models.Seat(hall="B", number=1, guest="eve")
    await write(session, seat, other, setting(seat, guest="bob"))
    first = await seat.awaitable_versions()[0]
    assert await first.revert(session) is seat
    await session.commit()
    await session.refresh(seat)
    assert seat.guest == "ann"
    await session.delete(seat)
    await session.commit()
    back = await first.revert(session)
    await session.commit()
    await session.refresh(back)
    assert (back.hall, back.number, back.guest) == ("A", 1, "ann")
    await session.refresh(other)
    assert other.guest == "eve"


class TestWhatTheDatabaseLooksAfter:
    @pytest.fixture
    async def account(self, session, models):
        account = models.Account(balance=1, notes="n", secret="s")
        await write(session, account, setting(account, balance=2, notes="m", secret=None))
        await session.refresh(account)
        return account

    async def test_computed_columns_and_lock_counters_follow_by_themselves(self, session, account):
        first = await account.awaitable_versions()[0]
        assert (first.doubled, first.counter) == (2, 1)
        await first.revert(session)
        await session.commit()
        await session.refresh(account, ["balance", "doubled", "counter", "notes", "secret"])
        assert (account.balance, account.doubled, account.counter) == (1, 2, 3)
        assert (account.notes, account.secret) == ("n", "s")

    async def test_the_present_state_stays_with_columns_that_are_not_loaded(self, session, account, statements):
        newest = await account.awaitable_versions()[-1]
        session.expire_all()
        await newest.revert(session)
        before = len(statements)
        await session.commit()
        assert len(statements) == before
        assert await account.awaitable_versions().count() == 2

    async def test_a_key_that_is_generated_always_is_kept(self, session, models, account):
        key, first = account.id, await account.awaitable_versions()[0]
        await session.delete(account)
        await session.commit()
        back = await first.revert(session)
        assert (back.id, back.balance) == (key, 1)
        await session.commit()
        await session.refresh(back, ["doubled", "notes", "revision"])
        assert (back.doubled, back.notes, back.revision) == (2, "n", 1)
        # And only there: others still get theirs from the database.
        await write(session, models.Account(balance=5))
        assert await operations(session, models.Account, key) == ["INSERT", "UPDATE", "DELETE", "INSERT"]

    @pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
    async def test_it_is_kept_among_other_pending_objects(self, session, models, account):
        key, first = account.id, await account.awaitable_versions()[0]
        await session.delete(account)
        await session.commit()
        others = [models.Account(balance=n) for n in (10, 20)]
        session.add_all([*others, models.Tag(id=1, name="t")])
        back = await first.revert(session)
        await session.commit()
        for each in (back, *others):
            await session.refresh(each)
        assert back.id == key
        assert len({key, *(other.id for other in others)}) == 3


async def test_an_excluded_column_that_must_not_be_null_stops_a_resurrection_before_anything_is_touched(
    session, models, statements
):
    profile = models.Profile(id=1, nickname="n", password="p", hint="h")
    await write(session, profile, setting(profile, nickname="m"))
    version = await profile.awaitable_versions()[0]
    assert (await version.revert(session)).password == "p"
    await session.commit()
    await session.delete(profile)
    await session.commit()
    version = await versions_of(session, models.Profile, 1)[0]
    before = len(statements)
    with pytest.raises(ac.RevertError, match="passwd") as caught:
        await version.revert(session)
    assert caught.value.version is version
    assert caught.value.path == "password"
    assert [text for text in statements[before:] if not text.startswith("SELECT")] == []
    assert not session.new
    assert not session.dirty


async def test_past_and_present_never_share_a_value(session, models):
    thing = models.Thing(id=1, options={"a": 1}, document={"deep": [1]})
    await write(session, thing, setting(thing, options={}, document=None))
    version = await thing.awaitable_versions()[0]
    await version.revert(session)
    thing.options["a"] = 2
    thing.document["deep"].append(2)
    assert version.options == {"a": 1}
    assert version.document == {"deep": [1]}
    assert version not in session.dirty
    await session.commit()
    await session.refresh(thing)
    thing.options["b"] = 3
    await session.commit()
    await session.refresh(thing)
    assert thing.options == {"a": 2, "b": 3}
    versions = await thing.awaitable_versions()
    assert [v.options for v in versions] == [{"a": 1}, {}, {"a": 2}, {"a": 2, "b": 3}]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_value_that_is_equal_and_stored_differently_is_taken_back(session, models):
    thing = models.Thing(id=1, amount=Decimal("1.0"))
    await write(session, thing, setting(thing, amount=Decimal(2)), setting(thing, amount=Decimal("1.00")))
    await (await thing.awaitable_versions()[0]).revert(session)
    await session.commit()
    assert [str(v.amount) for v in await thing.awaitable_versions()] == ["1.0", "2", "1.00", "1.0"]


async def test_a_version_of_another_session_or_of_none_is_reverted_in_the_session_given(
    sessions, session, models, article
):
    await session.commit()
    async with sessions(expire_on_commit=False) as other:
        elsewhere = await versions_of(other, models.Article, 1)[0]
        await other.commit()
        assert await elsewhere.revert(session) is article
        assert elsewhere in other
        await session.commit()
        other.expire_all()
        await write(session, setting(article, name="c"))
        assert await elsewhere.revert(session) is article
        await session.commit()
    assert elsewhere not in other
    await write(session, setting(article, name="d"))
    assert await elsewhere.revert(session) is article
    await session.commit()
    detached = await article.awaitable_versions()[0]
    session.expunge(detached)
    assert await detached.revert(session) is article
    await session.commit()
    await session.refresh(article)
    assert article.name == "a"


async def test_a_version_whose_row_is_gone_cannot_be_read_any_more(session, models, article):
    version = await article.awaitable_versions()[0]
    session.expire(version)
    await session.execute(text("DELETE FROM article_version"))
    with pytest.raises(ac.RevertError) as caught:
        await version.revert(session)
    assert caught.value.version is version
    await session.rollback()


@pytest.mark.parametrize("loaded", [True, False])
async def test_a_revert_costs_a_constant_number_of_statements(session, models, article, statements, loaded, backend):
    version = await article.awaitable_versions()[0]
    if not loaded:
        session.expire_all()
    before = len(statements)
    await version.revert(session)
    # The savepoint and its release, the UPDATE, and what records it; on MariaDB also the sequence of ids.
    assert len(statements) <= before + (7 if loaded else 8) + (backend == "mariadb")
    before = len(statements)
    await session.flush()
    assert len(statements) == before
    await session.commit()


async def test_any_other_kind_of_session_is_refused_at_once(session, article):
    version = await article.awaitable_versions()[0]
    for wrong in (session.sync_session, Session(), "session", None):
        with pytest.raises(TypeError, match="AsyncSession"):
            await version.revert(wrong)
    assert not session.dirty

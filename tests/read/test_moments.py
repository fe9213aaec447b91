"""A moment is an aware datetime, a transaction id, a transaction or a version, everywhere."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select
from sqlalchemy.orm import aliased

import async_continuum as ac
from async_continuum import Operation, alive_at, transaction_class, version_class, versions_of
from tests.chronicle import setting, write


@pytest.fixture
async def times(session, models):
    """One article through a life, with a moment before, between and after all of it."""
    moments = []

    async def pause():
        # SQLite's clock has milliseconds.
        await asyncio.sleep(0.004)
        moments.append(datetime.now(UTC))
        await asyncio.sleep(0.004)

    await pause()
    article = models.Article(id=1, name="born")
    await write(session, article)
    await pause()
    await write(session, setting(article, name="changed"))
    await pause()
    await session.delete(article)
    await session.commit()
    await pause()
    await write(session, models.Article(id=1, name="born again"))
    await pause()
    return moments


LIFE = [None, "born", "changed", None, "born again"]


def name_of(version):
    return None if version is None else version.name


async def test_a_datetime_shows_the_version_alive_then(session, models, times):
    query = versions_of(session, models.Article, 1)
    assert [name_of(await query.at(moment)) for moment in times] == LIFE


async def test_before_history_nothing_was_alive_and_in_the_future_is_the_newest_state(session, models, times):
    query = versions_of(session, models.Article, 1)
    assert await query.at(datetime(1970, 1, 1, tzinfo=UTC)) is None
    assert name_of(await query.at(datetime.now(UTC) + timedelta(days=999))) == "born again"
    assert await query.between(datetime(1970, 1, 1, tzinfo=UTC), times[0]) == []
    assert len(await query.between(times[0], datetime(2999, 1, 1, tzinfo=UTC))) == 4
    assert await query.between(datetime(2998, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)) == []


async def test_a_datetime_in_any_zone_is_the_same_moment(session, models, times):
    query = versions_of(session, models.Article, 1)
    elsewhere = timezone(timedelta(hours=-9, minutes=-30))
    assert [name_of(await query.at(moment.astimezone(elsewhere))) for moment in times] == LIFE
    assert len(await query.between(times[0].astimezone(elsewhere), times[2])) == 2


@pytest.mark.parametrize("expired", [False, True])
async def test_ids_transactions_and_versions_are_moments(session, models, times, expired):
    query = versions_of(session, models.Article, 1)
    versions, transactions = await query, []
    for version in versions:
        transactions.append(await session.get_one(transaction_class(models.Article), version.transaction_id))
    ids = [version.transaction_id for version in versions]
    for kind in (ids, transactions, versions):
        if expired:
            session.expire_all()
        assert [name_of(await query.at(moment)) for moment in kind] == LIFE[1:]
    for kind in (ids, transactions, versions):
        if expired:
            session.expire_all()
        assert [v.operation_type for v in await query.between(kind[1], kind[2])] == [Operation.UPDATE, Operation.DELETE]


async def test_between_takes_both_ends_and_any_two_kinds(session, models, times):
    query = versions_of(session, models.Article, 1)
    first, second, third, _fourth = await query
    assert await query.between(times[1], times[2]) == [second]
    assert await query.between(first, second.transaction_id) == [first, second]
    assert await query.between(second.transaction_id, times[3]) == [second, third]
    assert await query.between(second, second) == [second]
    assert await query.between(third, first) == []
    assert await query.between(first, third)[-1] == third
    assert await query.between(first, third).count() == 3


async def test_issued_at_of_a_transaction_is_itself_a_moment(session, models, times):
    query = versions_of(session, models.Article, 1)
    for version in await query:
        transaction = await version.awaitable_attrs.transaction
        found = await query.at(transaction.issued_at)
        assert name_of(found) == (None if version.operation_type is Operation.DELETE else version.name)


@pytest.mark.parametrize(
    "bad", [datetime(2024, 1, 1), 10**9, 2**63, -(2**63) - 1, -1, 0, True, "2024-01-01", None, 1.5, timedelta(1)]
)
async def test_what_is_no_moment_is_a_value_error(session, models, times, bad):
    query = versions_of(session, models.Article, 1)
    with pytest.raises(ValueError, match=r"naive|no transaction|no moment"):
        await query.at(bad)
    with pytest.raises(ValueError, match=r"naive|no transaction|no moment"):
        await query.between(bad, datetime.now(UTC))
    with pytest.raises(ValueError, match=r"naive|no transaction|no moment"):
        await query.between(datetime.now(UTC), bad).count()


async def test_a_naive_datetime_is_refused_for_a_transient_object_too(models):
    with pytest.raises(ValueError, match="naive"):
        await models.Article(id=1).awaitable_versions().at(datetime(2024, 1, 1))


async def test_a_transaction_that_is_not_recorded_yet_is_no_moment(session, models, times):
    fresh = await ac.current_transaction(session, model=models.Article)
    with pytest.raises(ValueError, match="first recorded flush"):
        await versions_of(session, models.Article, 1).at(fresh)
    await session.rollback()


async def test_alive_at_is_the_state_of_the_table_at_each_moment(session, models):
    version, states = version_class(models.Article), {}
    articles = {n: models.Article(id=n, name=f"a{n}") for n in (1, 2, 3)}

    async def note():
        await session.commit()
        rows = await session.execute(select(models.Article.id, models.Article.name))
        newest = await session.scalar(
            select(transaction_class(models.Article).id).order_by(transaction_class(models.Article).id.desc()).limit(1)
        )
        states[newest] = (datetime.now(UTC), dict(tuple(row) for row in rows))
        await session.commit()
        await asyncio.sleep(0.004)

    session.add_all([articles[1], articles[2]])
    await note()
    articles[1].name = "b1"
    session.add(articles[3])
    await note()
    await session.delete(articles[2])
    articles[3].name = "b3"
    await note()
    session.add(models.Article(id=2, name="again"))
    await session.delete(articles[1])
    await note()

    assert len(states) == 4
    alias = aliased(version)
    for transaction_id, (moment, state) in states.items():
        for entity in (version, alias):
            for at in (transaction_id, moment):
                found = await session.execute(select(entity.id, entity.name).where(alive_at(entity, at)))
                assert dict([tuple(row) for row in found]) == state
    assert list(await session.scalars(select(version).where(alive_at(version, 0)))) == []


async def test_alive_at_compares_two_moments_in_one_statement(session, models, times):
    then, now = (aliased(version_class(models.Article)) for _ in range(2))
    rows = await session.execute(
        select(then.name, now.name)
        .join(now, then.id == now.id)
        .where(alive_at(then, times[1]), alive_at(now, times[4]))
    )
    assert rows.all() == [("born", "born again")]


async def test_alive_at_does_no_io_and_so_takes_any_id(session, models, times):
    version = version_class(models.Article)
    found = await session.scalars(select(version).where(alive_at(version, 10**9)))
    assert [each.name for each in found] == ["born again"]
    with pytest.raises(ValueError, match="naive"):
        alive_at(version, datetime(2024, 1, 1))


def test_alive_at_says_which_class_it_takes(models):
    version = version_class(models.Article)
    for model in (models.Article, aliased(models.Article)):
        with pytest.raises(TypeError, match=r"version class .* not Article: version_class\(Article\)"):
            alive_at(model, 1)
    for other in (version.__table__, version(), "ArticleVersion", None):
        with pytest.raises(TypeError, match="takes a version class or an alias of one, not"):
            alive_at(other, 1)


async def test_that_few_versions_are_deletes_stands_in_the_statements(session, models, times, statements):
    """Of a parameter, a plan for any parameters expects that nearly every version is one."""
    version, before = version_class(models.Article), len(statements)
    for moment in (*times[1:], 3):
        await session.scalars(select(version).where(alive_at(version, moment)))
        async with ac.as_of(session, moment) as past:
            await past.scalars(select(models.Article).where(models.Article.name != "x"))
            await past.get(models.Article, 1)
    told = [text for text in statements[before:] if "article_version" in text]
    assert len(told) == 15
    assert all("operation_type != 2" in text for text in told), str(statements)

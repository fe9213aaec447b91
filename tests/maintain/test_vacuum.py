"""Vacuum takes out of history what says nothing, and nothing else."""

import pytest
from sqlalchemy import func, insert, select, update

import async_continuum as ac
from async_continuum import Operation, transaction_class, vacuum, version_table, versions_of
from tests.chronicle import setting, write


async def repeat(session, model, *criteria, times=1):
    """Write what an older tool would have left: an UPDATE version equal to the one before it."""
    versions, transaction = version_table(model), transaction_class(model).__table__
    for _ in range(times):
        newest = select(versions).where(*criteria).order_by(versions.c.transaction_id.desc()).limit(1)
        row = dict((await session.execute(newest)).one()._mapping)
        made = await session.execute(insert(transaction).values(remote_addr="older"))
        transaction_id = made.inserted_primary_key[0]
        if "end_transaction_id" in versions.c:
            closing = update(versions).where(*criteria, versions.c.end_transaction_id.is_(None))
            await session.execute(closing.values(end_transaction_id=transaction_id))
            row["end_transaction_id"] = None
        row |= {"transaction_id": transaction_id, "operation_type": Operation.UPDATE}
        await session.execute(insert(versions).values(row))
    await session.commit()


async def test_what_goes_back_and_forth_is_no_repetition(session, models):
    article = models.Article(id=1, name="a")
    await write(session, article, setting(article, name="b"), setting(article, name="a"), setting(article, content="x"))
    assert await vacuum(session, models.Article) == 0
    await session.commit()
    assert [v.name for v in await article.awaitable_versions()] == ["a", "b", "a", "a"]


async def test_repetitions_go_and_the_ends_are_joined(session, models):
    article, other = models.Article(id=1, name="a"), models.Article(id=2, name="a")
    await write(session, article, other)
    versions = version_table(models.Article)
    await repeat(session, models.Article, versions.c.id == 1, times=3)
    await write(session, setting(article, name="b"))
    await repeat(session, models.Article, versions.c.id == 1, times=2)
    await repeat(session, models.Article, versions.c.id == 2)
    assert await article.awaitable_versions().count() == 7
    assert await vacuum(session, models.Article) == 6
    await session.commit()
    first, second = await article.awaitable_versions()
    assert [first.name, second.name] == ["a", "b"]
    assert (first.end_transaction_id, second.end_transaction_id) == (second.transaction_id, None)
    assert await vacuum(session, models.Article) == 0
    await session.rollback()


async def test_transactions_go_with_their_last_version_only(session, models):
    article, tag = models.Article(id=1, name="a"), models.Tag(id=1, name="t")
    await write(session, article, tag)
    await repeat(session, models.Article, version_table(models.Article).c.id == 1)
    newest = await article.awaitable_versions()[-1]
    shared = newest.transaction_id
    tags = version_table(models.Tag)
    await session.execute(insert(tags).values(id=9, name="x", transaction_id=shared, operation_type=0))
    await session.execute(
        insert(tags).values(id=9, name="x", transaction_id=shared + 1, operation_type=2)
        if models.strategy == "subquery"
        else update(tags).where(tags.c.id == 9).values(operation_type=2)
    )
    if models.strategy == "subquery":
        await session.execute(insert(transaction_class(models.Tag).__table__).values(id=shared + 1))
    await session.commit()
    assert await vacuum(session, *models.versioned) == 1
    await session.commit()
    assert await session.get(transaction_class(models.Article), shared) is not None


@pytest.mark.parametrize("model_name", ["Seat", "Device", "Account", "Thing"])
async def test_every_kind_of_key_and_value_is_compared_as_stored(session, models, model_name):
    model = getattr(models, model_name)
    made = {
        "Seat": lambda: models.Seat(hall="A", number=1),
        "Device": lambda: models.Device(label="d"),
        "Account": lambda: models.Account(balance=1),
        "Thing": lambda: models.Thing(document={"a": None}, options={}),
    }[model_name]()
    await write(session, made)
    if model_name == "Seat":
        await write(session, models.Seat(hall="A", number=2), models.Seat(hall="B", number=1))
    key_column = next(iter(version_table(model).primary_key))
    first = await session.scalar(select(key_column).limit(1))
    if model_name == "Seat":
        table = version_table(model)
        await repeat(session, model, table.c.hall == "A", table.c.number == 1)
    else:
        await repeat(session, model, key_column == first)
    before = await session.scalar(select(func.count()).select_from(version_table(model)))
    assert await vacuum(session, model) == 1
    await session.commit()
    assert await session.scalar(select(func.count()).select_from(version_table(model))) == before - 1
    await session.rollback()


async def test_deletions_and_rebirths_stay(session, models):
    for _ in range(2):
        article = models.Article(id=1, name="same")
        await write(session, article)
        await session.delete(article)
        await session.commit()
    assert await vacuum(session, *models.versioned) == 0
    await session.commit()
    assert len(await versions_of(session, models.Article, 1)) == 4


async def test_vacuum_costs_three_statements(session, models, statements):
    articles = [models.Article(id=n, name="a") for n in range(1, 30)]
    await write(session, lambda: session.add_all(articles))
    before = len(statements)
    await vacuum(session, models.Article)
    assert len(statements) <= before + 3
    await session.commit()


async def test_only_versioned_classes_and_async_sessions(session, models):
    for function in (vacuum, ac.backfill, ac.verify):
        with pytest.raises(ac.ClassNotVersioned):
            await function(session, models.User)
        with pytest.raises(TypeError, match="AsyncSession"):
            await function(session.sync_session)

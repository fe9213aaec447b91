"""Names of what a transaction changed, and why: written with its row, net, and gone with it."""

import pytest
from sqlalchemy import func, select

import async_continuum as ac
from async_continuum import current_transaction, set_context, transaction_class, versioning_context
from tests.chronicle import setting, write


@pytest.fixture
def transaction(models):
    return transaction_class(models.Article)


@pytest.fixture
def names(session, transaction):
    """Tell the names noted for each transaction, oldest first."""

    async def tell():
        found = await session.scalars(select(transaction).order_by(transaction.id))
        return [[change.entity_name for change in await tx.awaitable_attrs.changes] for tx in found]

    return tell


async def test_each_class_is_named_once_in_a_transaction(session, models, transaction, names):
    article = models.Article(id=1, name="a", tags=[models.Tag(id=1, name="t")])
    session.add(article)
    await session.flush()
    article.name = "b"
    session.add(models.Tag(id=2, name="u"))
    await session.commit()
    await write(session, setting(article, name="c"))
    assert await names() == [["Article", "Tag"], ["Article"]]
    first, second = await session.scalars(select(transaction).order_by(transaction.id))
    assert (await first.entity_names(), await second.entity_names()) == (["Article", "Tag"], ["Article"])
    touched = select(transaction.id).where(transaction.touched(models.Tag))
    assert list(await session.scalars(touched)) == [first.id]


async def test_what_a_transaction_has_undone_is_not_named(session, models, names):
    article, tag = models.Article(id=1, name="a"), models.Tag(id=1, name="t")
    await write(session, article)
    session.add(tag)
    article.name = "b"
    await session.flush()
    await session.delete(tag)
    await session.flush()
    async with session.begin_nested() as savepoint:
        session.add(models.Seat(hall="A", number=1))
        await session.flush()
        await savepoint.rollback()
    await session.commit()
    assert await names() == [["Article"], ["Article"]]
    # Undone, and done again.
    article.name = "c"
    await session.flush()
    article.name = "b"
    await session.flush()
    article.name = "d"
    await session.commit()
    assert (await names())[2:] == [["Article"]]


async def test_meta_is_stored_as_text_with_the_transaction_and_found_by_key(session, models, transaction):
    set_context(session, meta={"session": "mine", "reason": "of the session"})
    with versioning_context(meta={"reason": "import", "batch": 5, "nothing": None, "late": lambda: "called"}):
        await write(session, models.Article(id=1, name="a"))
    (found,) = await session.scalars(select(transaction))
    meta = await found.awaitable_attrs.meta
    assert meta == {"session": "mine", "reason": "of the session", "batch": "5", "late": "called"}
    assert list(await session.scalars(select(transaction).where(transaction.meta["batch"] == "5"))) == [found]
    assert list(await session.scalars(select(transaction).where(transaction.meta["batch"] == "6"))) == []
    with pytest.raises(TypeError, match="versioning_context"):
        meta["reason"] = "another"


async def test_a_transaction_that_leaves_nothing_leaves_no_names_and_no_meta(session, models, transaction):
    with versioning_context(meta={"reason": "in vain"}):
        article = models.Article(id=1, name="a")
        session.add(article)
        await session.flush()
        await session.delete(article)
        await session.commit()
    for table in (transaction.__table__, *_beside(models)):
        assert await session.scalar(select(func.count()).select_from(table)) == 0


async def test_meta_comes_with_a_row_that_was_asked_for(session, models, transaction, database):
    with versioning_context(meta={"reason": "audit"}):
        tx = await current_transaction(session, model=models.Article)
        await session.commit()
    await session.refresh(tx)
    assert await tx.awaitable_attrs.meta == {"reason": "audit"}
    assert await tx.awaitable_attrs.changes == []


async def test_meta_is_set_on_the_object_of_the_running_transaction(session, models, transaction):
    with versioning_context(meta={"reason": "import", "batch": 5}):
        tx = await current_transaction(session, model=models.Article)
        tx.meta["reason"] = "by hand"
        tx.meta |= {"late": lambda: "called", "nothing": None}
        async with session.begin_nested() as savepoint:
            session.add(models.Tag(id=1, name="t"))
            await session.flush()
            assert (await tx.awaitable_attrs.meta)["reason"] == "by hand"
            await savepoint.rollback()
        tx.meta["again"] = "yes"
        await write(session, models.Article(id=1, name="a"))
    (found,) = await session.scalars(select(transaction))
    assert found is tx
    assert await tx.awaitable_attrs.meta == {"reason": "by hand", "batch": "5", "late": "called", "again": "yes"}
    # What is recorded stays as it is.
    with pytest.raises(TypeError, match="before a transaction is recorded"):
        tx.meta = {"reason": "another"}
    with pytest.raises(TypeError, match="before a transaction is recorded"):
        (await tx.awaitable_attrs.meta)["reason"] = "another"


async def test_meta_set_on_an_object_is_stored_where_nothing_changes(session, models, transaction):
    tx = await current_transaction(session, model=models.Article)
    tx.meta = {"reason": "looked at it"}
    await session.commit()
    assert await session.scalar(select(transaction.meta["reason"])) == "looked at it"


def _beside(models):
    tables = models.Base.metadata.tables
    return [tables[name] for name in ("transaction_changes", "transaction_meta")]


async def test_meta_without_a_place_for_it_fails_the_flush(own, database):
    from sqlalchemy.orm import Mapped, mapped_column

    Base, manager = own()

    class Article(ac.Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    async with (await database(Base, manager))() as session:
        session.add(Article(id=1))
        with versioning_context(meta={"reason": "x"}), pytest.raises(ac.ImproperlyConfigured, match="Meta") as caught:
            await session.commit()
    assert caught.value.option == "plugins"
    async with (await database(Base, manager))() as session:
        tx = await current_transaction(session, model=Article)
        tx.meta = {"reason": "x"}
        session.add(Article(id=1))
        with pytest.raises(ac.ImproperlyConfigured, match="reason") as caught:
            await session.commit()
    assert caught.value.option == "plugins"

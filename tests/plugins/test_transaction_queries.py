"""Which transactions touched something, and all that a page of them changed, in a constant number of statements."""

import pytest
from sqlalchemy import func, insert, literal, select, text
from sqlalchemy.orm import selectinload

import async_continuum as ac
from async_continuum import changed_entities, transaction_class, version_class
from tests.chronicle import setting, write


@pytest.fixture
def transaction(models):
    return transaction_class(models.Article)


@pytest.fixture
def touching(session, transaction):
    """Tell which transactions a criterion finds, counted from 0."""

    async def tell(*criteria):
        known = list(await session.scalars(select(transaction.id).order_by(transaction.id)))
        found = await session.scalars(select(transaction.id).where(*criteria).order_by(transaction.id))
        return [known.index(each) for each in found]

    return tell


async def test_an_entity_with_its_children(session, models, transaction, touching):
    article, other = models.Article(id=1, name="a"), models.Article(id=2, name="b")
    mine, theirs, tag = models.Comment(id=1, text="c"), models.Comment(id=2, text="d"), models.Tag(id=1, name="t")
    await write(session, article, other, tag)  # 0 1 2
    mine.article_id, theirs.article_id = 1, 2
    await write(session, mine, theirs, setting(mine, text="e"), setting(theirs, text="f"))  # 3 4 5 6
    await session.refresh(article, ["tags"])
    await write(session, lambda: article.tags.append(tag), setting(tag, name="u"))  # 7 8
    await write(session, setting(mine, article_id=2), setting(mine, text="g"))  # 9 10
    await session.delete(theirs)
    await session.commit()  # 11
    assert await touching(transaction.touched(article)) == [0]
    assert await touching(transaction.touched(article, children=["comments"])) == [0, 3, 5, 9]
    assert await touching(transaction.touched(article, children=["comments", "tags"])) == [0, 3, 5, 7, 9]
    assert await touching(transaction.touched(other, children=["comments"])) == [1, 4, 6, 9, 10, 11]
    assert await touching(transaction.touched(models.Article, children=["comments"])) == [0, 1, 3, 4, 5, 6, 9, 10, 11]
    session.expire_all()
    assert await touching(transaction.touched(article, children=["tags"])) == [0, 7]
    for wrong in ("comment", "nothing"):
        with pytest.raises(ValueError, match=wrong):
            transaction.touched(article, children=[wrong])
    with pytest.raises(ValueError, match="parent"):
        transaction.touched(mine, children=["article"])


async def test_a_page_of_transactions_with_all_that_they_changed(session, models, transaction, statements):
    for number in range(1, 31):
        article = models.Article(id=number, name=f"a{number}")
        session.add_all([article, models.Tag(id=number, name="t"), models.Device(label="d")])
        session.add(models.Comment(id=number, text="c", article=article))
        await session.commit()
    newest = (await session.scalars(select(transaction).order_by(transaction.id.desc()))).all()

    async def needed(transactions):
        before = len(statements)
        changed = await changed_entities(session, transactions)
        return changed, len(statements) - before

    changed, few = await needed(newest[:2])
    everything, many = await needed(newest)
    # The names, and the four classes that were changed; a fifth was not.
    assert few == many == 5
    assert list(everything) == list(newest)
    for tx, by_class in everything.items():
        kinds = {"ArticleVersion", "TagVersion", "DeviceVersion", "CommentVersion"}
        assert {cls.__name__ for cls in by_class} == kinds
        assert all(version.transaction_id == tx.id for versions in by_class.values() for version in versions)
    assert changed[newest[0]] == everything[newest[0]] == await newest[0].changed_entities()
    assert await changed_entities(session, []) == {}
    with pytest.raises(ValueError, match="first recorded flush"):
        await changed_entities(session, [transaction()])


async def test_a_version_knows_the_transactions_that_began_and_ended_it(session, models, transaction, statements):
    article = models.Article(id=1, name="a")
    await write(session, article, setting(article, name="b"), models.Article(id=2, name="c"))
    version = version_class(models.Article)
    loading = (selectinload(version.transaction), selectinload(version.end_transaction))
    first, second, other = await session.scalars(
        select(version).order_by(version.id, version.transaction_id).options(*loading)
    )
    before = len(statements)
    assert first.end_transaction is second.transaction
    assert second.end_transaction is other.end_transaction is None
    assert len(statements) == before
    session.expire_all()
    ended = await first.awaitable_attrs.end_transaction
    await session.refresh(second)
    assert ended.id == second.transaction_id
    joined = select(version.name).join(version.end_transaction).where(transaction.id == ended.id)
    assert (await session.scalars(joined)).all() == ["a"]


@pytest.mark.unaccounted
@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_touched_reads_one_index_range_at_any_length_of_history(session, models, transaction, database):
    noted = transaction.__entity_names__
    number = func.generate_series(1, 20_000).table_valued("number").render_derived().c.number
    issued = func.timezone("utc", func.now())
    await session.execute(insert(transaction.__table__).from_select(["id", "issued_at"], select(number, issued)))
    names = ["transaction_id", "entity_name"]
    await session.execute(insert(noted).from_select(names, select(number, literal("Tag"))))
    await session.execute(insert(noted).from_select(names, select(number, literal("Article")).where(number % 100 == 0)))
    database.allowed_empty.update(range(1, 20_001))
    await session.commit()
    await session.execute(text(f"ANALYZE {noted.name}"))
    await session.execute(text("ANALYZE transaction"))
    last = select(transaction.id).where(transaction.touched(models.Article)).order_by(transaction.id.desc()).limit(10)
    sql = last.compile(session.bind, compile_kwargs={"literal_binds": True})
    plan = "\n".join(await session.scalars(text(f"EXPLAIN {sql}")))
    assert f"ix_{noted.name}_entity_name" in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "article_version" not in plan, plan
    assert len((await session.scalars(last)).all()) == 10
    for table in (noted, transaction.__table__):
        await session.execute(table.delete())
    await session.commit()


async def test_names_are_asked_of_their_table_alone(session, models, transaction, statements):
    await write(session, models.Article(id=1, name="a"))
    (tx,) = await session.scalars(select(transaction))
    before = len(statements)
    assert await tx.entity_names() == ["Article"]
    assert len(statements.texts[before:]) == 1
    assert "_version" not in statements[-1]
    assert ac.is_versioned(models.Article)

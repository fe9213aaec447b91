"""What is left of a history whose older part a retention job has deleted still answers."""

import pytest
from sqlalchemy import delete, insert, select

from async_continuum import (
    Operation,
    as_of,
    changes_between,
    changesets,
    transaction_class,
    verify,
    version_class,
    version_table,
)
from tests.chronicle import setting, write


async def test_versions_whose_predecessors_and_transactions_are_gone(session, models):
    Article, Tag = models.Article, models.Tag
    article, tag = Article(id=1, name="a"), Tag(id=1, name="t")
    await write(session, tag, article, setting(article, name="b"), setting(article, name="c"))
    first, second, _ = await article.awaitable_versions()
    table, Transaction = version_table(Article), transaction_class(Article)
    pruned = first.transaction_id
    await session.execute(delete(table).where(table.c.transaction_id == pruned))
    await session.execute(delete(Transaction).where(Transaction.id < second.transaction_id))
    await session.commit()
    session.expunge_all()

    article = await session.get_one(Article, 1)
    versions = await article.awaitable_versions()
    assert [version.name for version in versions] == ["b", "c"]
    assert await versions[0].previous() is None
    assert (await changesets(session, versions))[versions[1]].keys() == {"name"}
    assert await verify(session, Article, Tag) == []
    with pytest.raises(ValueError, match="no transaction"):
        await article.awaitable_versions().at(pruned)

    # A version says by itself when it was made.
    kept = await session.scalar(select(version_class(Tag)).where(version_class(Tag).id == 1))
    signed = kept.transaction_id
    assert await kept.awaitable_attrs.transaction is None
    async with as_of(session, kept) as past:
        assert [tag.name for tag in await past.scalars(select(Tag))] == ["t"]
    assert (await kept.as_live(session)).name == "t"
    changed = await changes_between(session, Article, kept, versions[1])
    assert [(each.key, each.operation) for each in changed] == [((1,), Operation.INSERT)]
    with pytest.raises(ValueError, match="no transaction"):
        async with as_of(session, signed):
            pass

    assert await versions[0].revert(session) is article
    assert article.name == "b"
    await session.commit()
    assert await verify(session, Article, Tag) == []

    # What every test proves at its end: each version has its transaction.
    await session.execute(insert(Transaction).values(id=signed))
    await session.commit()

"""Links that the ORM makes and takes away are versions of their own."""

import pytest
from sqlalchemy import delete, insert, select

import async_continuum as ac
from async_continuum import versions_of
from tests.links.magazine import links, transactions

MADE = [(1, 1, "INSERT"), (1, 2, "INSERT")]


async def test_a_link_made_from_one_side_is_recorded_without_a_version_of_its_ends(session, models, article):
    (await article.awaitable_attrs.tags).append(await session.get_one(models.Tag, 3))
    await session.commit()
    assert await links(session, models.manager, models.tagged) == [*MADE, (1, 3, "INSERT")]
    assert await article.awaitable_versions().count() == 1
    assert len(await versions_of(session, models.Tag, 3)) == 1


async def test_a_link_made_from_the_other_side_or_from_both_is_one_link(session, models, article):
    tags = [await session.get_one(models.Tag, number) for number in (1, 2, 3)]
    await article.awaitable_attrs.tags
    (await tags[2].awaitable_attrs.articles).append(article)
    await session.commit()
    assert await links(session, models.manager, models.tagged) == [*MADE, (1, 3, "INSERT")]
    (await tags[2].awaitable_attrs.articles).remove(article)
    (await article.awaitable_attrs.tags).remove(tags[0])
    await session.commit()
    assert await links(session, models.manager, models.tagged) == [
        *MADE,
        (1, 3, "INSERT"),
        (1, 1, "DELETE"),
        (1, 3, "DELETE"),
    ]


async def test_a_backref_is_a_side_like_any_other(session, models, article):
    tag = await session.get_one(models.Tag, 3)
    (await tag.awaitable_attrs.numbering).append(article)
    await session.commit()
    assert await links(session, models.manager, models.numbered) == [(1, 3, "INSERT")]
    (await tag.awaitable_attrs.numbering).clear()
    await session.commit()
    assert await links(session, models.manager, models.numbered) == [(1, 3, "INSERT"), (1, 3, "DELETE")]


async def test_several_flushes_of_one_transaction_are_one_change(session, models, article):
    tags = await article.awaitable_attrs.tags
    third = await session.get_one(models.Tag, 3)
    for _ in range(2):
        tags.append(third)
        await session.flush()
        tags.remove(third)
        await session.flush()
    tags.append(third)
    await session.flush()
    tags.remove(tags[0])
    await session.commit()
    assert await links(session, models.manager, models.tagged) == [*MADE, (1, 1, "DELETE"), (1, 3, "INSERT")]
    assert await transactions(session, models) == 2


@pytest.mark.parametrize("flushed", [True, False])
async def test_a_link_that_is_removed_and_made_again_is_no_change(session, models, article, flushed):
    tags = await article.awaitable_attrs.tags
    first = tags.pop(0)
    if flushed:
        await session.flush()
    tags.insert(0, first)
    await session.commit()
    assert await links(session, models.manager, models.tagged) == MADE
    assert await transactions(session, models) == 1


async def test_a_link_that_is_made_and_removed_again_is_no_change(session, models, article):
    tags = await article.awaitable_attrs.tags
    tags.append(await session.get_one(models.Tag, 3))
    await session.flush()
    tags.pop()
    await session.commit()
    assert await links(session, models.manager, models.tagged) == MADE
    assert await transactions(session, models) == 1


async def test_a_link_may_come_and_go_in_many_transactions(session, models, article):
    tags = await article.awaitable_attrs.tags
    first = tags[0]
    for _ in range(2):
        tags.remove(first)
        await session.commit()
        (tags := await article.awaitable_attrs.tags).append(first)
        await session.commit()
        tags = await article.awaitable_attrs.tags
    told = [operation for *key, operation in await links(session, models.manager, models.tagged) if key == [1, 1]]
    assert told == ["INSERT", "DELETE", "INSERT", "DELETE", "INSERT"]


async def test_the_end_of_a_link_is_written(session, models, article):
    history = models.manager.coverage.links[models.tagged].history
    (await article.awaitable_attrs.tags).pop()
    await session.commit()
    if history.ends is None:
        assert "end_transaction_id" not in history.version_table.c
        return
    versions = history.version_table
    rows = await session.execute(
        select(versions.c.transaction_id, versions.c.end_transaction_id)
        .where(versions.c.tag_id == 2)
        .order_by(versions.c.transaction_id)
    )
    assert [tuple(row) for row in rows] == [(1, 2), (2, None)]


async def test_what_a_savepoint_takes_back_was_never_linked(session, models, article):
    tags = await article.awaitable_attrs.tags
    third = await session.get_one(models.Tag, 3)
    savepoint = await session.begin_nested()
    tags.append(third)
    await session.flush()
    await savepoint.rollback()
    tags = await article.awaitable_attrs.tags
    async with session.begin_nested():
        tags.pop()
    await session.commit()
    assert await links(session, models.manager, models.tagged) == [*MADE, (1, 2, "DELETE")]


async def test_a_transaction_whose_only_links_are_rolled_back_leaves_nothing(session, models, article):
    savepoint = await session.begin_nested()
    (await article.awaitable_attrs.tags).clear()
    await session.flush()
    await savepoint.rollback()
    await session.commit()
    (await article.awaitable_attrs.tags).clear()
    await session.flush()
    await session.rollback()
    assert await links(session, models.manager, models.tagged) == MADE
    assert await transactions(session, models) == 1


@pytest.mark.parametrize("end", ["Article", "Tag"])
async def test_the_links_of_an_end_that_is_deleted_go_with_it(session, models, article, end):
    await session.delete(await session.get_one(getattr(models, end), 1))
    await session.commit()
    gone = [(1, 1, "DELETE"), (1, 2, "DELETE")] if end == "Article" else [(1, 1, "DELETE")]
    assert await links(session, models.manager, models.tagged) == [*MADE, *gone]
    assert (await versions_of(session, getattr(models, end), 1))[-1].operation_type.name == "DELETE"
    assert await transactions(session, models) == 2


async def test_both_ends_of_a_link_may_go_at_once(session, models, article):
    await session.delete(article)
    for number in (1, 2):
        await session.delete(await session.get_one(models.Tag, number))
    await session.commit()
    assert await links(session, models.manager, models.tagged) == [*MADE, (1, 1, "DELETE"), (1, 2, "DELETE")]


async def test_an_end_that_is_deleted_and_made_anew_keeps_its_links(session, models, article):
    tags = list(await article.awaitable_attrs.tags)
    await session.delete(article)
    await session.flush()
    session.add(models.Article(id=1, tags=tags))
    await session.commit()
    assert await links(session, models.manager, models.tagged) == MADE
    assert await transactions(session, models) == 1


@pytest.mark.parametrize("name", ["ranked", "numbered", "keyless", "followed"])
async def test_links_of_every_shape_come_and_go(session, models, article, name):
    table = models.follows if name == "followed" else getattr(models, name)
    kind = models.Article if name == "followed" else models.Tag
    targets = [await session.get(kind, number) or kind(id=number) for number in (2, 3)]
    session.add_all(targets)
    (await getattr(article.awaitable_attrs, name)).extend(targets)
    await session.commit()
    made = [(1, 2, "INSERT"), (1, 3, "INSERT")]
    assert await links(session, models.manager, table) == made
    collection = await getattr(article.awaitable_attrs, name)
    gone = collection.pop(0)
    await session.flush()
    collection.append(gone)
    await session.commit()
    if name == "numbered":
        # It is another row: what is stored of the link differs in its number.
        made.append((1, 2, "UPDATE"))
    assert await links(session, models.manager, table) == made
    (await getattr(article.awaitable_attrs, name)).clear()
    await session.commit()
    assert await links(session, models.manager, table) == [*made, (1, 2, "DELETE"), (1, 3, "DELETE")]


async def test_further_columns_and_their_defaults_are_recorded_as_stored(session, models, article):
    tag = await session.get_one(models.Tag, 1)
    (await article.awaitable_attrs.ranked).append(tag)
    await session.commit()
    expected = [(1, 1, 7, "none given", None, "INSERT")]
    assert await links(session, models.manager, models.ranked, "place", "reason", "note") == expected
    (await article.awaitable_attrs.ranked).clear()
    await session.commit()
    expected.append((1, 1, 7, "none given", None, "DELETE"))
    assert await links(session, models.manager, models.ranked, "place", "reason", "note") == expected


async def test_an_entity_follows_itself(session, models, article):
    (await article.awaitable_attrs.followed).append(article)
    await session.commit()
    await session.delete(article)
    await session.commit()
    assert await links(session, models.manager, models.follows) == [(1, 1, "INSERT"), (1, 1, "DELETE")]


async def test_an_excluded_relationship_keeps_no_history(session, models, article):
    assert models.hidden not in models.manager.coverage.links
    assert "article_hidden_version" not in models.Base.metadata.tables
    (await article.awaitable_attrs.hidden).append(await session.get_one(models.Tag, 1))
    await session.commit()
    await session.execute(insert(models.hidden).values(article_id=1, tag_id=2))
    await session.execute(delete(models.hidden))
    await session.commit()
    assert await transactions(session, models) == 1


@pytest.mark.unaccounted
async def test_nothing_is_recorded_while_versioning_is_disabled(session, models, article):
    with ac.versioning_disabled():
        tags = await article.awaitable_attrs.tags
        tags.append(await session.get_one(models.Tag, 3))
        tags.pop(0)
        await session.commit()
        await session.execute(delete(models.tagged))
        await session.execute(insert(models.tagged).values(article_id=1, tag_id=2))
        await session.commit()
    assert await links(session, models.manager, models.tagged) == MADE
    assert await transactions(session, models) == 1


async def test_a_transaction_of_links_alone_has_a_row_and_no_changed_entities(session, models, article):
    (await article.awaitable_attrs.tags).pop()
    await session.commit()
    transaction = await session.get_one(ac.transaction_class(models.Article), 2)
    assert await transaction.changed_entities() == {}
    assert await transaction.entity_names() == []
    assert await transactions(session, models) == 2


async def test_links_and_ends_of_one_transaction_share_its_row(session, models, article):
    session.add(models.Tag(id=4, articles=[article, models.Article(id=2)]))
    await session.commit()
    assert await links(session, models.manager, models.tagged) == [*MADE, (1, 4, "INSERT"), (2, 4, "INSERT")]
    transaction = await session.get_one(ac.transaction_class(models.Article), 2)
    assert sorted(await transaction.entity_names()) == ["Article", "Tag"]
    assert await transactions(session, models) == 2


@pytest.mark.parametrize("act", ["add", "remove", "both"])
async def test_a_flush_of_links_costs_a_constant_number_of_statements(session, models, article, statements, act):
    counted = []
    for base, size in ((100, 2), (1000, 200)):
        old = [models.Tag(id=base + number) for number in range(size)]
        new = [models.Tag(id=base + 300 + number) for number in range(size)]
        session.add_all(new)
        reader = models.Article(id=base, tags=old)
        session.add(reader)
        await session.commit()
        tags = await reader.awaitable_attrs.tags
        for each in [*old, *new]:
            await session.refresh(each)
        before = len(statements)
        if act != "add":
            tags.clear()
        if act != "remove":
            tags.extend(new)
        with session.no_autoflush:
            await session.flush()
        counted.append(statements[before:])
        await session.commit()
    assert len(counted[0]) == len(counted[1]), "\n".join(counted[1])

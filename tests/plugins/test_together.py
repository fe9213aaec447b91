"""All built-in plugins at once: no statement for a row, what they store follows its transaction, and all goes away."""

import asyncio

import pytest
from sqlalchemy import delete, func, insert, select, update

import async_continuum as ac
from async_continuum import transaction_class, versioning_context
from async_continuum.plugins import NullDeletePlugin, PropertyModTrackerPlugin
from tests.kit.statements import count_statements

MORE = {"sqlite": {"names": 1, "meta": 1}, "postgresql": {"names": 0, "meta": 0}}


@pytest.mark.not_on("mariadb", "its keys go in chunks")
@pytest.mark.parametrize("operation", ["insert", "update", "delete"])
async def test_no_statement_is_added_for_a_row(sessions, models, engine, backend, operation):
    async def cost(rows):
        async with sessions() as session:
            with ac.versioning_disabled():
                await session.execute(delete(models.Tag))
            if operation != "insert":
                session.add_all(models.Tag(id=number, name="t") for number in range(rows))
                await session.commit()
            tags = (await session.scalars(select(models.Tag))).all()
            with versioning_context(meta={"reason": "x"}), count_statements(engine) as statements:
                match operation:
                    case "insert":
                        session.add_all(models.Tag(id=number, name="t") for number in range(rows))
                    case "update":
                        for tag in tags:
                            tag.name = "u"
                    case "delete":
                        for tag in tags:
                            await session.delete(tag)
                await session.commit()
            recorded = [text for text in statements.texts if "transaction" in text or "_version" in text]
            # That there are versions is known where the names of their classes are noted: no key is sent for it.
            assert not any("json_each" in text for text in recorded if "transaction_changes" in text)
            await session.execute(delete(models.Tag))
            await session.commit()
            return len(recorded)

    few, many = await cost(2), await cost(60)
    assert few == many
    plain = {"sqlite": 3 if models.strategy == "validity" else 2, "postgresql": 1}[backend]
    assert few <= plain + sum(MORE[backend].values())


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_what_they_store_follows_an_overtaken_transaction(sessions, models):
    activity_of, transaction = models.activities.activity_cls, transaction_class(models.Article)
    async with sessions() as session:
        session.add_all([models.Article(id=1, name="a"), models.Article(id=2, name="b")])
        await session.commit()
    async with sessions() as old, sessions() as younger:
        with versioning_context(meta={"reason": "slow"}):
            mine = await old.get_one(models.Article, 1)
            mine.name = "old"
            activity = activity_of(verb="edit", object=mine, target=mine)
            tag = models.Tag(id=1, name="t")
            old.add_all([activity, tag])
            await old.flush()
            before = activity.transaction_id
            names = await (await old.get_one(transaction, before)).awaitable_attrs.changes
            (await younger.get_one(models.Article, 2)).name = "younger"
            await younger.commit()
            (await old.get_one(models.Article, 2, populate_existing=True)).name = "old"
            await old.flush()
            after = activity.transaction_id
            assert after > before
            assert activity.object_tx_id == activity.target_tx_id == after
            assert {each.transaction_id for each in names} == {after}
            await old.commit()
    async with sessions() as session:
        assert await session.get(transaction, before) is None
        tx = await session.get_one(transaction, after)
        assert await tx.awaitable_attrs.meta == {"reason": "slow"}
        assert await tx.entity_names() == ["Article", "Tag"]
        (activity,) = await tx.awaitable_attrs.activities
        assert (await activity.object_version(session)).name == "old"
        flags = [(v.name_mod, v.content_mod) for v in await ac.versions_of(session, models.Article, 2)]
        assert flags == [(True, True), (True, False), (True, False)]


async def test_statements_are_recorded_with_all_of_them(sessions, session, models):
    transaction = transaction_class(models.Article)
    with versioning_context(meta={"reason": "bulk"}):
        await session.execute(insert(models.Tag), [{"id": number, "name": "t"} for number in range(20)])
        await session.execute(update(models.Tag).where(models.Tag.id < 10).values(name="u"))
        await session.commit()
    await session.execute(update(models.Tag).where(models.Tag.id < 5).values(name=func.upper(models.Tag.name)))
    await session.commit()
    await session.execute(delete(models.Tag).where(models.Tag.id == 0))
    await session.commit()
    history = [(v.operation_type.name, v.name, v.name_mod) for v in await ac.versions_of(session, models.Tag, 0)]
    assert history == [("INSERT", "u", True), ("UPDATE", "U", True), ("DELETE", None, True)]
    first = await session.scalar(select(transaction).order_by(transaction.id))
    assert await first.awaitable_attrs.meta == {"reason": "bulk"}
    assert await first.entity_names() == ["Tag"]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_many_tasks_at_once_leave_a_whole_history(sessions, models):
    async with sessions() as session:
        session.add_all(models.Article(id=number, name="a") for number in range(3))
        await session.commit()

    async def work(number):
        for step in range(4):
            with versioning_context(meta={"task": number}):
                async with sessions() as session:
                    article = await session.get_one(models.Article, (number + step) % 3, with_for_update=True)
                    article.name = f"{number} {step}"
                    session.add(models.activities.activity_cls(verb="edit", object=article))
                    session.add(models.Tag(name=f"{number}"))
                    await session.commit()

    await asyncio.gather(*(work(number) for number in range(8)))
    transaction = transaction_class(models.Article)
    async with sessions() as session:
        activities = (await session.scalars(select(models.activities.activity_cls))).all()
        found = await models.activities.resolve(session, activities)
        assert len(found) == 32
        for each in found:
            meta = await (await session.get_one(transaction, each.activity.transaction_id)).awaitable_attrs.meta
            assert each.object_version.name.split()[0] == meta["task"]
            assert each.object_version.transaction_id == each.activity.transaction_id


async def test_remove_versioning_takes_everything_away(own):
    from tests.plugins.newsroom import newsroom

    made = newsroom("validity")
    tables = set(made.Base.metadata.tables)
    assert {"activity", "transaction_changes", "transaction_meta", "tag_version", "transaction"} < tables
    ac.remove_versioning(manager=made.manager)
    assert set(made.Base.metadata.tables) == {"article", "tag", "comment", "seat", "device", "visitor", "article_tag"}
    assert made.Base.metadata._sequences == {}
    assert {mapper.class_.__name__ for mapper in made.Base.registry.mappers} == {
        "Article", "Tag", "Comment", "Seat", "Device", "Visitor",
    }  # fmt: skip
    with pytest.raises(ac.ImproperlyConfigured):
        _ = made.activities.activity_cls
    # And it may begin again.
    ac.make_versioned(
        mapper=made.Base, manager=made.manager, user_cls=None, plugins=[PropertyModTrackerPlugin(), NullDeletePlugin()]
    )
    assert "name_mod" in ac.version_table(made.Tag).c
    ac.remove_versioning(manager=made.manager)


@pytest.mark.unaccounted
async def test_vacuum_leaves_no_names_and_no_meta_and_keeps_activities(session, models):
    transaction, versions = transaction_class(models.Tag), ac.version_table(models.Tag)
    tag, article = models.Tag(id=1, name="t"), models.Article(id=1, name="a")
    with versioning_context(meta={"reason": "x"}):
        session.add_all([tag, article])
        await session.commit()
        for number in range(3):
            tag.name = f"u{number}"
            if number == 1:
                article.name = "b"
            if number == 2:
                session.add(models.activities.activity_cls(verb="rename", object=tag))
            await session.commit()
    # As if nothing had changed: what was recorded becomes a repetition.
    await session.execute(update(versions).values(name="t", name_mod=versions.c.operation_type == 0))
    with ac.versioning_disabled():
        await session.execute(update(models.Tag.__table__).values(name="t"))
    await session.commit()
    assert await ac.vacuum(session, models.Tag) == 3
    await session.commit()
    found = (await session.scalars(select(transaction).order_by(transaction.id))).all()
    assert [await tx.entity_names() for tx in found] == [["Article", "Tag"], ["Article"], []]
    assert [len(await tx.awaitable_attrs.activities) for tx in found] == [0, 0, 1]
    meta = models.Base.metadata.tables["transaction_meta"]
    assert len((await session.execute(select(meta))).all()) == 3

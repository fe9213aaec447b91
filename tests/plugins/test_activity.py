"""Activities name any entity, without a flush before, and give it as it is and as it was."""

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import async_sessionmaker

import async_continuum as ac
from async_continuum import transaction_class, version_class
from tests.chronicle import setting, write


@pytest.fixture
def activity_of(models):
    return models.activities.activity_cls


async def test_an_activity_is_about_objects_of_the_same_flush_with_keys_of_any_type(session, models, activity_of):
    article, tag = models.Article(name="a"), models.Tag(id=7, name="t")
    device, seat = models.Device(label="d"), models.Seat(hall="A", number=1)
    made = [
        activity_of(verb="create", object=article, target=tag, data={"by": ["hand", 1]}),
        activity_of(verb="move", object=device, target=seat),
        activity_of(verb="idle"),
    ]
    session.add_all([*made, article, tag, device, seat])
    await session.commit()
    session.expire_all()
    created, moved, idle = await session.scalars(select(activity_of).order_by(activity_of.id))
    assert (created.verb, created.data, created.object_type, created.target_type) == (
        "create", {"by": ["hand", 1]}, "Article", "Tag",
    )  # fmt: skip
    assert await created.object(session) is article
    assert await created.target(session) is tag
    assert await moved.object() is device
    assert await moved.target() is seat
    assert (created.object_id, created.object_key, created.target_id) == (article.id, [article.id], 7)
    await session.refresh(device)
    await session.refresh(moved)
    assert (moved.object_id, moved.object_key, moved.target_key) == (None, [str(device.id)], [1, "A"])
    for activity, role, name in ((created, "object", "name"), (created, "target", "name"), (moved, "object", "label")):
        version = await getattr(activity, f"{role}_version")(session)
        assert getattr(version, name) in "atd"
        assert version.transaction_id == getattr(activity, f"{role}_tx_id") == activity.transaction_id
    assert [await idle.object(session), await idle.target(session), await idle.object_version(session)] == [None] * 3
    transaction = await created.awaitable_attrs.transaction
    assert [activity.verb for activity in await transaction.awaitable_attrs.activities] == ["create", "move", "idle"]


async def test_it_remembers_the_versions_of_its_time(session, models, activity_of):
    article = models.Article(id=1, name="a")
    await write(session, article)
    viewed = activity_of(verb="view", object=article)
    await write(session, viewed)
    session.add(activity_of(verb="update", object=article))
    await write(session, setting(article, name="b"))
    session.add(activity_of(verb="delete", object=article))
    await session.delete(article)
    await session.commit()
    activities = (await session.scalars(select(activity_of).order_by(activity_of.id))).all()
    versions = [await activity.object_version(session) for activity in activities]
    assert [(v.operation_type.name, v.name) for v in versions] == [("INSERT", "a"), ("UPDATE", "b"), ("DELETE", None)]
    assert [v.transaction_id for v in versions] == [activity.object_tx_id for activity in activities]
    assert [await activity.object(session) for activity in activities] == [None, None, None]
    assert [await session.get(transaction_class(models.Article), a.transaction_id) for a in activities]


async def test_an_activity_alone_keeps_its_transaction_and_says_who(session, models, activity_of):
    with ac.versioning_context(remote_addr="10.0.0.7", meta={"why": "audit"}):
        await write(session, activity_of(verb="login"))
    transaction = await session.scalar(select(transaction_class(models.Article)))
    assert (transaction.remote_addr, await transaction.awaitable_attrs.meta) == ("10.0.0.7", {"why": "audit"})
    assert await transaction.changed_entities() == {}
    session.add(activity_of(verb="lost"))
    await session.flush()
    await session.rollback()
    async with session.begin_nested() as savepoint:
        session.add(activity_of(verb="lost too"))
        await session.flush()
        await savepoint.rollback()
    session.add(activity_of(verb="kept"))
    await session.commit()
    assert (await session.scalars(select(activity_of.verb).order_by(activity_of.id))).all() == ["login", "kept"]


async def test_objects_that_are_not_versioned_or_undone_in_the_same_transaction(session, models, activity_of):
    visitor, tag = models.Visitor(name="v"), models.Tag(id=1, name="t")
    await write(session, tag)
    session.add_all([visitor, activity_of(verb="meet", object=visitor, target=tag)])
    tag.name = "u"
    await session.flush()
    tag.name = "t"
    await session.commit()
    activity = await session.scalar(select(activity_of))
    assert await activity.object(session) is visitor
    assert await activity.object_version(session) is None
    assert (await activity.target_version(session)).name == "t"


async def test_activities_of_an_entity_are_found_by_its_object(session, models, activity_of):
    article, seat = models.Article(id=1, name="a"), models.Seat(hall="A", number=1)
    session.add_all([article, seat, models.Article(id=2, name="b")])
    session.add_all([activity_of(verb="one", object=article, target=seat), activity_of(verb="two", object=seat)])
    await session.commit()

    async def verbs(*criteria):
        return (await session.scalars(select(activity_of.verb).where(*criteria).order_by(activity_of.id))).all()

    assert await verbs(activity_of.concerns(article)) == ["one"]
    assert await verbs(activity_of.concerns(seat)) == ["one", "two"]
    assert await verbs(activity_of.concerns(seat, role="object")) == ["two"]
    with pytest.raises(ValueError, match="neither"):
        activity_of.concerns(seat, role="subject")


async def test_activities_of_continuum_which_has_no_column_for_a_key_are_found_as_well(session, models, activity_of):
    article = models.Article(id=1, name="a")
    session.add_all([article, models.Article(id=2, name="b"), activity_of(verb="ours", object=article)])
    await session.commit()
    table, version = activity_of.__table__, await article.awaitable_versions().first()
    theirs = {"object_type": "Article", "object_tx_id": version.transaction_id}
    rows = [("one", 1), ("another", 2)]
    await session.execute(
        insert(table),
        [
            {"verb": verb, "object_id": number, "transaction_id": version.transaction_id, **theirs}
            for verb, number in rows
        ],
    )
    found = (await session.scalars(select(activity_of).where(activity_of.concerns(article)).order_by("id"))).all()
    assert [activity.verb for activity in found] == ["ours", "one"]
    assert await found[1].object(session) is article
    assert await found[1].object_version(session) is version


async def test_a_page_needs_a_constant_number_of_statements(sessions, session, models, activity_of, statements):
    # The ORM's own, of which SQLite needs one for each row that is given no key.
    inserting = tuple(f"INSERT INTO {table} " for table in ("article", "tag", "activity"))

    async def page(size):
        for number in range(size):
            article, tag = models.Article(name=f"a{number}"), models.Tag(name=f"t{number}")
            session.add_all([article, tag, activity_of(verb="add", object=article, target=tag)])
        before = len(statements)
        await session.flush()
        flushed = len([text for text in statements.texts[before:] if not text.startswith(inserting)])
        await session.commit()
        async with sessions() as other:
            activities = (await other.scalars(select(activity_of))).all()
            before = len(statements)
            found = await models.activities.resolve(other, activities)
            assert all(each.object.name == each.object_version.name for each in found)
            assert all(each.target.name == each.target_version.name for each in found)
            assert len(found) == len(activities) >= size
            return flushed, len(statements) - before

    # The first looks for triggers, where they record.
    await page(1)
    assert await page(3) == await page(40)
    assert (await page(1))[1] == 4
    assert await models.activities.resolve(session, []) == []


async def test_mistakes_are_refused(session, models, activity_of, engine, own):
    with pytest.raises(TypeError, match="no mapped object"):
        activity_of(verb="x", object="article")
    with pytest.raises(TypeError, match="'verbe'"):
        activity_of(verbe="x")
    session.add(activity_of(verb="x", object=models.Article(name="not in the session")))
    with pytest.raises(ac.VersioningError, match=r"ActivityPlugin failed in flushed.*never stored"):
        await session.commit()
    await session.rollback()
    with pytest.raises(ac.ImproperlyConfigured, match="before the first"):
        from async_continuum.plugins import ActivityPlugin

        _ = ActivityPlugin().activity_cls


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_an_activity_needs_a_recorded_session(own, database):
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Mapped, mapped_column

    from async_continuum.plugins import ActivityPlugin

    class Recorded(AsyncSession):
        pass

    plugin = ActivityPlugin()
    Base, manager = own(plugins=[plugin], session=Recorded)

    class Article(ac.Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add(plugin.activity_cls(verb="x"))
        with pytest.raises(ac.ImproperlyConfigured, match="scope"):
            await session.commit()
    async with async_sessionmaker(database.engine, class_=Recorded)() as session:
        await write(session, plugin.activity_cls(verb="x"))
    assert plugin.activity_class_of(version_class(Article)) is plugin.activity_cls

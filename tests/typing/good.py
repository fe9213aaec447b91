"""User code that passes mypy --strict and pyright without an ignore or a plugin. It is checked, never run."""

from datetime import UTC, datetime
from typing import Any, ClassVar, assert_type

from sqlalchemy import String, select
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from async_continuum import (
    Change,
    ChangesBetween,
    EntityChange,
    Operation,
    Options,
    Version,
    Versioned,
    VersioningManager,
    VersionQuery,
    alive_at,
    as_of,
    backfill,
    changed_entities,
    changes_between,
    changesets,
    count_versions,
    current_transaction,
    deleted,
    is_modified,
    is_session_modified,
    is_versioned,
    make_versioned,
    set_context,
    transaction_class,
    vacuum,
    verify,
    version_class,
    versioned_objects,
    versioning_context,
    versioning_disabled,
    versions_of,
)
from async_continuum.plugins import ActivityBase, ActivityPlugin, NullDeletePlugin, Related

activities = ActivityPlugin()
manager = make_versioned(
    user_cls=None,
    plugins=[activities, NullDeletePlugin()],
    options={"strategy": "validity", "table_name": "%s_history"},
)
assert_type(manager, VersioningManager)


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Article(Versioned, Base):
    __versioned__ = {"exclude": ["content"], "strategy": "subquery"}
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    content: Mapped[str | None]


ArticleVersion = version_class(Article)
assert_type(ArticleVersion, type[Version[Article]])
Transaction = transaction_class(Article)


class OwnSession(AsyncSession):
    pass


async def read_the_past(
    session: AsyncSession, own: OwnSession, engine: AsyncEngine, maker: async_sessionmaker[OwnSession]
) -> None:
    moment = datetime.now(UTC)
    async with as_of(session, moment) as past:
        assert_type(past, AsyncSession)
        assert_type(await past.get(Article, 1), Article | None)
    async with as_of(own, 5, live="refuse") as past_own:
        assert_type(past_own, OwnSession)
    async with as_of(engine, moment) as past_of_engine:
        assert_type(past_of_engine, AsyncSession)
    async with as_of(maker, moment) as past_of_maker:
        assert_type(past_of_maker, OwnSession)
    version = await versions_of(session, Article, 1).first()
    if version is not None:
        assert_type(await version.as_live(session), Article | None)
    transaction = await current_transaction(session)
    assert_type(await transaction.state(session), AsyncSession)


async def compare_two_moments(session: AsyncSession) -> None:
    query = changes_between(session, Article, 1, datetime.now(UTC))
    assert_type(query, ChangesBetween[Version[Article]])
    assert_type(
        query.where(ArticleVersion.name == "x").only(Operation.UPDATE).limit(5).offset(5),
        ChangesBetween[Version[Article]],
    )
    for change in await query:
        assert_type(change, EntityChange[Version[Article]])
        assert_type(change.before, Version[Article] | None)
        assert_type(change.operation, Operation)
        assert_type(change.changes["name"], Change)
    assert_type(await query.count(), int)
    assert_type(await query.first(), EntityChange[Version[Article]] | None)
    async for change in query.order_by(ArticleVersion.name):
        assert_type(change.key, tuple[Any, ...])
    await changes_between(session, None, 1, 2)
    await changes_between(session, [Article], 1, 2)


async def read_one_entity(session: AsyncSession, article: Article) -> None:
    moment = datetime.now(UTC)
    query = article.awaitable_versions()
    assert_type(query, VersionQuery[Version[Article]])
    assert_type(article.awaitable_versions(session), VersionQuery[Version[Article]])

    assert_type(await query, list[Version[Article]])
    assert_type(await query[0], Version[Article])
    assert_type(await query[-1], Version[Article])
    assert_type(await query[2:5], list[Version[Article]])
    assert_type(await query.count(), int)
    assert_type(await query.first(), Version[Article] | None)
    assert_type(await query.last(), Version[Article] | None)
    assert_type(await query.at(moment), Version[Article] | None)
    assert_type(await query.at(33), Version[Article] | None)
    async for version in query:
        assert_type(version, Version[Article])

    chained = (
        query.between(moment, moment)
        .where(ArticleVersion.name != "x")
        .order_by(ArticleVersion.transaction_id.desc())
        .limit(5)
        .offset(1)
    )
    assert_type(chained, VersionQuery[Version[Article]])
    assert_type(await chained, list[Version[Article]])

    assert_type(versions_of(session, Article, 1), VersionQuery[Version[Article]])
    assert_type(versions_of(session, Article, (1, "two")), VersionQuery[Version[Article]])
    assert_type(versions_of(article), VersionQuery[Version[Article]])
    assert_type(versions_of(version_class(Article)()), VersionQuery[Version[Article]])


async def read_as_any_model(session: AsyncSession) -> None:
    found = await session.scalars(
        select(ArticleVersion).where(ArticleVersion.name == "x", ArticleVersion.transaction_id == 33)
    )
    assert_type(found.first(), Version[Article] | None)
    then = await session.scalars(select(ArticleVersion).where(alive_at(ArticleVersion, 33)))
    for version in then:
        assert_type(version, Version[Article])
    for gone in await session.scalars(deleted(Article)):
        assert_type(gone, Version[Article])  # from 2.1


async def read_one_version(session: AsyncSession, version: Version[Article], other: Version[Article]) -> None:
    assert_type(version.transaction_id, int)
    assert_type(version.end_transaction_id, int | None)
    assert_type(version.operation_type, Operation)
    print(version.name.upper(), version.content)

    assert_type(await version.previous(), Version[Article] | None)
    assert_type(await version.next(), Version[Article] | None)
    assert_type(await version.index(), int)
    changeset = await version.changeset()
    assert_type(changeset["name"], Change)
    old, new = changeset["name"]
    print(old, new, changeset["name"].old)
    assert_type((await version.diff(other))["name"], Change)
    many = await changesets(session, [version, other])
    assert_type(many[version]["name"], Change)
    assert_type(await version.revert(session), Article | None)
    print(await version.awaitable_attrs.transaction)


async def read_transactions(session: AsyncSession, article: Article) -> None:
    recent = select(Transaction).where(Transaction.touched(Article)).order_by(Transaction.id.desc())
    for transaction in await session.scalars(recent):
        assert_type(transaction.id, int)
    await session.scalars(select(Transaction).where(Transaction.touched(article), Transaction.user_id == 5))
    tx = await session.get(Transaction, 33)
    if tx is not None:
        assert_type(tx.id, int)
        assert_type(tx.issued_at, datetime)
        assert_type(tx.remote_addr, str | None)
        assert_type(await tx.entity_names(), list[str])
        for versions in (await tx.changed_entities()).values():
            print(len(versions))


async def say_who(session: AsyncSession) -> None:
    with versioning_context(user=5, remote_addr="10.0.0.7", meta={"reason": "import"}):
        await session.commit()
    with versioning_disabled():
        await session.commit()
    set_context(session, user=5)
    tx = await current_transaction(session)
    tx.remote_addr = "10.0.0.7"


@versioning_context(user=5)
async def nightly(session: AsyncSession, *, limit: int) -> int:
    await session.commit()
    return limit


async def use_what_is_decorated(session: AsyncSession) -> None:
    assert_type(await nightly(session, limit=3), int)


async def use_utilities(article: Article) -> None:
    assert_type(is_versioned(Article), bool)
    assert_type(is_modified(article), bool)
    assert_type(await count_versions(article), int)


async def use_plugins(session: AsyncSession, article: Article) -> None:
    Activity = activities.activity_cls
    assert_type(Activity, type[ActivityBase])
    session.add(Activity(verb="publish", object=article, data={"via": "api"}))
    page = (await session.scalars(select(Activity).where(Activity.concerns(article)).order_by(Activity.id))).all()
    assert_type(await activities.resolve(session, page), list[Related])
    transactions = (await session.scalars(select(Transaction).where(Transaction.touched(Article)))).all()
    for versions in (await changed_entities(session, transactions)).values():
        print(len(versions))


async def current_user() -> int:
    return 5


async def say_who_later(session: AsyncSession) -> None:
    async with versioning_context(user=current_user):
        await session.commit()


Scoped = async_scoped_session[AsyncSession]


async def use_a_scoped_session(session: Scoped, article: Article, version: Version[Article]) -> None:
    assert_type(article.awaitable_versions(session), VersionQuery[Version[Article]])
    assert_type(versions_of(session, article), VersionQuery[Version[Article]])
    assert_type(versions_of(session, Article, 1), VersionQuery[Version[Article]])
    assert_type(await version.revert(session), Article | None)
    assert_type(await version.as_live(session), Article | None)
    print(await version.plan_revert(session, relations=["tags"]))
    print(await changesets(session, [version]), await changes_between(session, Article, 1, 2))
    async with as_of(session, 1) as past:
        assert_type(past, AsyncSession)
    transaction = await current_transaction(session)
    print(await changed_entities(session, [transaction]), await transaction.state(session))
    print(await backfill(session), await vacuum(session), await verify(session))
    print(is_session_modified(session), versioned_objects(session))
    activity = activities.activity_cls(verb="publish", object=article)
    print(await activity.object(session), await activities.resolve(session, [activity]))


class Plain(Base):
    __versioned__: ClassVar[Options] = {}
    __tablename__ = "plain"
    id: Mapped[int] = mapped_column(primary_key=True)


def read_without_the_mixin(session: AsyncSession, plain: Plain) -> None:
    assert_type(versions_of(session, plain), VersionQuery[Version[Plain]])
    assert_type(versions_of(plain), VersionQuery[Version[Plain]])

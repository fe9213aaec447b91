"""Versioning is switched on once, before the models or after them, for one Base or several."""

from typing import Any, ClassVar

import pytest
from sqlalchemy import Integer, String, Table, inspect, select
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, declarative_base, mapped_column, registry

from async_continuum import (
    ClassNotVersioned,
    ImproperlyConfigured,
    Operation,
    Versioned,
    VersioningManager,
    get_versioning_manager,
    is_versioned,
    make_versioned,
    remove_versioning,
    transaction_class,
    version_class,
    version_table,
    versioning_manager,
    versions_of,
)
from async_continuum.plugins import NullDeletePlugin, PropertyModTrackerPlugin
from tests.kit.databases import Databases
from tests.kit.own import Own, new_base
from tests.kit.places import Place


def test_it_gives_the_manager() -> None:
    manager = VersioningManager()
    assert make_versioned(mapper=new_base(), manager=manager, user_cls=None) is manager
    assert manager.is_active
    remove_versioning(manager=manager)
    assert not manager.is_active


def test_without_a_manager_it_uses_the_common_one() -> None:
    Base = new_base()
    try:
        assert make_versioned(mapper=Base, user_cls=None) is versioning_manager
    finally:
        remove_versioning()


async def test_models_declared_before_are_taken_too(own: Own, database: Databases) -> None:
    Base = new_base()

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    assert not is_versioned(Article)
    _, manager = own(Base)
    assert is_versioned(Article)
    sessions = await database(Base, manager)
    async with sessions.begin() as session:
        session.add(Article(name="a"))
    async with sessions() as session:
        assert [version.name for version in await versions_of(session, Article, 1)] == ["a"]


async def test_models_declared_before_and_already_configured_are_taken_too(own: Own, database: Databases) -> None:
    Base = new_base()

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    Base.registry.configure()
    _, manager = own(Base, user_cls="Account")

    class Account(Base):
        __tablename__ = "account"
        id: Mapped[int] = mapped_column(primary_key=True)

    sessions = await database(Base, manager)
    async with sessions.begin() as session:
        session.add(Article(name="a"))
    async with sessions() as session:
        (version,) = await versions_of(session, Article, 1)
        assert (await version.awaitable_attrs.transaction).user_id is None
        assert (await version.awaitable_attrs.version_parent).name == "a"


@pytest.mark.parametrize("first", ["make_versioned", "configure"])
def test_an_imperatively_mapped_class_that_declares_it_is_taken(own: Own, first: str) -> None:
    mapping = registry()

    class Base:
        __versioned__: ClassVar = {}

    class Article(Base):
        pass

    table = Table("article", mapping.metadata)
    from sqlalchemy import Column

    table.append_column(Column("id", Integer, primary_key=True))
    if first == "make_versioned":
        own(Base)
        mapping.map_imperatively(Article, table)
    else:
        mapping.map_imperatively(Article, table)
        mapping.configure()
        own(Base)
    assert version_table(Article).name == "article_version"
    assert version_table(table) is version_table(Article)


def test_twice_is_once(own: Own) -> None:
    Base, manager = own()

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    kept = version_class(Article)
    assert make_versioned(mapper=Base, manager=manager, user_cls=None) is manager
    assert version_class(Article) is kept


async def test_twice_records_once(own: Own, database: Databases) -> None:
    Base, manager = own()
    make_versioned(mapper=Base, manager=manager, user_cls=None)

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    sessions = await database(Base, manager)
    async with sessions.begin() as session:
        session.add(Article())
    async with sessions() as session:
        assert await versions_of(session, Article, 1).count() == 1


def test_twice_with_other_arguments_is_refused_and_says_what_to_do(own: Own) -> None:
    Base, manager = own()
    with pytest.raises(ImproperlyConfigured, match=r"remove_versioning\(\) first.*manager=VersioningManager\(\)"):
        make_versioned(mapper=Base, manager=manager, user_cls=None, options={"strategy": "subquery"})


def test_a_call_that_fails_leaves_nothing_switched_on(own: Own) -> None:
    Base = new_base()

    class Article(Base):
        __versioned__ = {"exclude": ["nmae"]}
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    manager = VersioningManager()
    with pytest.raises(ImproperlyConfigured):
        make_versioned(mapper=Base, manager=manager, user_cls=None)
    assert not manager.is_active
    assert set(Base.metadata.tables) == {"article"}

    Article.__versioned__ = {}
    own(Base)
    assert is_versioned(Article)


@pytest.mark.parametrize(
    ("plugins", "problem"),
    [
        ([object()], "derive it from Plugin"),
        ([NullDeletePlugin], r"give an instance, NullDeletePlugin\(\)"),
        ([a_plugin := NullDeletePlugin(), a_plugin], "given twice"),
        (NullDeletePlugin(), "is no list of plugins"),
        (NullDeletePlugin, "is no list of plugins"),
        (iter([object()]), "derive it from Plugin"),
    ],
)
def test_what_is_no_plugin_is_refused(plugins: Any, problem: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=problem) as caught:
        make_versioned(manager=VersioningManager(), plugins=plugins)
    assert caught.value.option == "plugins"


def test_plugins_are_kept_whatever_they_are_given_in(own: Own) -> None:
    Base, _ = own(plugins=iter([PropertyModTrackerPlugin()]))

    class Article(Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    assert "name_mod" in version_class(Article).__table__.c


@pytest.mark.parametrize(("argument", "value"), [("manager", 5), ("user_cls", 5), ("user_cls", object())])
def test_what_can_be_no_manager_and_no_user_is_refused(argument: str, value: object) -> None:
    given: dict[str, Any] = {"manager": VersioningManager(), argument: value}
    with pytest.raises(ImproperlyConfigured, match=f"{argument}=") as caught:
        make_versioned(**given)
    assert caught.value.option == argument


@pytest.mark.parametrize("kind", ["mixin", "attribute", "both", "inherited"])
async def test_the_mixin_and_the_attribute_are_each_enough(own: Own, database: Databases, kind: str) -> None:
    Base, manager = own()
    if kind == "mixin":

        class Article(Versioned, Base):
            __tablename__ = "article"
            id: Mapped[int] = mapped_column(primary_key=True)

    elif kind == "attribute":

        class Article(Base):
            __versioned__ = {}
            __tablename__ = "article"
            id: Mapped[int] = mapped_column(primary_key=True)

    elif kind == "both":

        class Article(Versioned, Base):
            __versioned__ = {}
            __tablename__ = "article"
            id: Mapped[int] = mapped_column(primary_key=True)

    else:

        class Kept:
            __versioned__: ClassVar = {}

        class Article(Kept, Base):
            __tablename__ = "article"
            id: Mapped[int] = mapped_column(primary_key=True)

    sessions = await database(Base, manager)
    async with sessions() as session:
        article = Article()
        session.add(article)
        await session.commit()
        await session.refresh(article)
        (version,) = await article.awaitable_versions()
        assert version.operation_type is Operation.INSERT


def test_a_class_that_says_none_keeps_no_history(own: Own) -> None:
    Base, _ = own()

    class Kept:
        __versioned__ = {}

    class Article(Kept, Base):
        __versioned__ = None
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    assert not is_versioned(Article)


def test_a_class_without_a_declaration_keeps_no_history(own: Own) -> None:
    Base, _ = own()

    class Article(Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    assert not is_versioned(Article)
    with pytest.raises(ClassNotVersioned) as caught:
        version_class(Article)
    assert caught.value.model is Article
    assert set(Base.metadata.tables) == {"article"}


async def test_create_all_sees_every_version_table_without_configure_mappers(own: Own, engine: AsyncEngine) -> None:
    Base, _ = own(user_cls="Account")

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Tag(Base):
        __versioned__ = {}
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Account(Base):
        __tablename__ = "account"
        id: Mapped[int] = mapped_column(primary_key=True)

    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        columns = await connection.run_sync(lambda sync: inspect(sync).get_columns("transaction"))
    assert set(tables) - {"sqlite_sequence"} == {
        "account",
        "article",
        "article_version",
        "tag",
        "tag_version",
        "transaction",
    }
    assert {column["name"] for column in columns} == {"id", "issued_at", "remote_addr", "user_id"}


@pytest.mark.parametrize("configured", [False, True])
async def test_a_column_added_to_a_class_later_is_kept_too(own: Own, database: Databases, configured: bool) -> None:
    Base, manager = own()

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    if configured:
        Base.registry.configure()
    Article.name = mapped_column(String(50))
    sessions = await database(Base, manager)
    assert "name" in version_table(Article).c
    async with sessions() as session:
        article = Article(name="a")
        session.add(article)
        await session.commit()
        article.name = "b"
        await session.commit()
        ArticleVersion = version_class(Article)
        names = await session.scalars(select(ArticleVersion.name).order_by(ArticleVersion.transaction_id))
        assert names.all() == ["a", "b"]


@pytest.mark.parametrize("dml", ["insert", "update", "delete"])
@pytest.mark.unaccounted
async def test_a_flush_of_a_versioned_class_that_no_manager_covers_fails(database: Databases, dml: str) -> None:
    Base = new_base()

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None]

    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(Article.__table__.insert(), {"id": 1})
    async with AsyncSession(database.engine) as session:
        if dml == "insert":
            session.add(Article(id=2))
        elif dml == "update":
            (await session.get_one(Article, 1)).name = "b"
        else:
            await session.delete(await session.get_one(Article, 1))
        with pytest.raises(ImproperlyConfigured, match=r"no manager keeps its history.*make_versioned\(\)") as caught:
            await session.flush()
        assert caught.value.model is Article


async def test_a_class_that_switches_its_versioning_off_is_flushed(own: Own, database: Databases) -> None:
    Base, manager = own()

    class Article(Versioned, Base):
        __versioned__ = {"versioning": False}
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    assert not is_versioned(Article)
    assert set(Base.metadata.tables) == {"article"}
    sessions = await database(Base, manager)
    async with sessions.begin() as session:
        session.add(Article())


async def test_several_managers_keep_their_histories_apart(own: Own, database: Databases) -> None:
    One, first = own(options={"transaction_table_name": "one_transaction"})
    Two, second = own(options={"transaction_table_name": "two_transaction", "strategy": "subquery"})

    class Article(Versioned, One):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Tag(Versioned, Two):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    assert get_versioning_manager(Article) is first
    assert get_versioning_manager(Tag()) is second
    assert first.models == (Article,)
    assert second.models == (Tag,)
    sessions = await database(One, first)
    await database(Two, second)
    async with sessions.begin() as session:
        session.add_all([Article(), Tag()])
    async with sessions.begin() as session:
        session.add(Tag())
    async with sessions() as session:
        assert len((await session.scalars(select(transaction_class(Article)))).all()) == 1
        assert len((await session.scalars(select(transaction_class(Tag)))).all()) == 2


async def test_one_manager_over_several_bases_has_a_transaction_class_for_each_registry(
    own: Own, place: Place, database: Databases
) -> None:
    class Root(AsyncAttrs):
        pass

    class One(Root, DeclarativeBase):
        pass

    class Two(Root, DeclarativeBase):
        pass

    _, manager = own(Root)

    class Article(Versioned, One):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Comment(Versioned, One):
        __tablename__ = "comment"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Tag(Versioned, Two):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    assert transaction_class(Article) is transaction_class(Comment)
    assert transaction_class(Article) is not transaction_class(Tag)
    assert set(manager.transaction_classes) == {transaction_class(Article), transaction_class(Tag)}
    assert set(One.metadata.tables) == {"article", "article_version", "comment", "comment_version", "transaction"}
    assert set(Two.metadata.tables) == {"tag", "tag_version", "transaction"}


async def test_two_registries_on_two_databases_are_each_recorded_in_their_own(
    own: Own, backend: str, place: Place, places
) -> None:
    class Root(AsyncAttrs):
        pass

    class One(Root, DeclarativeBase):
        pass

    class Two(Root, DeclarativeBase):
        pass

    own(Root)

    class Article(Versioned, One):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Tag(Versioned, Two):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    async with places.fresh(backend) as other:
        first, second = place.engine(), other.engine()
        for engine, base in ((first, One), (second, Two)):
            async with engine.begin() as connection:
                await connection.run_sync(base.metadata.create_all)
        async with AsyncSession(binds={One: first, Two: second}) as session:
            session.add_all([Article(), Tag()])
            await session.commit()
            session.add(Tag())
            await session.commit()
        for engine, model, expected in ((first, Article, 1), (second, Tag, 2)):
            async with AsyncSession(engine) as session:
                assert len((await session.scalars(select(version_class(model)))).all()) == expected
                assert len((await session.scalars(select(transaction_class(model)))).all()) == expected


def test_a_base_made_by_the_function_and_a_mapper_class_are_scopes_too(own: Own) -> None:
    class OwnMapper(Mapper):
        pass

    _, manager = own(OwnMapper)
    Base = declarative_base(mapper=OwnMapper)
    Other = declarative_base()

    class Article(Base):
        __versioned__ = {}
        __tablename__ = "article"
        id = mapped_column(Integer, primary_key=True)

    class Outside(Other):
        __versioned__ = {}
        __tablename__ = "outside"
        id = mapped_column(Integer, primary_key=True)

    assert manager.models == (Article,)
    assert not is_versioned(Outside)


def test_a_mapped_class_is_a_scope_of_itself(own: Own) -> None:
    Base = new_base()

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    own(Article)
    assert is_versioned(Article)
    assert not is_versioned(Tag)


@pytest.mark.parametrize("mapper", ["Base", 3, DeclarativeBase, None])
def test_what_is_no_scope_of_mappers_is_refused(mapper: object) -> None:
    manager = VersioningManager()
    with pytest.raises(ImproperlyConfigured, match="mapper=") as caught:
        make_versioned(mapper=mapper, manager=manager)
    assert caught.value.option == "mapper"
    assert not manager.is_active

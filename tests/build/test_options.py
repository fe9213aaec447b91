"""Each option does what it says, for all classes or for one."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Column, Integer, String, Table, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, configure_mappers, mapped_column

from async_continuum import (
    ImproperlyConfigured,
    Operation,
    Versioned,
    VersioningManager,
    alive_at,
    changesets,
    deleted,
    end_tx_column_name,
    is_versioned,
    transaction_class,
    tx_column_name,
    vacuum,
    verify,
    version_class,
    version_table,
    versions_of,
)
from tests.kit.databases import Databases
from tests.kit.own import Own

Declared = tuple[type[DeclarativeBase], type, VersioningManager]
Declare = Callable[..., Declared]


@pytest.fixture(params=["for all", "for one"])
def declare(own: Own, request: pytest.FixtureRequest) -> Declare:
    """Declare an Article with options that are given globally, or on the class."""

    def declared(**options: Any) -> Declared:
        Base, manager = own(options=options if request.param == "for all" else {})
        body = {
            "__module__": __name__,
            "__tablename__": "article",
            "id": mapped_column(Integer, primary_key=True),
            "name": mapped_column(String(50)),
            "secret": mapped_column("hidden", String(50)),
        }
        if request.param == "for one":
            body["__versioned__"] = options
        return Base, type("Article", (Versioned, Base), body), manager

    return declared


async def _lives(database: Databases, Base: type, Article: Any, manager: VersioningManager) -> None:
    """An article is born, changes and goes; its history says so by every way of asking."""
    sessions = await database(Base, manager)
    async with sessions() as session:
        article = Article(name="a")
        session.add(article)
        await session.commit()
        article.name = "b"
        await session.commit()
        await session.delete(article)
        await session.commit()
        versions = await versions_of(session, Article, 1)
        begins, ends = tx_column_name(Article), end_tx_column_name(Article)
        ArticleVersion = version_class(Article)
        operation = next(p.key for p in inspect(ArticleVersion).attrs if "oper" in p.key or p.key == "op")
        assert [getattr(version, operation) for version in versions] == [*Operation]
        assert [getattr(version, begins) for version in versions] == [1, 2, 3]
        assert [getattr(version, ends) for version in versions] == [2, 3, None]
        assert [await version.index() for version in versions] == [0, 1, 2]
        assert await versions[0].next() is versions[1]
        assert await versions[2].previous() is versions[1]
        changes = await changesets(session, versions)
        assert {"id", "name"} <= changes[versions[0]].keys()
        assert changes[versions[1]] == {"name": ("a", "b")}
        assert await versions[1].changeset() == {"name": ("a", "b")}
        assert (await versions_of(session, Article, 1).at(2)) is versions[1]
        alive = await session.scalars(select(ArticleVersion).where(alive_at(ArticleVersion, 1)))
        assert alive.all() == [versions[0]]
        assert (await session.scalars(deleted(Article))).all() == [versions[2]]
        assert (await versions[1].awaitable_attrs.transaction).id == 2
        Transaction = transaction_class(Article)
        touched = await session.scalars(select(Transaction.id).where(Transaction.touched(Article)))
        assert sorted(touched) == [1, 2, 3]
        assert (await verify(session, Article)) == []
        assert await vacuum(session, Article) == 0
        await versions[1].revert(session)
        await session.commit()
        assert (await versions_of(session, Article, 1).last()).name == "b"


RENAMED = {
    "transaction_column_name": "began",
    "end_transaction_column_name": "ended",
    "operation_type_column_name": "op",
}
LIVING: list[dict[str, Any]] = [
    {},
    {"strategy": "subquery"},
    {"table_name": "%s_history"},
    {"table_name": "History of %s"},
    {"exclude": ["secret"]},
    {"exclude": ("hidden",)},
    {"exclude": {"secret"}, "include": ["secret"]},
    {"transaction_column_name": "began"},
    {"end_transaction_column_name": "ended"},
    {"operation_type_column_name": "op"},
    RENAMED,
    {**RENAMED, "strategy": "subquery", "table_name": "%s_h", "exclude": ["secret"]},
    {**RENAMED, "transaction_column_name": "Tx Id", "operation_type_column_name": "oper-ation"},
    {"use_module_name": True},
    {"base_classes": ()},
    {"base_classes": None, "schema": None},
    {"unrecorded": "warn", "native_versioning": False, "append_only": False, "record_if": None},
]


@pytest.mark.parametrize("options", LIVING, ids=repr)
async def test_history_lives_under_every_option(declare: Declare, database: Databases, options: dict[str, Any]) -> None:
    await _lives(database, *declare(**options))


def test_a_class_wins_over_the_default(own: Own) -> None:
    Base, _ = own(options={"table_name": "%s_all", "strategy": "subquery", "exclude": ["name"]})

    class Article(Versioned, Base):
        __versioned__ = {"table_name": "%s_one", "strategy": "validity", "exclude": []}
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    assert version_table(Article).name == "article_one"
    assert {"end_transaction_id", "name"} <= set(version_table(Article).c.keys())
    assert version_table(Tag).name == "tag_all"
    assert {"end_transaction_id", "name"}.isdisjoint(version_table(Tag).c.keys())


@pytest.mark.parametrize("name", ["secret", "hidden"])
def test_what_is_excluded_is_neither_in_the_table_nor_on_the_class(declare: Declare, name: str) -> None:
    _, Article, _ = declare(exclude=[name])
    assert "hidden" not in version_table(Article).c
    assert not hasattr(version_class(Article), "secret")
    assert hasattr(version_class(Article), "name")


def test_include_overrides_a_global_exclude(own: Own) -> None:
    Base, _ = own(options={"exclude": ["name", "content"]})

    class Article(Versioned, Base):
        __versioned__ = {"include": ["content"]}
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        content: Mapped[str]

    assert "content" in version_table(Article).c
    assert "name" not in version_table(Article).c


@pytest.mark.unaccounted
def test_versioning_off_keeps_nothing(declare: Declare) -> None:
    Base, Article, manager = declare(versioning=False)
    assert not is_versioned(Article)
    assert set(Base.metadata.tables) == {"article"}
    assert manager.models == ()


def test_versioning_off_for_all_and_on_for_one(own: Own) -> None:
    Base, manager = own(options={"versioning": False})

    class Article(Versioned, Base):
        __versioned__ = {"versioning": True}
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    assert manager.models == (Article,)


async def test_a_class_that_is_switched_off_for_all_can_be_flushed(own: Own, database: Databases) -> None:
    Base, manager = own(options={"versioning": False})

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    sessions = await database(Base, manager)
    async with sessions.begin() as session:
        session.add(Tag())


def test_the_class_is_named_after_its_module(declare: Declare) -> None:
    _, Article, _ = declare(use_module_name=True)
    assert version_class(Article).__name__ == "TestsBuildTest_OptionsArticleVersion"


class Signed:
    """What a user wants on every version."""

    def signature(self) -> str:
        return f"{self.name}!"  # type: ignore[attr-defined]


async def test_versions_derive_from_base_classes(declare: Declare, database: Databases) -> None:
    Base, Article, manager = declare(base_classes=(Signed,))
    sessions = await database(Base, manager)
    async with sessions.begin() as session:
        session.add(Article(name="a"))
    async with sessions() as session:
        (version,) = await versions_of(session, Article, 1)
        assert isinstance(version, Signed)
        assert version.signature() == "a!"


async def test_without_create_tables_the_table_is_the_users_to_create(declare: Declare, engine: AsyncEngine) -> None:
    Base, Article, _ = declare(create_tables=False)
    assert set(Base.metadata.tables) == {"article", "transaction"}
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        assert not await connection.run_sync(lambda sync: inspect(sync).has_table("article_version"))
        await connection.run_sync(version_table(Article).create)
    async with AsyncSession(engine) as session:
        session.add(Article(name="a"))
        await session.commit()
        assert await versions_of(session, Article, 1).count() == 1


async def test_without_create_tables_and_table_the_flush_fails(declare: Declare, engine: AsyncEngine) -> None:
    Base, Article, _ = declare(create_tables=False)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        session.add(Article(name="a"))
        with pytest.raises(DBAPIError, match="article_version"):
            await session.flush()


async def test_without_create_models_the_table_is_written_all_the_same(declare: Declare, database: Databases) -> None:
    Base, Article, manager = declare(create_models=False)
    sessions = await database(Base, manager)
    async with sessions() as session:
        article = Article(name="a")
        session.add(article)
        await session.commit()
        article.name = "b"
        await session.commit()
        versions = version_table(Article)
        names = await session.scalars(select(versions.c.name).order_by(versions.c.transaction_id))
        assert names.all() == ["a", "b"]
        transaction = (await session.scalars(select(transaction_class(Article)))).first()
        assert await transaction.entity_names() == ["Article"]
        assert await transaction.changed_entities() == {}
        for ask in (
            lambda: version_class(Article),
            lambda: article.awaitable_versions(),
            lambda: versions_of(session, Article, 1),
            lambda: deleted(Article),
        ):
            with pytest.raises(ImproperlyConfigured, match=r"create_models=False.*version_table\(\)") as caught:
                ask()
            assert caught.value.option == "create_models"
        assert await verify(session, Article) == []


async def test_the_transaction_table_takes_another_name(own: Own, database: Databases) -> None:
    Base, manager = own(options={"transaction_table_name": "change"})

    class Transaction(Versioned, Base):
        __tablename__ = "transaction"
        id: Mapped[int] = mapped_column(primary_key=True)
        amount: Mapped[int]

    class Account(Versioned, Base):
        __tablename__ = "account"
        id: Mapped[int] = mapped_column(primary_key=True)

    configure_mappers()
    assert set(Base.metadata.tables) == {
        "transaction",
        "transaction_version",
        "account",
        "account_version",
        "change",
    }
    sessions = await database(Base, manager)
    async with sessions() as session:
        transaction = Transaction(amount=3)
        session.add_all([transaction, Account()])
        await session.commit()
        await session.refresh(transaction)
        (version,) = await transaction.awaitable_versions()
        assert version.amount == 3
        signed = await version.awaitable_attrs.transaction
        assert isinstance(signed, transaction_class(Transaction))
        assert not isinstance(signed, Transaction)
        assert await signed.entity_names() == ["Account", "Transaction"]


def test_a_relationship_to_the_users_own_transaction_finds_it(own: Own) -> None:
    from sqlalchemy import ForeignKey
    from sqlalchemy.orm import relationship

    Base, _ = own(options={"transaction_table_name": "change"})

    class Account(Versioned, Base):
        __tablename__ = "account"
        id: Mapped[int] = mapped_column(primary_key=True)
        last_id: Mapped[int | None] = mapped_column(ForeignKey("transaction.id"))
        last = relationship("Transaction")

    class Transaction(Base):
        __tablename__ = "transaction"
        id: Mapped[int] = mapped_column(primary_key=True)

    configure_mappers()
    assert inspect(Account).relationships["last"].mapper.class_ is Transaction


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize("strategy", ["validity", "subquery"])
async def test_history_lives_in_a_schema_of_its_own(own: Own, database: Databases, strategy: str) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA past"))
    Base, manager = own(options={"schema": "past", "strategy": strategy})

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        secret: Mapped[str | None]

    assert set(Base.metadata.tables) == {"article", "past.article_version", "past.transaction"}
    await _lives(database, Base, Article, manager)
    async with database.engine.connect() as connection:
        public = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        sequences = await connection.run_sync(lambda sync: inspect(sync).get_sequence_names("past"))
    assert public == ["article"]
    assert sequences == ["transaction_id_seq"]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_history_lives_in_the_schema_of_its_table(own: Own, database: Databases) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA app"))
    Base, manager = own()

    class Article(Versioned, Base):
        __tablename__ = "article"
        __table_args__ = {"schema": "app"}
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        secret: Mapped[str | None]

    assert set(Base.metadata.tables) == {"app.article", "app.article_version", "transaction"}
    await _lives(database, Base, Article, manager)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_history_lives_in_the_schema_of_the_metadata(own: Own, database: Databases) -> None:
    from sqlalchemy import MetaData

    from tests.kit.own import new_base

    async with database.engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA app"))
    Base, manager = own(new_base(MetaData(schema="app")))

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        secret: Mapped[str | None]

    assert set(Base.metadata.tables) == {"app.article", "app.article_version", "app.transaction"}
    await _lives(database, Base, Article, manager)


def test_a_naming_convention_of_the_users_own_is_no_hindrance(own: Own) -> None:
    from sqlalchemy import MetaData

    from tests.kit.own import new_base

    convention = {"ix": "ix_%(column_0_label)s", "pk": "pk_%(table_name)s", "uq": "uq_%(table_name)s_%(column_0_name)s"}
    Base, _ = own(new_base(MetaData(naming_convention=convention)))

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    assert version_table(Article).primary_key.name == "pk_article_version"


def test_a_table_given_ready_made_is_versioned(own: Own) -> None:
    Base, _ = own()

    class Article(Versioned, Base):
        __table__ = Table("article", Base.metadata, Column("id", Integer, primary_key=True))

    assert version_table(Article.__table__).name == "article_version"
    assert "ArticleVersion" not in vars(sys.modules[__name__])

"""A version table has the columns of its table without their rules, and says when each row held."""

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    func,
    inspect,
    text,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Mapped, configure_mappers, mapped_column
from sqlalchemy.schema import CreateTable

from async_continuum import ImproperlyConfigured, OperationType, UtcDateTime, Versioned, version_table, versions_of
from async_continuum.build.names import fit
from tests.kit.databases import Databases
from tests.kit.own import Own


def _ruled(Base: type) -> type:
    class Author(Base):
        __tablename__ = "author"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Article(Versioned, Base):
        __tablename__ = "article"
        __table_args__ = (
            UniqueConstraint("name", "slug"),
            CheckConstraint("length(title) > 0"),
            Index("ix_article_slug", "slug"),
        )
        id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
        name: Mapped[str] = mapped_column("title", String(50), key="name", unique=True, index=True, comment="its name")
        slug: Mapped[str] = mapped_column(String(50), default="x", onupdate="y", server_default="z")
        doubled: Mapped[int] = mapped_column(Computed("id * 2", persisted=True))
        touched: Mapped[str] = mapped_column(DateTime, server_default=func.now(), server_onupdate=func.now())
        author_id: Mapped[int] = mapped_column(ForeignKey("author.id", ondelete="CASCADE"))
        flag: Mapped[bool] = mapped_column(Boolean(create_constraint=True, name="a_flag"))
        kind: Mapped[str] = mapped_column(Enum("a", "b", native_enum=False, create_constraint=True, name="a_kind"))

    return Article


def test_its_columns_come_in_the_same_order_with_ours_at_the_end(own: Own) -> None:
    Base, _ = own()
    Article = _ruled(Base)
    table, versions = Article.__table__, version_table(Article)
    assert versions.name == "article_version"
    assert versions.metadata is Base.metadata
    assert [*versions.c.keys()] == [
        *table.c.keys(),
        "transaction_id",
        "end_transaction_id",
        "operation_type",
    ]


def test_a_column_keeps_name_key_type_and_comment(own: Own) -> None:
    Base, _ = own()
    Article = _ruled(Base)
    for key, column in Article.__table__.c.items():
        kept = version_table(Article).c[key]
        assert (kept.name, kept.key, kept.comment) == (column.name, column.key, column.comment)
        for dialect in (postgresql.dialect(), sqlite.dialect(), mysql.dialect()):
            assert kept.type.compile(dialect) == column.type.compile(dialect)


def test_a_column_drops_its_rules(own: Own) -> None:
    Base, _ = own()
    Article = _ruled(Base)
    versions = version_table(Article)
    for key in Article.__table__.c.keys():  # noqa: SIM118
        kept = versions.c[key]
        assert not kept.foreign_keys
        assert not kept.unique
        assert not kept.index
        assert kept.default is kept.onupdate is kept.server_default is kept.server_onupdate is None
        assert kept.computed is kept.identity is None
        assert kept.nullable is (key != "id")
    assert not [rule for rule in versions.constraints if not rule.__class__.__name__.startswith("PrimaryKey")]


@pytest.mark.parametrize("dialect", [postgresql.dialect(), sqlite.dialect()], ids=["postgresql", "sqlite"])
def test_its_ddl_holds_no_rule(own: Own, dialect: object) -> None:
    Base, _ = own()
    ddl = str(CreateTable(version_table(_ruled(Base))).compile(dialect=dialect))
    for word in ("UNIQUE", "CHECK", "REFERENCES", "DEFAULT", "GENERATED", "IDENTITY", "SERIAL", "AUTOINCREMENT"):
        assert word not in ddl.upper()


def test_its_key_is_the_models_key_and_the_transaction(own: Own) -> None:
    Base, _ = own()

    class Seat(Versioned, Base):
        __tablename__ = "seat"
        guest: Mapped[str | None]
        hall: Mapped[str] = mapped_column("hall name", primary_key=True)
        number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)

    key = version_table(Seat).primary_key
    assert [column.name for column in key] == ["hall name", "number", "transaction_id"]
    assert not any(column.nullable for column in key)
    assert key.columns["number"].autoincrement is False


def test_our_columns_have_continuums_types(own: Own) -> None:
    Base, _ = own()
    versions = version_table(_ruled(Base))
    assert isinstance(versions.c.transaction_id.type, BigInteger)
    assert isinstance(versions.c.end_transaction_id.type, BigInteger)
    assert versions.c.end_transaction_id.nullable
    assert isinstance(versions.c.operation_type.type, OperationType)
    assert isinstance(versions.c.operation_type.type.impl, SmallInteger)
    assert not versions.c.operation_type.nullable


async def test_the_database_has_it_as_it_was_built(own: Own, database: Databases) -> None:
    Base, manager = own()
    _ruled(Base)
    await database(Base, manager)
    async with database.engine.connect() as connection:
        key, columns, unique, checks, keys = await connection.run_sync(
            lambda sync: (
                inspect(sync).get_pk_constraint("article_version"),
                inspect(sync).get_columns("article_version"),
                inspect(sync).get_unique_constraints("article_version"),
                inspect(sync).get_check_constraints("article_version"),
                inspect(sync).get_foreign_keys("article_version"),
            )
        )
    assert key["constrained_columns"] == ["id", "transaction_id"]
    assert unique == checks == keys == []
    # "title" is stored under the name of its column; its key is Python's.
    assert {column["name"]: column["nullable"] for column in columns} == {
        **dict.fromkeys(["title", "slug", "doubled", "touched", "author_id", "flag", "kind"], True),
        "id": False,
        "transaction_id": False,
        "end_transaction_id": True,
        "operation_type": False,
    }
    assert not any(column.get("default") or column.get("identity") or column.get("computed") for column in columns)


async def test_its_indexes_serve_the_open_rows_and_the_transactions(own: Own, database: Databases) -> None:
    Base, manager = own()
    _ruled(Base)
    await database(Base, manager)
    async with database.engine.connect() as connection:
        indexes = await connection.run_sync(lambda sync: inspect(sync).get_indexes("article_version"))
    assert {tuple(index["column_names"]) for index in indexes} == {("id",), ("transaction_id",)}


async def test_the_transaction_table_has_continuums_columns(own: Own, database: Databases, backend: str) -> None:
    Base, manager = own(user_cls="Account")

    class Account(Base):
        __tablename__ = "account"
        id: Mapped[int] = mapped_column(primary_key=True)

    Article = _ruled(Base)
    await database(Base, manager)
    transaction = Base.metadata.tables["transaction"]
    assert transaction.c.keys() == ["id", "issued_at", "remote_addr", "user_id"]
    assert isinstance(transaction.c.id.type, BigInteger)
    assert isinstance(transaction.c.issued_at.type, UtcDateTime)
    assert isinstance(transaction.c.issued_at.type.impl, DateTime)
    assert not transaction.c.issued_at.type.impl.timezone
    assert transaction.c.remote_addr.type.length == 50
    assert isinstance(transaction.c.user_id.type, Integer)
    assert not transaction.foreign_keys
    async with database.engine.connect() as connection:
        foreign = await connection.run_sync(lambda sync: inspect(sync).get_foreign_keys("transaction"))
        assert foreign == []
        if backend == "postgresql":
            names = await connection.scalars(text("SELECT relname FROM pg_class WHERE relkind = 'S'"))
            assert "transaction_id_seq" in names.all()
    assert Article is not None


@pytest.mark.unaccounted
async def test_an_id_that_was_committed_is_never_handed_out_again(own: Own, database: Databases) -> None:
    Base, manager = own()

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    sessions = await database(Base, manager)
    async with sessions.begin() as session:
        session.add(Tag(id=1))
    async with database.engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            await connection.execute(table.delete())
    async with sessions.begin() as session:
        session.add(Tag(id=2))
    async with sessions() as session:
        (version,) = await versions_of(session, Tag, 2)
        assert version.transaction_id == 2


LIMIT = 63


@pytest.mark.parametrize("length", [*range(40, 60, 3), 55, 56, 62, 63])
async def test_names_at_the_identifier_limit_are_fitted(own: Own, database: Databases, length: int) -> None:
    Base, manager = own()
    name = ("a_long_name_" * 6)[:length]

    def declare(called: str, table: str) -> type:
        key = mapped_column(Integer, primary_key=True)
        return type(called, (Versioned, Base), {"__module__": __name__, "__tablename__": table, "id": key})

    Long = declare("Long", name)
    # One that differs in its last letter only is kept apart.
    Longer = declare("Longer", name[:-1] + "X")
    sessions = await database(Base, manager)
    names = [version_table(Long).name, version_table(Longer).name]
    assert len(set(names)) == 2
    indexes = [index.name for model in (Long, Longer) for index in version_table(model).indexes]
    assert len(set(indexes)) == len(indexes)
    assert all(len(str(known)) <= LIMIT for known in (*names, *indexes))
    async with sessions.begin() as session:
        session.add_all([Long(id=1), Longer(id=1)])
    async with sessions() as session:
        assert await versions_of(session, Long, 1).count() == 1


def test_a_name_is_fitted_the_same_way_in_every_process() -> None:
    assert fit("short") == "short"
    assert fit("x" * 63) == "x" * 63
    assert fit("x" * 64) == "x" * 54 + "_" + fit("x" * 64)[-8:]
    assert fit("ü" * 40) == fit("ü" * 40)
    assert len(fit("ü" * 40).encode()) <= LIMIT


@pytest.mark.parametrize("asked", ["by the metadata", "by configuring", "by creating"])
async def test_a_column_gets_the_type_of_what_it_refers_to_when_that_is_declared_later(
    own: Own, database: Databases, asked: str
) -> None:
    Base, manager = own()

    class Page(Versioned, Base):
        __tablename__ = "page"
        id: Mapped[int] = mapped_column(primary_key=True)
        book_code: Mapped[str | None] = mapped_column(ForeignKey("book.code"))

    if asked == "by the metadata":

        class Book(Versioned, Base):
            __tablename__ = "book"
            code: Mapped[str] = mapped_column(String(7), primary_key=True)

    else:
        Table("book", Base.metadata, Column("code", String(7), primary_key=True))
    if asked == "by configuring":
        configure_mappers()
    elif asked == "by creating":
        await database(Base, manager)
    assert version_table(Page).c.book_code.type.length == 7


def test_a_column_added_later_that_is_called_like_ours_is_refused(own: Own) -> None:
    Base, _ = own()

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    with pytest.raises(ImproperlyConfigured, match="operation_type_column_name"):
        Article.operation_type = mapped_column(Integer)
        configure_mappers()


async def test_a_column_added_to_the_table_alone_is_kept_too(own: Own, engine: AsyncEngine) -> None:
    Base, _ = own()

    class Article(Versioned, Base):
        __table__ = Table("article", Base.metadata, Column("id", Integer, primary_key=True), Column("name", String(9)))

    assert version_table(Article).c.keys()[:2] == ["id", "name"]

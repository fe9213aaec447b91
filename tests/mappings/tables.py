"""Tables: names, schemas, constraints, partitions."""

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    UniqueConstraint,
)
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from async_continuum import Versioned
from tests.mappings.entry import mapping

NEW, CHANGE = {"id": 1, "name": "a"}, {"name": "b"}
SCHEMAS = {"backends": ("postgresql",), "reason": "SQLite has no schemas but attached databases"}


def named(base, table, **extra):
    """Declare a plain class of a table."""
    return type(
        "Thing",
        (Versioned, base),
        {
            "__module__": __name__,
            "__tablename__": table,
            "id": mapped_column(Integer, primary_key=True),
            "name": mapped_column(String(20)),
            **extra,
        },
    )


@mapping("a composite key", new={"id": 1, "part": "x", "name": "a"}, change=CHANGE, key=("x", 1))
def _(base):
    class Thing(Versioned, base):
        __tablename__ = "thing"
        part: Mapped[str] = mapped_column(String(5), primary_key=True)
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        name: Mapped[str]

    return Thing


@mapping("a table name at the identifier limit", new=NEW, change=CHANGE)
def _(base):
    return named(base, "t" * 63)


@mapping("a table name of 58 bytes that are not ASCII", new=NEW, change=CHANGE)
def _(base):
    return named(base, "ä" * 29)


def with_conventions():
    class Base(AsyncAttrs, DeclarativeBase):
        metadata = MetaData(
            naming_convention={
                "ix": "ix_%(column_0_label)s",
                "uq": "uq_%(table_name)s_%(column_0_name)s",
                "ck": "ck_%(table_name)s_%(constraint_name)s",
                "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
                "pk": "pk_%(table_name)s",
            }
        )

    return Base


@mapping("naming conventions", new=NEW, change=CHANGE, base=with_conventions)
def _(base):
    class Thing(Versioned, base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(unique=True, index=True)
        other_id: Mapped[int | None] = mapped_column(ForeignKey("thing.id"))
        __table_args__ = (CheckConstraint("id > 0", name="positive"),)

    return Thing


def with_schema():
    class Base(AsyncAttrs, DeclarativeBase):
        metadata = MetaData(schema="shop")

    return Base


@mapping("a schema on the MetaData", new=NEW, change=CHANGE, base=with_schema, **SCHEMAS)
def _(base):
    return named(base, "thing")


@mapping("a schema on the table", new=NEW, change=CHANGE, **SCHEMAS)
def _(base):
    return named(base, "thing", __table_args__={"schema": "shop"})


@mapping("schema_translate_map", new=NEW, change=CHANGE, base=with_schema, translate={"shop": None})
def _(base):
    return named(base, "thing")


@mapping("the same table name in two schemas", new=NEW, change=CHANGE, **SCHEMAS)
def _(base):
    class Here(Versioned, base):
        __tablename__ = "thing"
        __table_args__ = {"schema": "here"}
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    class There(Versioned, base):
        __tablename__ = "thing"
        __table_args__ = {"schema": "there"}
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        here_id: Mapped[int | None] = mapped_column(ForeignKey("here.thing.id"))
        here: Mapped[Here | None] = relationship()

    return There


@mapping("a hierarchy over two schemas", new={"id": 1, "name": "a", "lives": 9}, change={"lives": 8}, **SCHEMAS)
def _(base):
    class Animal(Versioned, base):
        __tablename__ = "animal"
        __table_args__ = {"schema": "here"}
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Cat(Animal):
        __tablename__ = "cat"
        __table_args__ = {"schema": "there"}
        id: Mapped[int] = mapped_column(ForeignKey("here.animal.id"), primary_key=True)
        lives: Mapped[int]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    return Cat


@mapping("indexes and constraints", new=NEW, change=CHANGE)
def _(base):
    class Thing(Versioned, base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20), unique=True)
        left: Mapped[int | None]
        right: Mapped[int | None]
        __table_args__ = (
            UniqueConstraint("left", "right"),
            Index("ix_thing_left_right", "left", "right"),
            CheckConstraint("id > 0", name="positive"),
            ForeignKeyConstraint(["left"], ["thing.id"], ondelete="SET NULL"),
            {"comment": "things"},
        )

    return Thing


@mapping("storage options", new=NEW, change=CHANGE)
def _(base):
    class Thing(Versioned, base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        __table_args__ = {
            "postgresql_using": "heap",
        }

    return Thing


@mapping("sqlite_autoincrement and WITHOUT ROWID", new=NEW, change=CHANGE)
def _(base):
    class Other(Versioned, base):
        __tablename__ = "other"
        __table_args__ = {"sqlite_autoincrement": True}
        id: Mapped[int] = mapped_column(primary_key=True)

    class Thing(Versioned, base):
        __tablename__ = "thing"
        __table_args__ = {"sqlite_with_rowid": False}
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    return Thing


@mapping(
    "a partitioned table",
    new={"id": 1, "region": "eu", "name": "a"},
    change={"name": "b"},
    key=(1, "eu"),
    backends=("postgresql",),
    reason="SQLite has no partitions",
)
def _(base):
    from sqlalchemy import DDL, event

    class Thing(Versioned, base):
        __tablename__ = "thing"
        __table_args__ = {"postgresql_partition_by": "LIST (region)"}
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        region: Mapped[str] = mapped_column(String(5), primary_key=True)
        name: Mapped[str]

    create = DDL("CREATE TABLE thing_eu PARTITION OF thing FOR VALUES IN ('eu')")
    event.listen(Thing.__table__, "after_create", create)
    return Thing

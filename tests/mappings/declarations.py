"""Styles of declaration: every way in which SQLAlchemy lets a class be mapped."""

from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, create_engine, func, text
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    DeclarativeBaseNoMeta,
    Mapped,
    MappedAsDataclass,
    column_property,
    composite,
    declarative_base,
    declared_attr,
    deferred,
    mapped_column,
    query_expression,
    registry,
    relationship,
    synonym,
    validates,
)

from async_continuum import Versioned
from tests.mappings.entry import mapping

NEW, CHANGE = {"id": 1, "name": "a"}, {"name": "b"}


@mapping("DeclarativeBase", new=NEW, change=CHANGE)
def _(base):
    class Article(Versioned, base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    return Article


@mapping("__versioned__ without the mixin", new=NEW, change=CHANGE)
def _(base):
    class Article(base):
        __versioned__ = {}
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    return Article


def base_without_a_metaclass() -> Any:
    class Base(DeclarativeBaseNoMeta):
        pass

    return Base


@mapping("DeclarativeBaseNoMeta", new=NEW, change=CHANGE, base=base_without_a_metaclass)
def _(base):
    class Article(Versioned, base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    return Article


def dataclass_base() -> Any:
    class Base(MappedAsDataclass, AsyncAttrs, DeclarativeBase):
        pass

    return Base


@mapping("MappedAsDataclass on the base", new={"name": "a"}, change=CHANGE, base=dataclass_base, returns=False)
def _(base):
    class Article(Versioned, base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        name: Mapped[str]
        note: Mapped[str | None] = mapped_column(default="none")

    return Article


@mapping("MappedAsDataclass on one class, kw_only", new={"id": 1, "name": "a"}, change=CHANGE)
def _(base):
    class Article(MappedAsDataclass, Versioned, base, kw_only=True):
        __tablename__ = "article"
        note: Mapped[str | None] = mapped_column(default=None)
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    return Article


@mapping("MappedAsDataclass with inheritance", new={"name": "a", "lives": 9}, change={"lives": 8}, returns=False)
def _(base):
    class Animal(MappedAsDataclass, Versioned, base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        kind: Mapped[str] = mapped_column(init=False)
        name: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Cat(Animal):
        __tablename__ = "cat"
        id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True, init=False)
        lives: Mapped[int]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    return Cat


@mapping("declarative_base()", new=NEW, change=CHANGE, base=declarative_base)
def _(base):
    class Article(Versioned, base):
        __tablename__ = "article"
        id = Column(Integer, primary_key=True)
        name = Column(String(20))

    return Article


def bare_registry() -> Any:
    class Holder:
        registry = registry()
        metadata = registry.metadata

        class Decorated:
            """Whom the classes of one test have in common, so that no manager takes those of an earlier test."""

            __versioned__ = {}

    return Holder


def decorated(base: Any) -> type:
    return base.Decorated


@mapping("registry.mapped", new=NEW, change=CHANGE, base=bare_registry, scope=decorated)
def _(base):
    @base.registry.mapped
    class Article(base.Decorated):
        __tablename__ = "article"
        id = Column(Integer, primary_key=True)
        name = Column(String(20))

    return Article


@mapping("registry.mapped_as_dataclass", new=NEW, change=CHANGE, base=bare_registry, scope=decorated)
def _(base):
    @base.registry.mapped_as_dataclass
    class Article(base.Decorated):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    return Article


def with_keywords(cls: type) -> type:
    def __init__(self: Any, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)

    cls.__init__ = __init__  # type: ignore[misc]
    return cls


@mapping("imperative", new=NEW, change=CHANGE, base=bare_registry, scope=decorated)
def _(base):
    table = Table(
        "article", base.metadata, Column("id", Integer, primary_key=True), Column("title", String(20), key="heading")
    )

    @with_keywords
    class Article(base.Decorated):
        pass

    base.registry.map_imperatively(Article, table, properties={"name": table.c.heading})
    return Article


@mapping("imperative, joined", new={**NEW, "lives": 9}, change={"lives": 8}, base=bare_registry, scope=decorated)
def _(base):
    animal = Table(
        "animal",
        base.metadata,
        Column("id", Integer, primary_key=True),
        Column("kind", String(20)),
        Column("name", String(20)),
    )
    cat = Table(
        "cat",
        base.metadata,
        Column("animal_id", ForeignKey("animal.id"), primary_key=True),
        Column("lives", Integer),
    )

    @with_keywords
    class Animal(base.Decorated):
        pass

    class Cat(Animal):
        pass

    base.registry.map_imperatively(Animal, animal, polymorphic_on=animal.c.kind, polymorphic_identity="animal")
    base.registry.map_imperatively(Cat, cat, inherits=Animal, polymorphic_identity="cat")
    return Cat


def sqlmodel_base() -> Any:
    from sqlmodel import SQLModel

    class Base(SQLModel, registry=registry()):
        metadata = MetaData()

    Base.registry = Base._sa_registry
    return Base


@mapping("SQLModel", new=NEW, change=CHANGE, base=sqlmodel_base)
def _(base):
    from sqlmodel import Field

    class Article(Versioned, base, table=True):
        __tablename__ = "article"
        id: int | None = Field(default=None, primary_key=True)
        name: str = Field(max_length=20)

    return Article


@mapping("mixins with declared_attr", new={**NEW, "body": "x"}, change={"body": "y"})
def _(base):
    class Named:
        id: Mapped[int] = mapped_column(primary_key=True)

        @declared_attr.directive
        def __tablename__(cls) -> str:
            return cls.__name__.lower()

        @declared_attr
        def name(cls) -> Mapped[str]:
            return mapped_column(String(20))

    class Article(Named, Versioned, base):
        body: Mapped[str]

    return Article


@mapping("an abstract base that is versioned", new=NEW, change=CHANGE)
def _(base):
    class Kept(Versioned, base):
        __abstract__ = True
        id: Mapped[int] = mapped_column(primary_key=True)

    class Article(Kept):
        __tablename__ = "article"
        name: Mapped[str]

    return Article


@mapping("__table__", new=NEW, change=CHANGE)
def _(base):
    class Article(Versioned, base):
        __table__ = Table("article", base.metadata, Column("id", Integer, primary_key=True), Column("name", String(20)))

    return Article


@mapping("column_prefix", new={"_id": 1, "_name": "a"}, change={"_name": "b"})
def _(base):
    class Article(Versioned, base):
        __table__ = Table("article", base.metadata, Column("id", Integer, primary_key=True), Column("name", String(20)))
        __mapper_args__ = {"column_prefix": "_"}

    return Article


@mapping("version_id_col", new=NEW, change=CHANGE)
def _(base):
    class Article(Versioned, base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        counter: Mapped[int] = mapped_column()
        __mapper_args__ = {"version_id_col": counter}

    return Article


@mapping("eager_defaults", new=NEW, change=CHANGE)
def _(base):
    class Article(Versioned, base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        made: Mapped[str] = mapped_column(server_default="now", onupdate=func.lower("LATER"))
        __mapper_args__ = {"eager_defaults": True}

    return Article


@mapping("exclude_properties", new=NEW, change=CHANGE)
def _(base):
    class Article(Versioned, base):
        __table__ = Table(
            "article",
            base.metadata,
            Column("id", Integer, primary_key=True),
            Column("name", String(20)),
            Column("legacy", String(20), server_default="old"),
        )
        __mapper_args__ = {"exclude_properties": ["legacy"]}

    return Article


@mapping("primary_key in __mapper_args__", new=NEW, change=CHANGE)
def _(base):
    table = Table("article", base.metadata, Column("id", Integer, unique=True), Column("name", String(20)))

    class Article(Versioned, base):
        __table__ = table
        __mapper_args__ = {"primary_key": [table.c.id]}

    return Article


@mapping("confirm_deleted_rows and batch", new=NEW, change=CHANGE)
def _(base):
    class Article(Versioned, base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        __mapper_args__ = {"confirm_deleted_rows": False, "batch": False}

    return Article


@mapping("synonym, composite, hybrid, column_property, deferred", new={"id": 1, "x": 1, "y": 2}, change={"y": 3})
def _(base):
    class Point:
        def __init__(self, x: int, y: int) -> None:
            self.x, self.y = x, y

        def __composite_values__(self) -> tuple[int, int]:
            return self.x, self.y

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

        def __hash__(self) -> int:
            return hash((self.x, self.y))

    class Place(Versioned, base):
        __tablename__ = "place"
        id: Mapped[int] = mapped_column(primary_key=True)
        x: Mapped[int] = mapped_column()
        y: Mapped[int] = mapped_column()
        note: Mapped[str | None] = deferred(mapped_column(String(20)), group="notes")
        point: Mapped[Point] = composite(Point, "x", "y")
        across = synonym("x")
        total = column_property(x + y)

        @hybrid_property
        def size(self) -> int:
            return self.x * self.y

        @validates("x")
        def _check(self, _: str, value: int) -> int:
            assert value > 0
            return value

    return Place


@mapping("declared after mappers were configured", new=NEW, change=CHANGE)
def _(base):
    class First(Versioned, base):
        __tablename__ = "first"
        id: Mapped[int] = mapped_column(primary_key=True)

    base.registry.configure()

    class Article(Versioned, base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        first_id: Mapped[int | None] = mapped_column(ForeignKey("first.id"))
        first: Mapped[First | None] = relationship()

    return Article


@mapping("the same class name in two modules", new=NEW, change=CHANGE)
def _(base):
    def article(module: str, table: str) -> Any:
        return type(
            "Article",
            (Versioned, base),
            {
                "__module__": module,
                "__tablename__": table,
                "id": mapped_column(Integer, primary_key=True),
                "name": mapped_column(String(20)),
            },
        )

    article("tests.mappings.here", "here_article")
    return article("tests.mappings.there", "there_article")


@mapping(
    "user classes called Transaction and Version",
    new=NEW,
    change=CHANGE,
    options={"transaction_table_name": "version_transaction"},
)
def _(base):
    class Transaction(Versioned, base):
        __tablename__ = "transaction"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        version_id: Mapped[int | None] = mapped_column(ForeignKey("version.id"))
        version: Mapped["Version | None"] = relationship(back_populates="transactions")

    class Version(Versioned, base):
        __tablename__ = "version"
        id: Mapped[int] = mapped_column(primary_key=True)
        transactions: Mapped[list[Transaction]] = relationship(back_populates="version")

    globals_of = {"Version": Version}
    Transaction.__annotations__.update(version=Mapped[globals_of["Version"] | None])
    return Transaction


@mapping("a user class called like a version class", new=NEW, change=CHANGE)
def _(base):
    class ArticleVersion(base):
        __tablename__ = "edition"
        id: Mapped[int] = mapped_column(primary_key=True)
        article_id: Mapped[int | None] = mapped_column(ForeignKey("article.id"))
        article = relationship("Article", back_populates="editions")

    class Article(Versioned, base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        # Found by its name, which the version class has as well.
        editions = relationship("ArticleVersion", back_populates="article")

    # A registry holds classes weakly, and until mappers are configured nobody else holds this one.
    Article.edition_class = ArticleVersion
    return Article


@mapping("a column added to its class later", new=NEW, change={"later": 1})
def _(base):
    class Article(Versioned, base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    Article.later = mapped_column(Integer)
    return Article


@mapping("a column added later above a class", new={"id": 1, "name": "a", "lives": 9}, change={"later": 1})
def _(base):
    class Animal(Versioned, base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Cat(Animal):
        __tablename__ = "cat"
        id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
        lives: Mapped[int]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    Animal.later = mapped_column(Integer)
    return Cat


@mapping("__table__ reflected", new=NEW, change=CHANGE)
def _(base):
    there = create_engine("sqlite://")
    with there.begin() as connection:
        connection.execute(text("CREATE TABLE reflected (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL)"))
        table = Table("reflected", base.metadata, autoload_with=connection)
    there.dispose()

    class Reflected(Versioned, base):
        __table__ = table

    return Reflected


@mapping("version_id_generator", new=NEW, change=CHANGE)
def _(base):
    class Counted(Versioned, base):
        __tablename__ = "counted_by_a_function"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        counter: Mapped[str] = mapped_column(String(40))
        __mapper_args__ = {"version_id_col": counter, "version_id_generator": lambda before: f"{before or ''}x"}

    return Counted


@mapping("primary_key in __mapper_args__ on a table without one", new=NEW, change=CHANGE)
def _(base):
    table = Table("keyless", base.metadata, Column("id", Integer, nullable=False), Column("name", String(20)))

    class Keyless(Versioned, base):
        __table__ = table
        __mapper_args__ = {"primary_key": [table.c.id]}

    return Keyless


@mapping("use_existing_column", new={**NEW, "lives": 9}, change={"lives": 8})
def _(base):
    class Animal(Versioned, base):
        __tablename__ = "existing_column"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Cat(Animal):
        lives: Mapped[int | None] = mapped_column(use_existing_column=True)
        __mapper_args__ = {"polymorphic_identity": "cat"}

    class Dog(Animal):
        lives: Mapped[int | None] = mapped_column(use_existing_column=True)
        __mapper_args__ = {"polymorphic_identity": "dog"}

    return Dog


@mapping("deferred_group, query_expression and insert_default in SQL", new=NEW, change=CHANGE)
def _(base):
    class Late(Versioned, base):
        __tablename__ = "late_columns"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        long: Mapped[str | None] = mapped_column(deferred=True, deferred_group="long")
        longer: Mapped[str | None] = mapped_column(deferred=True, deferred_group="long")
        made: Mapped[str] = mapped_column(String(20), insert_default=func.lower("MADE"))
        asked: Mapped[str | None] = query_expression()

    return Late


@mapping("exclude_properties hides a column that is NOT NULL", new=NEW, change=CHANGE)
def _(base):
    class Partly(Versioned, base):
        __table__ = Table(
            "hidden_column",
            base.metadata,
            Column("id", Integer, primary_key=True),
            Column("name", String(20)),
            Column("hidden", Integer, nullable=False, server_default="7"),
        )
        __mapper_args__ = {"exclude_properties": ["hidden"]}

    return Partly


@mapping("a relationship whose secondary is a join", new=NEW, change=CHANGE)
def _(base):
    class Maker(base):
        __tablename__ = "maker"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Part(base):
        __tablename__ = "part"
        id: Mapped[int] = mapped_column(primary_key=True)
        thing_id: Mapped[int] = mapped_column(ForeignKey("thing.id"))
        shop_id: Mapped[int] = mapped_column(ForeignKey("shop.id"))

    class Shop(base):
        __tablename__ = "shop"
        id: Mapped[int] = mapped_column(primary_key=True)
        maker_id: Mapped[int] = mapped_column(ForeignKey("maker.id"))

    class Thing(Versioned, base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        makers: Mapped[list[Maker]] = relationship(
            secondary=lambda: Part.__table__.join(Shop.__table__, Part.shop_id == Shop.id),
            primaryjoin=lambda: Thing.id == Part.thing_id,
            secondaryjoin=lambda: Maker.id == Shop.maker_id,
            viewonly=True,
        )

    return Thing

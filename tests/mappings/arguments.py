"""Arguments and attributes of mappers that are less usual, and tables that are none."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import DDL, Column, ForeignKey, Integer, String, Table, event
from sqlalchemy.orm import Mapped, column_property, composite, mapped_column, relationship

from async_continuum import Versioned
from tests.mappings.entry import mapping
from tests.mappings.inheritance import animals, cats

NEW, CHANGE = {"id": 1, "name": "a"}, {"name": "b"}


@mapping("include_properties", new=NEW, change=CHANGE)
def _(base):
    class Article(Versioned, base):
        __table__ = Table(
            "article",
            base.metadata,
            Column("id", Integer, primary_key=True),
            Column("name", String(20)),
            Column("legacy", String(20), server_default="old"),
        )
        __mapper_args__ = {"include_properties": ["id", "name"]}

    return Article


@mapping("arguments of mappers that say how rows are written and loaded", new=NEW, change=CHANGE)
def _(base):
    class Article(Versioned, base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        __mapper_args__ = {
            "allow_partial_pks": False,
            "always_refresh": True,
            "eager_defaults": False,
            "legacy_is_orphan": True,
            "passive_updates": False,
        }

    return Article


@mapping("inherit_condition and inherit_foreign_keys", new={**NEW, "lives": 9}, change={"lives": 8})
def _(base):
    Animal = animals(base, "said_animal")
    number = Column("id", ForeignKey("said_animal.id"), primary_key=True)

    class Cat(Animal):
        __tablename__ = "said_cat"
        id = column_property(number, Animal.id)
        lives: Mapped[int | None]
        mother_id: Mapped[int | None] = mapped_column(ForeignKey("said_animal.id"))
        mother: Mapped[Any] = relationship(Animal, foreign_keys=mother_id)
        __mapper_args__ = {
            "polymorphic_identity": "cat",
            "inherit_condition": number == Animal.__table__.c.id,
            "inherit_foreign_keys": number,
        }

    return Cat


@mapping("joined: passive_deletes, the database takes the table below", new={**NEW, "lives": 9}, change={"lives": 8})
def _(base):
    return cats(animals(base, "passive", passive_deletes=True), "passive_cat")


@mapping("joined: a class below keeps no history", new=NEW, change=CHANGE)
def _(base):
    Animal = animals(base, "partly_kept")

    class Dog(Animal):
        __versioned__ = {"versioning": False}
        __tablename__ = "partly_kept_dog"
        id: Mapped[int] = mapped_column(ForeignKey("partly_kept.id"), primary_key=True)
        tricks: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "dog"}

    return Animal


@mapping("single table: a column that two classes below declare anew", new={**NEW, "lives": 9}, change={"lives": 8})
def _(base):
    Animal = animals(base, "declared_anew")
    shared = Column("lives", Integer)

    class Cat(Animal):
        lives = shared
        __mapper_args__ = {"polymorphic_identity": "cat"}

    class Dog(Animal):
        tricks = column_property(Cat.__table__.c.lives)
        __mapper_args__ = {"polymorphic_identity": "dog"}

    return Cat


@mapping("single table: a further name of a column above", new={"id": 1, "called": "a"}, change={"called": "b"})
def _(base):
    Animal = animals(base, "called_otherwise")

    class Cat(Animal):
        called = column_property(Animal.__table__.c.name)
        __mapper_args__ = {"polymorphic_identity": "cat"}

    return Cat


@mapping("column_property in the key", new=NEW, change=CHANGE)
def _(base):
    class Article(Versioned, base):
        __tablename__ = "article"
        id = column_property(Column("number", Integer, primary_key=True))
        name: Mapped[str]

    return Article


@dataclass
class Point:
    """Half of a line."""

    x: int
    y: int


@dataclass
class Line:
    """A composite of composites."""

    start: Point
    end: Point

    @classmethod
    def of(cls, *values: int) -> "Line":
        return cls(Point(*values[:2]), Point(*values[2:]))

    def __composite_values__(self) -> tuple[Any, ...]:
        return self.start.x, self.start.y, self.end.x, self.end.y


@mapping(
    "a composite of composites",
    new={"id": 1, "line": Line.of(1, 2, 3, 4)},
    change={"line": Line.of(1, 2, 3, 5)},
)
def _(base):
    class Fence(Versioned, base):
        __tablename__ = "fence"
        id: Mapped[int] = mapped_column(primary_key=True)
        x1: Mapped[int] = mapped_column()
        y1: Mapped[int] = mapped_column()
        x2: Mapped[int] = mapped_column()
        y2: Mapped[int] = mapped_column()
        line: Mapped[Line] = composite(Line.of, x1, y1, x2, y2)

    return Fence


@mapping(
    "a class on a view",
    new=NEW,
    change=CHANGE,
    backends=("postgresql",),
    reason="SQLite does not count the rows that are changed through a view, which the ORM asks for",
    # Triggers on views have no transition tables.
    options={"native_versioning": False},
)
def _(base):
    class Shown(Versioned, base):
        __tablename__ = "shown"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        name: Mapped[str]

    for statement in ("ALTER TABLE shown RENAME TO stored", "CREATE VIEW shown AS SELECT id, name FROM stored"):
        event.listen(Shown.__table__, "after_create", DDL(statement))
    return Shown

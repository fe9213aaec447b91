"""Mappings of classes that inherit: joined, single table, concrete, mixed, of several levels."""

from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, String, Table, case, literal, type_coerce
from sqlalchemy.ext.declarative import AbstractConcreteBase, ConcreteBase
from sqlalchemy.orm import Mapped, column_property, mapped_column

from async_continuum import Versioned
from tests.mappings.entry import mapping


def animals(base: Any, table: str, **arguments: Any) -> Any:
    """Declare the class at the top of a hierarchy."""

    class Animal(Versioned, base):
        __tablename__ = table
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str | None]
        name: Mapped[str | None]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal", **arguments}

    return Animal


def cats(above: Any, table: str, **arguments: Any) -> Any:
    """Declare a class with a table of its own below it."""

    class Cat(above):
        __tablename__ = table
        id: Mapped[int] = mapped_column(ForeignKey(f"{above.__tablename__}.id", ondelete="CASCADE"), primary_key=True)
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat", **arguments}

    return Cat


NEW = {"id": 1, "name": "a", "lives": 9}


@mapping("joined: the table above changes", new=NEW, change={"name": "b"})
def _(base):
    return cats(animals(base, "joined_above"), "joined_above_cat")


@mapping("joined: the class's own table changes", new=NEW, change={"lives": 8})
def _(base):
    return cats(animals(base, "joined_own"), "joined_own_cat")


@mapping("joined: both tables change", new=NEW, change={"name": "b", "lives": 8})
def _(base):
    return cats(animals(base, "joined_both"), "joined_both_cat")


@mapping("joined: an object of the class above", new={"id": 1, "name": "a"}, change={"name": "b"})
def _(base):
    above = animals(base, "joined_top")
    cats(above, "joined_top_cat")
    return above


@mapping("joined: the key has another name below", new={"id": 1, "name": "a", "lives": 9}, change={"lives": 8})
def _(base):
    Animal = animals(base, "joined_renamed")

    class Cat(Animal):
        __tablename__ = "joined_renamed_cat"
        number: Mapped[int] = mapped_column("no", ForeignKey("joined_renamed.id"), primary_key=True)
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    return Cat


@mapping("joined: three levels", new={**NEW, "toy": "ball"}, change={"toy": "mouse", "name": "b"})
def _(base):
    Cat = cats(animals(base, "joined_three"), "joined_three_cat")

    class Kitten(Cat):
        __tablename__ = "joined_three_kitten"
        id: Mapped[int] = mapped_column(ForeignKey("joined_three_cat.id"), primary_key=True)
        toy: Mapped[str]
        __mapper_args__ = {"polymorphic_identity": "kitten"}

    return Kitten


@mapping("joined: a composite key", new={"id": 1, "part": 2, "lives": 9}, change={"lives": 8}, key=(1, 2))
def _(base):
    class Animal(Versioned, base):
        __tablename__ = "joined_composite"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)

    class Cat(Animal):
        """Its columns stand in another order."""

        from sqlalchemy import ForeignKeyConstraint

        __tablename__ = "joined_composite_cat"
        lives: Mapped[int | None]
        part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        __table_args__ = (ForeignKeyConstraint(["id", "part"], ["joined_composite.id", "joined_composite.part"]),)

    return Cat


@mapping("joined: no column names the class", new={"id": 1, "name": "a", "lives": 9}, change={"name": "b"})
def _(base):
    class Animal(Versioned, base):
        __tablename__ = "joined_plain"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    class Cat(Animal):
        __tablename__ = "joined_plain_cat"
        id: Mapped[int] = mapped_column(ForeignKey("joined_plain.id"), primary_key=True)
        lives: Mapped[int]

    return Cat


@mapping("joined: both tables have a column of one name", new={"id": 1, "note": "a"}, change={"note": "b"})
def _(base):
    class Animal(Versioned, base):
        __tablename__ = "joined_same"
        id: Mapped[int] = mapped_column(primary_key=True)
        note: Mapped[str]

    class Cat(Animal):
        __tablename__ = "joined_same_cat"
        id: Mapped[int] = mapped_column(ForeignKey("joined_same.id"), primary_key=True)
        note: Mapped[str] = column_property(Column("note", String), Animal.note)

    return Cat


@mapping("joined: polymorphic_load inline", new=NEW, change={"lives": 8})
def _(base):
    return cats(animals(base, "joined_inline"), "joined_inline_cat", polymorphic_load="inline")


@mapping("joined: polymorphic_load selectin", new=NEW, change={"lives": 8})
def _(base):
    return cats(animals(base, "joined_selectin"), "joined_selectin_cat", polymorphic_load="selectin")


@mapping("joined: with_polymorphic", new=NEW, change={"lives": 8})
def _(base):
    return cats(animals(base, "joined_with", with_polymorphic="*"), "joined_with_cat")


@mapping("joined: the class above keeps no history", new=NEW, change={"name": "b"})
def _(base):
    class Animal(base):
        __tablename__ = "joined_unversioned"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str | None]
        name: Mapped[str | None]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Cat(Versioned, Animal):
        __tablename__ = "joined_unversioned_cat"
        id: Mapped[int] = mapped_column(ForeignKey("joined_unversioned.id"), primary_key=True)
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    return Cat


@mapping("single table: columns of the class below", new={"id": 1, "name": "a", "lives": 9}, change={"lives": 8})
def _(base):
    Animal = animals(base, "single")

    class Cat(Animal):
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    class Dog(Animal):
        tricks: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "dog"}

    return Cat


@mapping("single table: the class above keeps no history", new={"id": 1, "name": "a", "lives": 9}, change={"name": "b"})
def _(base):
    class Animal(base):
        __tablename__ = "single_unversioned"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        name: Mapped[str | None]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Cat(Versioned, Animal):
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    return Cat


@mapping("single table: a class below keeps no history", new={"id": 1, "name": "a"}, change={"name": "b"})
def _(base):
    Animal = animals(base, "single_partly")

    class Dog(Animal):
        __versioned__ = {"versioning": False}
        tricks: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "dog"}

    return Animal


@mapping("single table: three levels", new={"id": 1, "name": "a", "lives": 9, "toy": "ball"}, change={"toy": "mouse"})
def _(base):
    class Cat(animals(base, "single_three")):
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    class Kitten(Cat):
        toy: Mapped[str | None]
        __mapper_args__ = {"polymorphic_identity": "kitten"}

    return Kitten


@mapping("single table: a class below excludes a column", new={"id": 1, "name": "a", "pin": 1}, change={"name": "b"})
def _(base):
    class Cat(animals(base, "single_excluding")):
        __versioned__ = {"exclude": ["pin"]}
        pin: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    return Cat


@mapping("single table below joined", new={**NEW, "toy": "ball"}, change={"toy": "mouse", "name": "b"})
def _(base):
    class Kitten(cats(animals(base, "mixed_joined"), "mixed_joined_cat")):
        toy: Mapped[str | None]
        __mapper_args__ = {"polymorphic_identity": "kitten"}

    return Kitten


@mapping("joined below single table", new={"id": 1, "name": "a", "lives": 9, "toy": "ball"}, change={"toy": "mouse"})
def _(base):
    class Cat(animals(base, "mixed_single")):
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    class Kitten(Cat):
        __tablename__ = "mixed_single_kitten"
        id: Mapped[int] = mapped_column(ForeignKey("mixed_single.id"), primary_key=True)
        toy: Mapped[str | None]
        __mapper_args__ = {"polymorphic_identity": "kitten"}

    return Kitten


@mapping("polymorphic_on a Column", new={"id": 1, "lives": 9}, change={"lives": 8})
def _(base):
    kind = Column("kind", String(20))

    class Animal(Versioned, base):
        __table__ = Table("on_column", base.metadata, Column("id", Integer, primary_key=True), kind)
        __mapper_args__ = {"polymorphic_on": kind, "polymorphic_identity": "animal"}

    class Cat(Animal):
        lives = Column("lives", Integer)
        __mapper_args__ = {"polymorphic_identity": "cat"}

    return Cat


@mapping("polymorphic_on a mapped_column of another name", new={"id": 1, "lives": 9}, change={"lives": 8})
def _(base):
    class Animal(Versioned, base):
        __tablename__ = "on_mapped_column"
        id: Mapped[int] = mapped_column(primary_key=True)
        sort: Mapped[str] = mapped_column("kind", String(20))
        __mapper_args__ = {"polymorphic_on": sort, "polymorphic_identity": "animal"}

    class Cat(Animal):
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    return Cat


@mapping("polymorphic_on a CASE", new={"id": 1, "legs": 4, "lives": 9}, change={"lives": 8})
def _(base):
    class Animal(Versioned, base):
        __tablename__ = "on_case"
        id: Mapped[int] = mapped_column(primary_key=True)
        legs: Mapped[int] = mapped_column()
        __mapper_args__ = {"polymorphic_on": case((legs == 4, "cat"), else_="animal"), "polymorphic_identity": "animal"}

    class Cat(Animal):
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    return Cat


@mapping("polymorphic_on a column_property", new={"id": 1, "legs": 4, "lives": 9}, change={"lives": 8})
def _(base):
    class Animal(Versioned, base):
        __tablename__ = "on_property"
        id: Mapped[int] = mapped_column(primary_key=True)
        legs: Mapped[int] = mapped_column()
        sort = column_property(case((legs == 4, literal("cat")), else_=literal("animal")))
        __mapper_args__ = {"polymorphic_on": sort, "polymorphic_identity": "animal"}

    class Cat(Animal):
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    return Cat


@mapping("polymorphic_on an expression of a type", new={"id": 1, "kind": 2}, change={"lives": 8})
def _(base):
    class Animal(Versioned, base):
        __tablename__ = "on_coerced"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[int] = mapped_column()
        __mapper_args__ = {"polymorphic_on": type_coerce(kind, Integer), "polymorphic_identity": 1}

    class Cat(Animal):
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": 2}

    return Cat


@mapping("polymorphic_abstract", new={"id": 1, "name": "a", "lives": 9}, change={"lives": 8})
def _(base):
    class Animal(Versioned, base):
        __tablename__ = "abstract_top"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        name: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_abstract": True}

    class Cat(Animal):
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    return Cat


@mapping("concrete: a table for each class", new={"id": 1, "name": "a", "lives": 9}, change={"lives": 8})
def _(base):
    class Animal(Versioned, base):
        __tablename__ = "concrete"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    class Cat(Animal):
        __tablename__ = "concrete_cat"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        lives: Mapped[int]
        __mapper_args__ = {"concrete": True}

    return Cat


@mapping("concrete: ConcreteBase", new={"id": 1, "name": "a", "lives": 9}, change={"lives": 8})
def _(base):
    class Animal(Versioned, ConcreteBase, base):
        __tablename__ = "concrete_base"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        __mapper_args__ = {"polymorphic_identity": "animal", "concrete": True}

    class Cat(Animal):
        __tablename__ = "concrete_base_cat"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        lives: Mapped[int]
        __mapper_args__ = {"polymorphic_identity": "cat", "concrete": True}

    return Cat


@mapping("concrete: AbstractConcreteBase", new={"id": 1, "name": "a", "lives": 9}, change={"lives": 8})
def _(base):
    class Animal(Versioned, AbstractConcreteBase, base):
        strict_attrs = True
        name = Column("name", String(20))

    class Cat(Animal):
        __tablename__ = "concrete_abstract_cat"
        id: Mapped[int] = mapped_column(primary_key=True)
        lives: Mapped[int]
        __mapper_args__ = {"polymorphic_identity": "cat", "concrete": True}

    return Cat


@mapping("polymorphic_on the name of an attribute", new={"id": 1, "lives": 9}, change={"lives": 8})
def _(base):
    class Animal(Versioned, base):
        __tablename__ = "on_attribute"
        id: Mapped[int] = mapped_column(primary_key=True)
        sort: Mapped[str] = mapped_column("kind", String(20))
        __mapper_args__ = {"polymorphic_on": "sort", "polymorphic_identity": "animal"}

    class Cat(Animal):
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    return Cat

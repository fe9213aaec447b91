"""Mappings of concrete classes that are less usual: a union of the user's own, classes below a concrete one."""

from sqlalchemy import Column, Integer, String, Table
from sqlalchemy.ext.declarative import AbstractConcreteBase
from sqlalchemy.orm import Mapped, mapped_column, polymorphic_union

from async_continuum import Versioned
from tests.mappings.entry import mapping

NEW = {"id": 1, "name": "a", "lives": 9}


@mapping("concrete: a polymorphic_union of the user's own", new=NEW, change={"lives": 8})
def _(base):
    animal = Table("union_animal", base.metadata, Column("id", Integer, primary_key=True), Column("name", String(20)))
    cat = Table(
        "union_cat",
        base.metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String(20)),
        Column("lives", Integer),
    )
    union = polymorphic_union({"animal": animal, "cat": cat}, "kind", "animals")

    class Animal(Versioned, base):
        __table__ = animal
        __mapper_args__ = {
            "with_polymorphic": ("*", union),
            "polymorphic_on": union.c.kind,
            "polymorphic_identity": "animal",
        }

    class Cat(Animal):
        __table__ = cat
        __mapper_args__ = {"polymorphic_identity": "cat", "concrete": True}

    return Cat


@mapping("concrete: three levels", new={**NEW, "toy": "ball"}, change={"toy": "mouse"})
def _(base):
    class Animal(Versioned, base):
        __tablename__ = "concrete_first"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    class Cat(Animal):
        __tablename__ = "concrete_second"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        lives: Mapped[int]
        __mapper_args__ = {"concrete": True}

    class Kitten(Cat):
        __tablename__ = "concrete_third"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        lives: Mapped[int]
        toy: Mapped[str]
        __mapper_args__ = {"concrete": True}

    return Kitten


@mapping("concrete: AbstractConcreteBase of two levels", new={**NEW, "toy": "ball"}, change={"toy": "mouse"})
def _(base):
    class Animal(Versioned, AbstractConcreteBase, base):
        strict_attrs = True
        name: Mapped[str] = mapped_column(String(20))

    class Cat(Animal):
        __tablename__ = "concrete_two_cat"
        id: Mapped[int] = mapped_column(primary_key=True)
        lives: Mapped[int]
        __mapper_args__ = {"polymorphic_identity": "cat", "concrete": True}

    class Kitten(Cat):
        __tablename__ = "concrete_two_kitten"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20))
        lives: Mapped[int]
        toy: Mapped[str]
        __mapper_args__ = {"polymorphic_identity": "kitten", "concrete": True}

    return Kitten

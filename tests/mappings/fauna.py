"""A fauna: concrete classes, with tables of their own, below one that has a table and below one that has none."""

from types import SimpleNamespace

from sqlalchemy import ForeignKey
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.ext.declarative import AbstractConcreteBase, ConcreteBase
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, relationship

from async_continuum import Versioned, VersioningManager, make_versioned


def fauna(strategy: str) -> SimpleNamespace:
    """Make the models, and the manager that keeps their history under `strategy`."""

    class Base(AsyncAttrs, DeclarativeBase):
        pass

    manager = make_versioned(mapper=Base, manager=VersioningManager(), options={"strategy": strategy}, user_cls=None)

    class Keeper(Versioned, Base):
        __tablename__ = "keeper"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None]
        animals: Mapped[list["Animal"]] = relationship(viewonly=True)
        plants: Mapped[list["Plant"]] = relationship(viewonly=True)

    class Animal(Versioned, ConcreteBase, Base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None]
        keeper_id: Mapped[int | None] = mapped_column(ForeignKey("keeper.id"))
        keeper: Mapped[Keeper | None] = relationship()
        __mapper_args__ = {"polymorphic_identity": "animal", "concrete": True}

    class Cat(Animal):
        __tablename__ = "cat"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None]
        lives: Mapped[int | None]
        keeper_id: Mapped[int | None] = mapped_column(ForeignKey("keeper.id"))
        keeper: Mapped[Keeper | None] = relationship()
        __mapper_args__ = {"polymorphic_identity": "cat", "concrete": True}

    class Dog(Animal):
        __tablename__ = "dog"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None]
        tricks: Mapped[int | None]
        keeper_id: Mapped[int | None] = mapped_column(ForeignKey("keeper.id"))
        keeper: Mapped[Keeper | None] = relationship()
        __mapper_args__ = {"polymorphic_identity": "dog", "concrete": True}

    class Plant(Versioned, AbstractConcreteBase, Base):
        """Has no table."""

        strict_attrs = True
        _concrete_discriminator_name = "sort"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None]

        @declared_attr
        def keeper_id(cls) -> Mapped[int | None]:
            return mapped_column(ForeignKey("keeper.id"))

        @declared_attr
        def keeper(cls) -> Mapped[Keeper | None]:
            return relationship(Keeper)

    class Tree(Plant):
        __tablename__ = "tree"
        rings: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "tree", "concrete": True}

    class Fern(Plant):
        __tablename__ = "fern"
        fronds: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "fern", "concrete": True}

    return SimpleNamespace(
        Base=Base,
        manager=manager,
        Keeper=Keeper,
        Animal=Animal,
        Cat=Cat,
        Dog=Dog,
        Plant=Plant,
        Tree=Tree,
        Fern=Fern,
    )


FAUNAS = {strategy: fauna(strategy) for strategy in ("validity", "subquery")}

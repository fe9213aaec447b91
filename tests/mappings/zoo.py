"""A zoo: joined and single table inheritance in one hierarchy of several levels, related to keepers and tags."""

from types import SimpleNamespace

from sqlalchemy import Column, ForeignKey, Table
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from async_continuum import Versioned, VersioningManager, make_versioned
from tests.kit import mode


def zoo(strategy: str) -> SimpleNamespace:
    """Make the models, and the manager that keeps their history under `strategy`."""

    class Base(AsyncAttrs, DeclarativeBase):
        pass

    manager = make_versioned(
        mapper=Base, manager=VersioningManager(), options=mode.options(strategy=strategy), user_cls=None
    )

    animal_tag = Table(
        "animal_tag",
        Base.metadata,
        Column("cat_id", ForeignKey("cat.id", ondelete="CASCADE"), primary_key=True),
        Column("tag_id", ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True),
    )

    class Keeper(Versioned, Base):
        __tablename__ = "keeper"
        id: Mapped[int] = mapped_column(primary_key=True)
        animals: Mapped[list["Animal"]] = relationship(back_populates="keeper", passive_deletes="all")
        cats: Mapped[list["Cat"]] = relationship(viewonly=True)

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        cats: Mapped[list["Cat"]] = relationship(secondary=animal_tag, back_populates="tags")

    class Animal(Versioned, Base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        name: Mapped[str | None]
        keeper_id: Mapped[int | None] = mapped_column(ForeignKey("keeper.id", ondelete="CASCADE"))
        keeper: Mapped[Keeper | None] = relationship(back_populates="animals")
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Cat(Animal):
        """Has a table of its own."""

        __tablename__ = "cat"
        id: Mapped[int] = mapped_column(ForeignKey("animal.id", ondelete="CASCADE"), primary_key=True)
        lives: Mapped[int | None]
        friend_id: Mapped[int | None] = mapped_column(ForeignKey("animal.id", ondelete="SET NULL"))
        friend: Mapped[Animal | None] = relationship(foreign_keys=friend_id)
        tags: Mapped[list[Tag]] = relationship(secondary=animal_tag, back_populates="cats")
        __mapper_args__ = {"polymorphic_identity": "cat", "inherit_condition": id == Animal.id}

    class Kitten(Cat):
        """Has a third one, whose key is called otherwise."""

        __tablename__ = "kitten"
        number: Mapped[int] = mapped_column(ForeignKey("cat.id", ondelete="CASCADE"), primary_key=True)
        toy: Mapped[str | None]
        __mapper_args__ = {"polymorphic_identity": "kitten"}

    class Dog(Animal):
        """Stands in the table of animals."""

        tricks: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "dog"}

    class Fish(Animal):
        """Keeps no history."""

        __versioned__ = {"versioning": False}
        depth: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "fish"}

    return SimpleNamespace(
        Base=Base, manager=manager, Keeper=Keeper, Tag=Tag, Animal=Animal, Cat=Cat, Kitten=Kitten, Dog=Dog, Fish=Fish
    )


ZOOS = {strategy: zoo(strategy) for strategy in ("validity", "subquery")}

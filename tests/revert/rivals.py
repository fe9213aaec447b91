"""Houses whose people claim what only one may have, under each strategy."""

from types import SimpleNamespace
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint, inspect, select
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

import async_continuum as ac
from async_continuum import Versioned, VersioningManager, make_versioned
from tests.kit import mode


def rivals(strategy: str) -> SimpleNamespace:
    """Make the models, and the manager that keeps their history under `strategy`."""

    class Base(AsyncAttrs, DeclarativeBase):
        pass

    manager = make_versioned(
        mapper=Base, manager=VersioningManager(), options=mode.options(strategy=strategy), user_cls=None
    )

    class House(Versioned, Base):
        __tablename__ = "house"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20), default="h")
        people: Mapped[list["Person"]] = relationship(back_populates="house", order_by="Person.id")
        rooms: Mapped[list["Room"]] = relationship(
            back_populates="house", cascade="all, delete-orphan", order_by="Room.id"
        )
        leases: Mapped[list["Lease"]] = relationship(
            back_populates="house", cascade="all, delete-orphan", order_by="Lease.person_id"
        )
        animals: Mapped[list["Animal"]] = relationship(order_by="Animal.id")
        garden: Mapped["Garden | None"] = relationship(back_populates="house")
        town_id: Mapped[int | None] = mapped_column(ForeignKey("town.id"))

    class Town(Versioned, Base):
        __tablename__ = "town"
        id: Mapped[int] = mapped_column(primary_key=True)
        houses: Mapped[list[House]] = relationship(order_by=House.id)

    class Garden(Versioned, Base):
        __tablename__ = "garden"
        id: Mapped[int] = mapped_column(primary_key=True)
        house_id: Mapped[int | None] = mapped_column(ForeignKey("house.id"), unique=True)
        house: Mapped[House | None] = relationship(back_populates="garden")

    class Sponsor(Versioned, Base):
        __tablename__ = "sponsor"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20), default="s")

    class Person(Versioned, Base):
        __tablename__ = "person"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20), unique=True)
        badge: Mapped[str | None] = mapped_column(String(20), unique=True)
        house_id: Mapped[int | None] = mapped_column(ForeignKey("house.id"))
        sponsor_id: Mapped[int | None] = mapped_column(ForeignKey("sponsor.id"))
        house: Mapped[House | None] = relationship(back_populates="people")
        sponsor: Mapped[Sponsor | None] = relationship()

    class Room(Versioned, Base):
        __tablename__ = "room"
        __table_args__ = (UniqueConstraint("house_id", "number"),)
        id: Mapped[int] = mapped_column(primary_key=True)
        house_id: Mapped[int] = mapped_column(ForeignKey("house.id"))
        number: Mapped[int]
        house: Mapped[House] = relationship(back_populates="rooms")

    class Lease(Versioned, Base):
        """An association object."""

        __tablename__ = "lease"
        house_id: Mapped[int] = mapped_column(ForeignKey("house.id"), primary_key=True)
        person_id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True)
        number: Mapped[int] = mapped_column(unique=True)
        house: Mapped[House] = relationship(back_populates="leases")
        person: Mapped[Person] = relationship()

    class Animal(Versioned, Base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(String(20))
        house_id: Mapped[int | None] = mapped_column(ForeignKey("house.id"))
        __mapper_args__ = {"polymorphic_on": kind, "polymorphic_identity": "animal"}

    class Cat(Animal):
        __mapper_args__ = {"polymorphic_identity": "cat"}

    class Dog(Animal):
        __mapper_args__ = {"polymorphic_identity": "dog"}

    mapped = (House, Town, Garden, Sponsor, Person, Room, Lease, Animal, Cat, Dog)
    return SimpleNamespace(Base=Base, manager=manager, strategy=strategy, **{model.__name__: model for model in mapped})


RIVALS = {strategy: rivals(strategy) for strategy in ("validity", "subquery")}


async def stored(session: Any, models: SimpleNamespace) -> dict[str, list[tuple[Any, ...]]]:
    """Read every row of every table, those of history included, past the session's objects."""
    return {
        table.name: sorted(map(tuple, await session.execute(select(*table.c))), key=repr)
        for table in models.Base.metadata.sorted_tables
    }


async def load(session: Any, models: SimpleNamespace) -> list[Any]:
    """Load everything that lives, with every relation."""
    found = []
    for mapper in models.Base.registry.mappers:
        model = mapper.class_
        if model.__mro__[1:3] != (Versioned, models.Base):
            continue
        relations = [selectinload(each.class_attribute) for each in inspect(model).relationships]
        found += await session.scalars(select(model).options(*relations))
    return found


def held(session: Any) -> dict[Any, Any]:
    """Say what the session holds, without asking the database: what its objects hold, and what is pending."""

    def plain(value: Any) -> Any:
        return list(value) if isinstance(value, list) else value

    objects = {
        each: {name: plain(value) for name, value in inspect(each).dict.items() if not name.startswith("_")}
        for each in session
        if not isinstance(each, ac.Version)
    }
    return {**objects, "new": set(session.new), "dirty": set(session.dirty), "deleted": set(session.deleted)}

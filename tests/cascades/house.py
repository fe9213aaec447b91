"""A house with rooms: rows that the database changes by itself when those that they refer to go, or move."""

from types import SimpleNamespace
from typing import Any

from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, String, Table, text
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from async_continuum import Versioned, VersioningManager, make_versioned, versions_of
from tests.kit import mode


def house(strategy: str) -> SimpleNamespace:
    """Make the models, and the manager that keeps their history under `strategy`."""

    class Base(AsyncAttrs, DeclarativeBase):
        pass

    manager = make_versioned(
        mapper=Base, manager=VersioningManager(), options=mode.options(strategy=strategy), user_cls=None
    )

    room_colour = Table(
        "room_colour",
        Base.metadata,
        Column("room_id", ForeignKey("room.id", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
        Column("colour_id", ForeignKey("colour.id", ondelete="CASCADE"), primary_key=True),
    )

    class House(Versioned, Base):
        __tablename__ = "house"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20), default="h")
        rooms: Mapped[list["Room"]] = relationship(passive_deletes=True, passive_updates=True, back_populates="house")
        guests: Mapped[list["Guest"]] = relationship(
            passive_deletes="all", back_populates="house", foreign_keys="Guest.house_id"
        )
        owners: Mapped[list["Owner"]] = relationship(cascade="all, delete-orphan")

    class Room(Versioned, Base):
        """Goes with its house, and follows it."""

        __tablename__ = "room"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20), default="r")
        house_id: Mapped[int | None] = mapped_column(ForeignKey("house.id", ondelete="CASCADE", onupdate="CASCADE"))
        house: Mapped[House | None] = relationship(back_populates="rooms")
        chairs: Mapped[list["Chair"]] = relationship(cascade="all", passive_deletes=True)
        colours: Mapped[list["Colour"]] = relationship(
            secondary=room_colour, back_populates="rooms", passive_deletes=True
        )

    class Chair(Versioned, Base):
        """Goes with its room. Its key holds the room's."""

        __tablename__ = "chair"
        room_id: Mapped[int] = mapped_column(
            ForeignKey("room.id", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True, autoincrement=False
        )
        number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)

    class Guest(Versioned, Base):
        """Stays when its house goes, and has none then; its other house becomes house 0."""

        __tablename__ = "guest"
        id: Mapped[int] = mapped_column(primary_key=True)
        house_id: Mapped[int | None] = mapped_column(ForeignKey("house.id", ondelete="SET NULL", onupdate="CASCADE"))
        home_id: Mapped[int | None] = mapped_column(server_default=text("0"))
        # InnoDB knows no SET DEFAULT, and would refuse the delete.
        __table_args__ = (
            ForeignKeyConstraint(["home_id"], ["house.id"], ondelete="SET DEFAULT").ddl_if(
                callable_=lambda *_, dialect, **__: dialect.name not in ("mariadb", "mysql")
            ),
        )
        house: Mapped[House | None] = relationship(back_populates="guests", foreign_keys=house_id)

    class Owner(Versioned, Base):
        """Goes by the ORM's cascade."""

        __tablename__ = "owner"
        id: Mapped[int] = mapped_column(primary_key=True)
        house_id: Mapped[int] = mapped_column(ForeignKey("house.id"))

    class Colour(Versioned, Base):
        __tablename__ = "colour"
        id: Mapped[int] = mapped_column(primary_key=True)
        rooms: Mapped[list[Room]] = relationship(secondary=room_colour, back_populates="colours", passive_deletes="all")

    class Box(Versioned, Base):
        """Holds boxes."""

        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        outer_id: Mapped[int | None] = mapped_column(ForeignKey("box.id", ondelete="CASCADE", onupdate="CASCADE"))

    return SimpleNamespace(
        Base=Base,
        manager=manager,
        strategy=strategy,
        room_colour=room_colour,
        House=House,
        Room=Room,
        Chair=Chair,
        Guest=Guest,
        Owner=Owner,
        Colour=Colour,
        Box=Box,
    )


HOUSES = {strategy: house(strategy) for strategy in ("validity", "subquery")}


async def life(session: Any, model: type, key: Any, *names: str) -> list[tuple[Any, ...]]:
    """Tell the history of one entity: each version's operation, by name, and the attributes named."""
    versions: list[Any] = await versions_of(session, model, key)
    return [(v.operation_type.name, *(getattr(v, name) for name in names)) for v in versions]

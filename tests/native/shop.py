"""Models that triggers record, in one transaction with one that sessions record."""

from sqlalchemy import Column, ForeignKey, String, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from async_continuum import Versioned, VersioningManager, make_versioned


class Base(DeclarativeBase):
    pass


manager = make_versioned(mapper=Base, manager=VersioningManager(), options={"native_versioning": True}, user_cls="User")


class User(Base):
    __tablename__ = "user_account"
    id: Mapped[int] = mapped_column(primary_key=True)


class Item(Versioned, Base):
    """Recorded by triggers, but for when it was last seen."""

    __tablename__ = "item"
    __versioned__ = {"exclude": ["seen"]}
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(50))
    count: Mapped[int] = mapped_column(default=0, server_default="0")
    seen: Mapped[int | None]
    tags: Mapped[list["Tag"]] = relationship(secondary="item_tag")


class Tag(Versioned, Base):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)


item_tag = Table(
    "item_tag",
    Base.metadata,
    Column("item_id", ForeignKey("item.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True),
)


class Place(Versioned, Base):
    """Names that must be quoted, a key of two columns, no ends of versions, and TRUNCATE refused."""

    __tablename__ = "The Place"
    __versioned__ = {"strategy": "subquery", "on_truncate": "refuse"}
    row: Mapped[str] = mapped_column("row %s", String(10), primary_key=True)
    number: Mapped[int] = mapped_column("no:", primary_key=True, autoincrement=False)
    guest: Mapped[str | None] = mapped_column("tx", String(50))


class Ledger(Versioned, Base):
    """A history that nobody changes."""

    __tablename__ = "ledger"
    __versioned__ = {"append_only": True}
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]


class Order(Versioned, Base):
    """Recorded by the sessions that change it."""

    __tablename__ = "order_"
    __versioned__ = {"native_versioning": False}
    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(50))

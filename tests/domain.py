"""The models that most tests speak about: a small magazine, and the oddities that mappings can have."""

import enum
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Computed,
    Date,
    DateTime,
    Dialect,
    Double,
    Enum,
    ForeignKey,
    Identity,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Text,
    Time,
    Uuid,
    func,
    text,
)
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.ext.mutable import MutableDict, MutableList
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, synonym
from sqlalchemy.types import TypeDecorator

from async_continuum import Versioned, VersioningManager, make_versioned
from tests.kit import mode


class Base(AsyncAttrs, DeclarativeBase):
    """Of every model here. Only its models are versioned by `manager`, so that other tests may have their own."""


manager = make_versioned(mapper=Base, manager=VersioningManager(), options=mode.options(), user_cls="User")


# -- the magazine ---------------------------------------------------------------------------------------------------


class User(Base):
    """Who writes. Keeps no history."""

    __tablename__ = "user_account"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)


class Article(Versioned, Base):
    """The one that most stories are about."""

    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    content: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    author_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id", ondelete="SET NULL"))

    author: Mapped[User | None] = relationship()
    comments: Mapped[list["Comment"]] = relationship(back_populates="article", cascade="all, delete-orphan")


class Comment(Versioned, Base):
    """Goes with its article."""

    __tablename__ = "comment"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(255))
    article_id: Mapped[int] = mapped_column(ForeignKey("article.id"))

    article: Mapped[Article] = relationship(back_populates="comments")


class Tag(Versioned, Base):
    """Stands alone."""

    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)


# -- keys -----------------------------------------------------------------------------------------------------------


class Prefixed(TypeDecorator[str]):
    """`"7"` in Python, `"no-7"` in the database."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else f"no-{value}"

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.removeprefix("no-")


class Seat(Versioned, Base):
    """A key of two columns, neither of them generated."""

    __tablename__ = "seat"
    hall: Mapped[str] = mapped_column(String(20), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    guest: Mapped[str | None] = mapped_column(String(50))


class Device(Versioned, Base):
    """A UUID for a key, made in Python."""

    __tablename__ = "device"
    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    label: Mapped[str] = mapped_column(String(50))


class Country(Versioned, Base):
    """A string for a key, given by the user."""

    __tablename__ = "country"
    code: Mapped[str] = mapped_column(String(10), primary_key=True)
    name: Mapped[str] = mapped_column(String(50))


class Badge(Versioned, Base):
    """A key whose Python value is not what is stored."""

    __tablename__ = "badge"
    code: Mapped[str] = mapped_column(Prefixed, primary_key=True)
    holder: Mapped[str | None] = mapped_column(String(50))


# -- names ----------------------------------------------------------------------------------------------------------


class Person(Versioned, Base):
    """Attributes that are called otherwise than their columns, two of them crosswise."""

    __tablename__ = "person"
    number: Mapped[int] = mapped_column("person_no", primary_key=True)
    given: Mapped[str] = mapped_column("family", String(50))
    family: Mapped[str] = mapped_column("given", String(50))
    born: Mapped[date | None] = mapped_column("dob", key="born_key")

    surname: Mapped[str] = synonym("family")


class Purchase(Versioned, Base):
    """Names that must be quoted: reserved, mixed case, and with signs that SQL and drivers read otherwise."""

    __tablename__ = "Order"
    id: Mapped[int] = mapped_column("Order Id", primary_key=True)
    select: Mapped[str] = mapped_column("select", String(50))
    mixed: Mapped[str | None] = mapped_column("MixedCase", String(50))
    percent: Mapped[int | None] = mapped_column("100%")
    spoken: Mapped[str | None] = mapped_column('say "hi"', String(50))
    accented: Mapped[str | None] = mapped_column("größe", String(50))
    punctuated: Mapped[str | None] = mapped_column("a.b:c(d)", String(50))


class Bookmark(Versioned, Base):
    """Attributes called like what a version can do. The model's win for data."""

    __tablename__ = "bookmark"
    id: Mapped[int] = mapped_column(primary_key=True)
    index: Mapped[int | None]
    next: Mapped[str | None] = mapped_column(String(50))
    previous: Mapped[str | None] = mapped_column(String(50))
    diff: Mapped[str | None] = mapped_column(String(50))
    revert: Mapped[str | None] = mapped_column(String(50))
    transaction: Mapped[str | None] = mapped_column(String(50))


# -- values ---------------------------------------------------------------------------------------------------------


class Cents(TypeDecorator[Decimal]):
    """An amount of money, stored as a whole number of cents."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value * 100)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value) / 100


class Account(Versioned, Base):
    """Values that the database makes, and columns that are not loaded unless they are asked for."""

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    owner: Mapped[str] = mapped_column(String(50))
    balance: Mapped[int] = mapped_column(default=0)
    doubled: Mapped[int] = mapped_column(Computed("balance * 2", persisted=True))
    state: Mapped[str] = mapped_column(String(20), server_default="open")
    revision: Mapped[int] = mapped_column(server_default="1", onupdate=text("revision + 1"))
    changed_at: Mapped[datetime | None] = mapped_column(onupdate=func.now())
    notes: Mapped[str | None] = mapped_column(Text, deferred=True)
    secret: Mapped[str | None] = mapped_column(Text, deferred=True, deferred_raiseload=True)


class Preferences(Versioned, Base):
    """Values that change in place, and one that Python sees otherwise than the database."""

    __tablename__ = "preferences"
    id: Mapped[int] = mapped_column(primary_key=True)
    options: Mapped[dict[str, Any]] = mapped_column(MutableDict.as_mutable(JSON), default=dict)
    history: Mapped[list[Any]] = mapped_column(MutableList.as_mutable(JSON), default=list)
    budget: Mapped[Decimal | None] = mapped_column(Cents)


class Color(enum.Enum):
    """The values of an enumerated column."""

    RED = "red"
    GREEN = "green"


class Specimen(Versioned, Base):
    """A column of every portable type."""

    __tablename__ = "specimen"
    id: Mapped[int] = mapped_column(primary_key=True)
    small: Mapped[int | None] = mapped_column(SmallInteger)
    whole: Mapped[int | None] = mapped_column(Integer)
    big: Mapped[int | None] = mapped_column(BigInteger)
    exact: Mapped[Decimal | None] = mapped_column(Numeric(12, 4))
    inexact: Mapped[float | None] = mapped_column(Double)
    flag: Mapped[bool | None] = mapped_column(Boolean)
    day: Mapped[date | None] = mapped_column(Date)
    hour: Mapped[time | None] = mapped_column(Time)
    moment: Mapped[datetime | None] = mapped_column(DateTime)
    aware: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    span: Mapped[timedelta | None] = mapped_column(Interval)
    data: Mapped[bytes | None] = mapped_column(LargeBinary)
    color: Mapped[Color | None] = mapped_column(Enum(Color, name="color"))
    token: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    document: Mapped[Any] = mapped_column(JSON)


# -- options --------------------------------------------------------------------------------------------------------


class Profile(Versioned, Base):
    """A model that does not tell everything to its history."""

    __versioned__ = {"exclude": ["last_seen", "password"]}
    __tablename__ = "profile"
    id: Mapped[int] = mapped_column(primary_key=True)
    nickname: Mapped[str] = mapped_column(String(50))
    last_seen: Mapped[datetime | None]
    password: Mapped[str] = mapped_column("passwd", String(50))


class Note(Base):
    """Versioned the Continuum way, without the mixin."""

    __versioned__ = {}
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str] = mapped_column(String(255))


class Price(Versioned, Base):
    """Keeps no end of a version: the next one's beginning is looked up."""

    __versioned__ = {"strategy": "subquery"}
    __tablename__ = "price"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[Decimal] = mapped_column(Numeric(12, 2))

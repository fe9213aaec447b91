"""Columns: types, defaults and names of every kind."""

import datetime
import decimal
import enum
import uuid
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
    CheckConstraint,
    Computed,
    Enum,
    Identity,
    Integer,
    LargeBinary,
    Numeric,
    PickleType,
    Sequence,
    String,
    Text,
    TypeDecorator,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from async_continuum import Versioned
from tests.mappings.entry import mapping

POSTGRESQL_ONLY = {"backends": ("postgresql",), "reason": "a type of PostgreSQL"}


def one_column(type_: Any, **arguments: Any) -> Any:
    """Declare a class with one column of a type."""

    def declare(base: Any) -> Any:
        class Thing(Versioned, base):
            __tablename__ = "thing"
            id: Mapped[int] = mapped_column(primary_key=True)
            value: Mapped[Any] = mapped_column(type_, nullable=True, **arguments)

        return Thing

    return declare


def of_type(name: str, type_: Any, first: Any, second: Any, **more: Any) -> None:
    """Put a type into the table."""
    mapping(name, new={"id": 1, "value": first}, change={"value": second}, **more)(one_column(type_))


class Colour(enum.Enum):
    """Shared between tables."""

    RED = "r"
    BLUE = "b"


class Shifted(TypeDecorator[int]):
    """A type that stores something else than it shows."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: object) -> int | None:
        return None if value is None else value + 100

    def process_result_value(self, value: int | None, dialect: object) -> int | None:
        return None if value is None else value - 100


class Lowered(UserDefinedType[str]):
    """A type like PostGIS's: wrapped in SQL functions on its way in and out."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "VARCHAR(40)"

    def bind_expression(self, bindvalue: Any) -> Any:
        return func.upper(bindvalue)

    def column_expression(self, column: Any) -> Any:
        return func.lower(column, type_=self)


of_type("LargeBinary", LargeBinary, b"\x00a", b"\x00b")
of_type("JSON, mutable", MutableDict.as_mutable(JSON()), {"a": [1]}, {"a": [1], "b": None})
of_type("Numeric", Numeric(10, 2), decimal.Decimal("1.00"), decimal.Decimal("1.50"))
of_type("Uuid", Uuid, uuid.UUID(int=1), uuid.UUID(int=2))
of_type("PickleType", PickleType, {"a": 1}, {"a": 2})
of_type("Text with a NUL-free emoji", Text, "naïve ☃", "\U0001f40d")
of_type("a TypeDecorator", Shifted, 1, 2)
of_type("a user type with SQL around it, as PostGIS has", Lowered, "point(1)", "point(2)")
of_type("Boolean with a CHECK", Boolean(create_constraint=True, name="value_is_boolean"), True, False)
of_type("ARRAY", ARRAY(Integer), [1, 2], [2, 1], **POSTGRESQL_ONLY)
of_type("JSONB", postgresql.JSONB, {"a": 1}, {"a": 2}, **POSTGRESQL_ONLY)
of_type("INET", postgresql.INET, "10.0.0.1", "10.0.0.2", **POSTGRESQL_ONLY)
of_type("TSVECTOR", postgresql.TSVECTOR, "'cat':1", "'dog':1", **POSTGRESQL_ONLY)
of_type("INTERVAL", postgresql.INTERVAL, datetime.timedelta(1), datetime.timedelta(2), **POSTGRESQL_ONLY)
of_type(
    "a range",
    postgresql.INT4RANGE,
    postgresql.Range(1, 5),
    postgresql.Range(1, 6),
    **POSTGRESQL_ONLY,
)


@mapping(
    "HSTORE",
    new={"id": 1, "value": {"a": "1", "b": None}},
    change={"value": {"a": "2"}},
    extension="hstore",
    **POSTGRESQL_ONLY,
)
def _(base):
    return one_column(postgresql.HSTORE())(base)


@mapping("a native Enum shared between tables", new={"id": 1, "colour": Colour.RED}, change={"colour": Colour.BLUE})
def _(base):
    shared = Enum(Colour, name="colour", metadata=base.metadata)

    class First(Versioned, base):
        __tablename__ = "first"
        id: Mapped[int] = mapped_column(primary_key=True)
        colour: Mapped[Colour] = mapped_column(shared)

    class Second(Versioned, base):
        __tablename__ = "second"
        id: Mapped[int] = mapped_column(primary_key=True)
        colour: Mapped[Colour] = mapped_column(shared)

    return Second


@mapping("an Enum with a CHECK of its own name", new={"id": 1, "colour": "red"}, change={"colour": "blue"})
def _(base):
    class Thing(Versioned, base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        colour: Mapped[str] = mapped_column(
            Enum("red", "blue", native_enum=False, create_constraint=True, name="is_colour")
        )
        __table_args__ = (CheckConstraint("id > 0", name="is_positive"),)

    return Thing


@mapping("Computed", new={"id": 1, "value": 1}, change={"value": 2})
def _(base):
    class Thing(Versioned, base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        value: Mapped[int]
        double: Mapped[int] = mapped_column(Computed("value * 2", persisted=True))

    return Thing


@mapping("Identity(always=True)", new={"value": 1}, change={"value": 2}, returns=False)
def _(base):
    class Thing(Versioned, base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
        value: Mapped[int]

    return Thing


@mapping("Sequence", new={"value": 1}, change={"value": 2}, returns=False)
def _(base):
    class Thing(Versioned, base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(Sequence("thing_numbers"), primary_key=True)
        value: Mapped[int]

    return Thing


@mapping("server defaults", new={"id": 1}, change={"note": "b"})
def _(base):
    class Thing(Versioned, base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        note: Mapped[str] = mapped_column(server_default="a")
        made: Mapped[datetime.datetime] = mapped_column(server_default=func.now())
        number: Mapped[int] = mapped_column(server_default=text("7"))

    return Thing


@mapping("a column with a key", new={"id": 1, "value": 1}, change={"value": 2})
def _(base):
    class Thing(Versioned, base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column("identifier", key="ident", primary_key=True)
        value: Mapped[int] = mapped_column("amount", key="worth")

    return Thing


@mapping("reserved words and mixed case", new={"id": 1, "select": "a"}, change={"select": "b"})
def _(base):
    class Thing(Versioned, base):
        __tablename__ = "Order"
        id: Mapped[int] = mapped_column("From", primary_key=True)
        select: Mapped[str] = mapped_column("select")
        mixed: Mapped[str | None] = mapped_column("MixedCase")

    return Thing


@mapping("names that are not ASCII", new={"id": 1, "größe": 1}, change={"größe": 2})
def _(base):
    class Straße(Versioned, base):
        __tablename__ = "straße_雪"
        id: Mapped[int] = mapped_column(primary_key=True)
        größe: Mapped[int]
        snow: Mapped[str | None] = mapped_column("雪", String(20))

    return Straße


@mapping("column names with spaces and signs", new={"id": 1, "value": 1}, change={"value": 2})
def _(base):
    class Thing(Versioned, base):
        __tablename__ = "a thing%of(odd) name"
        id: Mapped[int] = mapped_column("the key", primary_key=True)
        value: Mapped[int] = mapped_column('100 % "real"')

    return Thing


@mapping("300 columns", new={"id": 1, "c7": 1}, change={"c299": 2})
def _(base):
    body = {f"c{number}": mapped_column(Integer, nullable=True) for number in range(300)}
    return type(
        "Wide",
        (Versioned, base),
        {
            "__module__": __name__,
            "__tablename__": "wide",
            "id": mapped_column(Integer, primary_key=True),
            **body,
        },
    )

"""A column of any type is built into history and lives through insert, update and delete."""

import datetime as dt
import enum
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Interface
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import mapped_column
from sqlalchemy.types import TypeDecorator, UserDefinedType

from async_continuum import Operation, Versioned, verify, version_class, versions_of
from tests.kit.databases import Databases
from tests.kit.own import Own


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Point(UserDefinedType[str]):
    """A type that PostgreSQL knows and cannot compare with `=`."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "POINT"

    def bind_expression(self, bindvalue: Any) -> Any:
        return sa.cast(sa.type_coerce(bindvalue, sa.Text), Point)

    def column_expression(self, column: Any) -> Any:
        return sa.cast(sa.type_coerce(column, sa.types.NullType()), sa.Text)


class Raw(UserDefinedType[str]):
    """Any type of the database by its name, written and read as text."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name

    def bind_expression(self, bindvalue: Any) -> Any:
        return sa.cast(sa.type_coerce(bindvalue, sa.Text), self)

    def column_expression(self, column: Any) -> Any:
        return sa.cast(sa.type_coerce(column, sa.types.NullType()), sa.Text)


class Reversed(TypeDecorator[str]):
    impl = sa.String(20)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return value and value[::-1]

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return value and value[::-1]


class Hexed(TypeDecorator[str]):
    """Written and read through functions of the database."""

    impl = sa.String(40)
    cache_ok = True

    def bind_expression(self, bindvalue: Any) -> Any:
        return sa.func.upper(bindvalue, type_=self)

    def column_expression(self, column: Any) -> Any:
        return sa.func.lower(column, type_=self)


DAY, NOW = dt.date(2024, 2, 29), dt.datetime(2024, 2, 29, 23, 59, 59, 123456)
AWARE = NOW.replace(tzinfo=dt.UTC)
SOME, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)

# Type, first value, second value.
PORTABLE: dict[str, tuple[Any, Any, Any]] = {
    "SmallInteger": (sa.SmallInteger(), 1, -2),
    "Integer": (sa.Integer(), 0, 2**31 - 1),
    "BigInteger": (sa.BigInteger(), 1, 2**62),
    "Numeric": (sa.Numeric(12, 4), Decimal("1.0000"), Decimal("-1.2345")),
    "Numeric float": (sa.Numeric(12, 4, asdecimal=False), 1.5, 2.5),
    "Float": (sa.Float(), 1.5, 0.1),
    "Double": (sa.Double(), 0.1, 1e300),
    "Boolean": (sa.Boolean(), True, False),
    "Boolean checked": (sa.Boolean(create_constraint=True, name="is_bool"), False, True),
    "String": (sa.String(50), "ann", "Ann"),
    "String unsized": (sa.String(), "", " "),
    "String collated": (sa.String(50, collation=None), "a", "b"),
    "Text": (sa.Text(), "x" * 10_000, "y\n\t'\"\\%s:b"),
    "Unicode": (sa.Unicode(50), "größe", "grosse"),
    "UnicodeText": (sa.UnicodeText(), "\U0001f600", "漢字"),
    "LargeBinary": (sa.LargeBinary(), b"\x00\xff", b""),
    "Date": (sa.Date(), DAY, dt.date.min),
    "Time": (sa.Time(), dt.time(23, 59, 59, 999999), dt.time.min),
    "DateTime": (sa.DateTime(), NOW, NOW.replace(microsecond=0)),
    "Interval": (sa.Interval(), dt.timedelta(days=3, microseconds=1), dt.timedelta(0)),
    "Enum": (sa.Enum(Colour, name="colour"), Colour.RED, Colour.BLUE),
    "Enum strings": (sa.Enum("a", "b", name="letter"), "a", "b"),
    "Enum checked": (sa.Enum("a", "b", native_enum=False, create_constraint=True, name="ck"), "a", "b"),
    "Enum by value": (
        sa.Enum(Colour, values_callable=lambda members: [member.value for member in members], name="by_value"),
        Colour.BLUE,
        Colour.RED,
    ),
    "Uuid": (sa.Uuid(), SOME, OTHER),
    "Uuid text": (sa.Uuid(native_uuid=False, as_uuid=False), str(SOME), str(OTHER)),
    "JSON": (sa.JSON(), {"b": 1, "a": [None, "ä"]}, []),
    "JSON none_as_null": (sa.JSON(none_as_null=True), {"a": 1}, None),
    "JSON null": (sa.JSON(), {"a": 1}, sa.JSON.NULL),
    "PickleType": (sa.PickleType(), {"a": (1, 2)}, {"a": (1, 3)}),
    "TypeDecorator": (Reversed(), "abc", "abd"),
    "TypeDecorator in SQL": (Hexed(), "abc", "abd"),
    "with_variant": (sa.Integer().with_variant(sa.BigInteger(), "postgresql"), 1, 2),
}
POSTGRESQL: dict[str, tuple[Any, Any, Any]] = {
    "DateTime aware": (sa.DateTime(timezone=True), AWARE, AWARE.replace(year=2025, day=1)),
    "TIMESTAMP precise": (pg.TIMESTAMP(precision=3), NOW.replace(microsecond=0), NOW.replace(microsecond=5000)),
    "TIMETZ": (pg.TIME(timezone=True), dt.time(1, 2, tzinfo=dt.UTC), dt.time(3, tzinfo=dt.UTC)),
    "INTERVAL": (pg.INTERVAL(), dt.timedelta(1), dt.timedelta(2)),
    "UUID": (pg.UUID(), SOME, OTHER),
    "BYTEA": (pg.BYTEA(), b"\x00", b"\x01"),
    "REAL": (pg.REAL(), 1.5, 2.5),
    "DOUBLE_PRECISION": (pg.DOUBLE_PRECISION(), 0.1, 0.2),
    "NUMERIC": (pg.NUMERIC(), Decimal("1.0"), Decimal("1.01")),
    "JSON": (pg.JSON(), {"a": 1}, {"a": 2}),
    "JSONB": (pg.JSONB(), {"a": 1}, [1]),
    "JSONB none_as_null": (pg.JSONB(none_as_null=True), {"a": 1}, None),
    "ARRAY": (pg.ARRAY(sa.Integer), [1, 2], [2, None]),
    "ARRAY nested": (pg.ARRAY(sa.Text, dimensions=2), [["a"], ["b"]], []),
    "ARRAY of enum": (pg.ARRAY(sa.Enum("a", "b", name="in_array")), ["a"], ["b", "a"]),
    "ARRAY of UUID": (sa.ARRAY(sa.Uuid), [SOME], [OTHER]),
    "ENUM": (pg.ENUM("a", "b", name="pg_letter"), "a", "b"),
    "ENUM class": (pg.ENUM(Colour, name="pg_colour"), Colour.RED, Colour.BLUE),
    "INET": (pg.INET(), IPv4Address("10.0.0.1"), IPv6Interface("::2/64")),
    "CIDR": (pg.CIDR(), IPv4Network("10.0.0.0/8"), IPv4Network("10.0.0.0/16")),
    "MACADDR": (pg.MACADDR(), "08:00:2b:01:02:03", "08:00:2b:01:02:04"),
    "MACADDR8": (pg.MACADDR8(), "08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03:04:06"),
    "INT4RANGE": (pg.INT4RANGE(), pg.Range(1, 5), pg.Range(2, None)),
    "INT8RANGE": (pg.INT8RANGE(), pg.Range(1, 5), pg.Range(empty=True)),
    "NUMRANGE": (pg.NUMRANGE(), pg.Range(Decimal(1), Decimal(2)), pg.Range(Decimal(1), Decimal(3))),
    "DATERANGE": (pg.DATERANGE(), pg.Range(DAY, None), pg.Range(None, DAY)),
    "TSRANGE": (pg.TSRANGE(), pg.Range(NOW, None), pg.Range(None, NOW)),
    "TSTZRANGE": (pg.TSTZRANGE(), pg.Range(AWARE, None), pg.Range(None, AWARE)),
    "INT4MULTIRANGE": (pg.INT4MULTIRANGE(), [pg.Range(1, 5)], [pg.Range(1, 5), pg.Range(7, 9)]),
    "TSTZMULTIRANGE": (pg.TSTZMULTIRANGE(), [pg.Range(AWARE, None)], []),
    "TSVECTOR": (pg.TSVECTOR(), "'cat':1", "'dog':1"),
    "TSQUERY": (Raw("tsquery"), "'cat'", "'dog'"),
    "BIT": (Raw("bit(3)"), "101", "111"),
    "BIT VARYING": (Raw("bit varying(5)"), "101", "1"),
    "MONEY": (Raw("money"), "$1.00", "$2.00"),
    "OID": (pg.OID(), 1, 2),
    "REGCLASS": (Raw("regclass"), "pg_class", "pg_type"),
    "POINT": (Point(), "(1,2)", "(1,3)"),
    "POLYGON": (Raw("polygon"), "((0,0),(1,1),(1,0))", "((0,0),(1,1),(2,0))"),
    "BOX": (Raw("box"), "(1,1),(0,0)", "(2,2),(0,0)"),
    "JSONPATH": (Raw("jsonpath"), '$."a"', '$."b"'),
    "PG_LSN": (Raw("pg_lsn"), "0/1", "0/2"),
    "NAME": (Raw("name"), "a", "b"),
    "CHAR": (sa.CHAR(3), "abc", "abd"),
    "collated": (sa.String(50, collation="C"), "a", "A"),
}
EXTENSIONS: dict[str, tuple[str, Any, Any, Any]] = {
    "HSTORE": ("hstore", pg.HSTORE(), {"a": "1"}, {"a": None}),
    "CITEXT": ("citext", pg.CITEXT(), "ann", "Ann"),
}
SQLITE: dict[str, tuple[Any, Any, Any]] = {
    "NOCASE": (sa.String(50, collation="NOCASE"), "ann", "Ann"),
    "RTRIM": (sa.String(50, collation="RTRIM"), "a", "a "),
}


@dataclass
class Life:
    """One model with one column of a type, and what becomes of it."""

    database: Databases
    own: Own

    async def __call__(self, type_: Any, first: Any, second: Any, strategy: str) -> None:
        Base, manager = self.own(options={"strategy": strategy})
        body = {
            "__module__": __name__,
            "__tablename__": "thing",
            "id": mapped_column(sa.Integer, primary_key=True),
            "value": mapped_column(type_, nullable=True),
        }
        Thing: Any = type("Thing", (Versioned, Base), body)
        sessions = await self.database(Base, manager)
        async with sessions() as session:
            session.add_all([Thing(id=1, value=first), Thing(id=2)])
            await session.commit()
            for value in (second, first, None):
                (await session.get_one(Thing, 1)).value = value
                (await session.get_one(Thing, 2)).value = value
                await session.commit()
            await session.delete(await session.get_one(Thing, 2))
            await session.commit()
            # In several flushes of one transaction: there and back is nothing.
            for value in (first, second, None):
                (await session.get_one(Thing, 1)).value = value
                await session.flush()
            await session.commit()
        async with sessions() as session:
            versions = await versions_of(session, Thing, 1)
            told = [first, second, first, None] if second is not None else [first, None, first, None]
            assert [version.value for version in versions] == [None if v is sa.JSON.NULL else v for v in told]
            gone = await versions_of(session, Thing, 2).last()
            assert gone is not None
            assert (gone.operation_type, gone.value) == (Operation.DELETE, None)
            assert await verify(session, Thing) == []
            await versions[1].revert(session)
            await session.commit()
        async with sessions() as session:
            live = await session.get_one(Thing, 1)
            assert live.value == (None if second is sa.JSON.NULL else second)


@pytest.fixture
def life(own: Own, database: Databases) -> Life:
    return Life(database, own)


@pytest.mark.parametrize("strategy", ["validity", "subquery"])
@pytest.mark.parametrize("case", PORTABLE)
async def test_a_portable_type(life: Life, case: str, strategy: str) -> None:
    await life(*PORTABLE[case], strategy)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize("strategy", ["validity", "subquery"])
@pytest.mark.parametrize("case", POSTGRESQL)
async def test_a_type_of_postgresql(life: Life, case: str, strategy: str) -> None:
    await life(*POSTGRESQL[case], strategy)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize("case", EXTENSIONS)
async def test_a_type_of_an_extension(life: Life, engine: AsyncEngine, case: str) -> None:
    extension, *values = EXTENSIONS[case]
    async with engine.begin() as connection:
        known = sa.text("SELECT count(*) FROM pg_available_extensions WHERE name = :name")
        if not await connection.scalar(known, {"name": extension}):
            pytest.skip(f"this PostgreSQL has no extension {extension}")
        await connection.execute(sa.text(f"CREATE EXTENSION {extension}"))
    await life(*values, "validity")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("case", SQLITE)
async def test_a_type_of_sqlite(life: Life, case: str) -> None:
    await life(*SQLITE[case], "validity")


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_xml_of_postgresql(life: Life, engine: AsyncEngine) -> None:
    try:
        async with engine.connect() as connection:
            await connection.execute(sa.text("SELECT xml '<a/>'"))
    except DBAPIError:
        pytest.skip("this PostgreSQL was built without libxml")
    await life(Raw("xml"), "<a/>", "<a />", "validity")


def _domain() -> Any:
    return pg.DOMAIN("positive", sa.Integer, check="VALUE > 0")


MADE_BY_THE_DATABASE: dict[str, Callable[[], tuple[Any, ...]]] = {
    "server_default": lambda: (sa.Integer, {"server_default": "7"}),
    "server_default expression": lambda: (sa.Integer, {"server_default": sa.text("(3 + 4)")}),
    "default": lambda: (sa.Integer, {"default": 7}),
    "default expression": lambda: (sa.Integer, {"default": sa.text("3 + 4")}),
    "Computed": lambda: (sa.Integer, sa.Computed("seven + id - 1", persisted=True)),
    "FetchedValue": lambda: (sa.Integer, {"server_default": "7", "server_onupdate": sa.FetchedValue()}),
    "onupdate": lambda: (sa.Integer, {"server_default": "7", "onupdate": sa.text("made + 1")}),
}


@pytest.mark.parametrize("case", MADE_BY_THE_DATABASE)
async def test_what_the_database_makes_is_kept_as_stored(own: Own, database: Databases, case: str) -> None:
    type_, *rest = MADE_BY_THE_DATABASE[case]()
    named = rest.pop() if isinstance(rest[-1], dict) else {}
    Base, manager = own()
    body = {
        "__module__": __name__,
        "__tablename__": "thing",
        "id": mapped_column(sa.Integer, primary_key=True),
        "seven": mapped_column(sa.Integer, default=7),
        "made": mapped_column(type_, *rest, **named),
    }
    Thing: Any = type("Thing", (Versioned, Base), body)
    sessions = await database(Base, manager)
    async with sessions() as session:
        thing = Thing()
        session.add(thing)
        await session.commit()
        thing.seven = 8
        await session.commit()
        await session.refresh(thing)
        made = thing.made
        await session.delete(thing)
        await session.commit()
        first, second, third = await versions_of(session, Thing, 1)
        assert (first.made, second.made, third.made) == (7, made, made)


KEYS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "autoincrement": lambda: (),
    "Identity always": lambda: (sa.Identity(always=True, start=1),),
    "Identity by default": lambda: (sa.Identity(),),
    "Sequence": lambda: (sa.Sequence("thing_numbers", start=1),),
    "Sequence on the server": lambda: (sa.Sequence("thing_numbers"), "server"),
}


@pytest.mark.parametrize("case", KEYS)
async def test_a_key_that_the_database_makes(own: Own, database: Databases, case: str) -> None:
    Base, manager = own()
    made = KEYS[case]()
    named: dict[str, Any] = {}
    if made and made[-1] == "server":
        made = made[:-1]
        if database.place.backend == "postgresql":
            named = {"server_default": made[0].next_value()}
    body = {
        "__module__": __name__,
        "__tablename__": "thing",
        "id": mapped_column(sa.Integer, *made, primary_key=True, **named),
        "name": mapped_column(sa.String(50)),
    }
    Thing: Any = type("Thing", (Versioned, Base), body)
    sessions = await database(Base, manager)
    async with sessions() as session:
        things = [Thing(name=str(number)) for number in range(5)]
        session.add_all(things)
        await session.commit()
        await session.delete(await session.get_one(Thing, 3))
        await session.commit()
        ThingVersion = version_class(Thing)
        kept = await session.execute(
            sa.select(ThingVersion.id, ThingVersion.name).where(ThingVersion.operation_type == Operation.INSERT)
        )
        assert sorted(kept.all()) == [(number + 1, str(number)) for number in range(5)]
        third = await versions_of(session, Thing, 3).first()
        assert third is not None
        if case != "Identity always" or database.place.backend == "sqlite":
            await third.revert(session)
            await session.commit()
            assert (await session.get_one(Thing, 3)).name == "2"


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_domain_of_postgresql(life: Life) -> None:
    await life(_domain(), 1, 2, "validity")


def test_a_type_of_the_same_name_is_created_once(own: Own) -> None:
    Base, _ = own()
    colour = sa.Enum(Colour, name="colour", create_constraint=True, native_enum=False)
    body = {
        "__module__": __name__,
        "__tablename__": "thing",
        "id": mapped_column(sa.Integer, primary_key=True),
        "colour": mapped_column(colour),
    }
    type("Thing", (Versioned, Base), body)
    made: list[str] = []
    engine = sa.create_mock_engine("postgresql://", lambda ddl, *_: made.append(str(ddl.compile(dialect=pg.dialect()))))
    Base.metadata.create_all(engine, checkfirst=False)
    assert sum("CHECK" in ddl for ddl in made) == 1

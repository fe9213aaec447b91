"""A change is a change of what is stored, whatever a collation or a type calls equal."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import DDL, JSON, Numeric, String, event, literal_column, text
from sqlalchemy.dialects.postgresql import ARRAY, CITEXT, JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, defer, mapped_column
from sqlalchemy.types import UserDefinedType

from async_continuum import Versioned, VersioningManager, make_versioned
from tests.kit import mode
from tests.kit.databases import Databases
from tests.kit.history import count_transactions, told

Sessions = async_sessionmaker[AsyncSession]


class Base(DeclarativeBase):
    pass


manager = make_versioned(mapper=Base, manager=VersioningManager(), options=mode.options(), user_cls=None)


class Verbatim(UserDefinedType[str]):
    """A type of the database that SQLAlchemy does not know, given and read as it is."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name


class Name(Versioned, Base):
    """Compared without regard to case by every `=` of the database."""

    __tablename__ = "name"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(
        String(20, collation="caseless").with_variant(String(20, collation="NOCASE"), "sqlite")
    )
    loose: Mapped[Any] = mapped_column(Verbatim("blob").with_variant(Verbatim("text"), "postgresql"), nullable=True)


event.listen(
    Base.metadata,
    "before_create",
    DDL(
        "CREATE COLLATION IF NOT EXISTS caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
    ).execute_if(dialect="postgresql"),
)


class PostgresqlBase(DeclarativeBase):
    pass


postgresql_manager = make_versioned(
    mapper=PostgresqlBase, manager=VersioningManager(), options=mode.options(), user_cls=None
)


class Odd(Versioned, PostgresqlBase):
    __tablename__ = "odd"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[Decimal | None] = mapped_column(Numeric)
    document: Mapped[Any] = mapped_column(JSON, nullable=True)
    binary: Mapped[Any] = mapped_column(JSONB, nullable=True)
    markup: Mapped[Any] = mapped_column(Verbatim("xml"), nullable=True)
    place: Mapped[Any] = mapped_column(Verbatim("point"), nullable=True)
    numbers: Mapped[Any] = mapped_column(ARRAY(Numeric), nullable=True)
    span: Mapped[Any] = mapped_column(Verbatim("interval"), nullable=True)


class CitextBase(DeclarativeBase):
    pass


citext_manager = make_versioned(mapper=CitextBase, manager=VersioningManager(), options=mode.options(), user_cls=None)


class Nickname(Versioned, CitextBase):
    __tablename__ = "nickname"
    key: Mapped[str] = mapped_column(CITEXT, primary_key=True)
    name: Mapped[str] = mapped_column(CITEXT)


async def test_a_change_of_case_is_a_change(database: Databases) -> None:
    try:
        sessions = await database(Base, manager)
    except DBAPIError as error:
        pytest.skip(f"this server has no such collation: {error.orig}")
    async with sessions() as session:
        session.add(Name(id=1, name="ann"))
        await session.commit()
        row = await session.get_one(Name, 1)
        row.name = "Ann"
        await session.commit()
        row.name = "ANN"
        await session.flush()
        row.name = "Ann"
        await session.commit()

    assert await told(sessions, Name, 1, "name") == [("INSERT", "ann"), ("UPDATE", "Ann")]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("old", "new"), [("1", "1.0"), ("'1'", "1"), ("x'61'", "'a'"), ("1e300", "'1e300'")])
async def test_values_of_two_types_are_stored_differently_on_sqlite(
    database: Databases, engine: AsyncEngine, old: str, new: str
) -> None:
    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add(Name(id=1, name="a", loose=literal_column(old)))
        await session.commit()
        row = await session.get_one(Name, 1, options=[defer(Name.loose)])
        row.loose = literal_column(old)  # the same again
        await session.commit()
        row.loose = literal_column(new)
        await session.commit()

    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT loose FROM name_version ORDER BY transaction_id"))
        stored = [await connection.scalar(text(f"SELECT {value}")) for value in (old, new)]
        assert [(type(value), value) for (value,) in rows] == [(type(value), value) for value in stored]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("column", "old", "new"),
    [
        ("number", "1.0", "1.00"),
        ("number", "0", "NULL"),
        ("document", "'{\"a\": 1}'::json", "'{\"a\":1}'::json"),
        ("document", "'null'::json", "NULL"),
        ("binary", "'null'::jsonb", "NULL"),
        ("binary", "'{\"a\": 1}'::jsonb", "'{\"a\": 1.0}'::jsonb"),
        ("markup", "'<a/>'::xml", "'<a></a>'::xml"),
        ("place", "point(1, 2)", "point(1, 3)"),
        ("place", "point(1, 2)", "point(1, 2.00000000001)"),
        ("numbers", "ARRAY[1.0]", "ARRAY[1.00]"),
        ("span", "interval '1 day'", "interval '24 hours'"),
    ],
)
async def test_types_without_an_equality_of_their_own(
    database: Databases, engine: AsyncEngine, column: str, old: str, new: str
) -> None:
    sessions = await database(PostgresqlBase, postgresql_manager)
    async with sessions() as session:
        try:
            session.add(Odd(id=1, **{column: literal_column(old)}))
            await session.commit()
        except DBAPIError as error:
            pytest.skip(f"this server was built without it: {error.orig}")
        row = await session.get_one(Odd, 1)
        setattr(row, column, literal_column(old))  # the same again
        await session.commit()
        setattr(row, column, literal_column(new))
        await session.commit()
        setattr(row, column, literal_column(old))
        await session.flush()
        setattr(row, column, literal_column(new))
        await session.commit()

    async with engine.connect() as connection:
        rows = await connection.exec_driver_sql(
            f'SELECT operation_type, "{column}"::text FROM odd_version ORDER BY transaction_id'
        )
        (stored,) = await connection.exec_driver_sql(f"SELECT ({old})::text, ({new})::text")
        assert [tuple(row) for row in rows] == [(0, stored[0]), (1, stored[1])]
    assert await count_transactions(sessions, Odd) == 2


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_citext(database: Databases, engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        there = await connection.scalar(text("SELECT count(*) FROM pg_available_extensions WHERE name = 'citext'"))
        if not there:
            pytest.skip("this server has no citext")
        await connection.execute(text("CREATE EXTENSION citext"))
        await connection.commit()
    sessions = await database(CitextBase, citext_manager)
    async with sessions() as session:
        session.add(Nickname(key="a", name="ann"))
        await session.commit()
        row = await session.get_one(Nickname, "a")
        row.name = "Ann"
        await session.commit()
        # SQLAlchemy itself reads a primary key before it is set.
        await session.refresh(row)
        row.key = "A"
        await session.commit()

    assert await told(sessions, Nickname, "a", "key", "name") == [
        ("INSERT", "a", "ann"),
        ("UPDATE", "a", "Ann"),
        ("UPDATE", "A", "Ann"),
    ]

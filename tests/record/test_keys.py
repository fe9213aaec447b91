"""A key may be anything, and may change: the past stays under the key that the row had."""

import uuid
from typing import Any

import pytest
from sqlalchemy import (
    VARBINARY,
    Float,
    Integer,
    LargeBinary,
    String,
    TypeDecorator,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import async_continuum as ac
from async_continuum import Versioned, VersioningManager, make_versioned
from tests.domain import Badge, Country, Device, Price, Seat, Tag
from tests.kit import mode
from tests.kit.databases import Databases
from tests.kit.history import count_transactions, told
from tests.record.conftest import Between

Sessions = async_sessionmaker[AsyncSession]


class Base(DeclarativeBase):
    pass


manager = make_versioned(mapper=Base, manager=VersioningManager(), options=mode.options(), user_cls=None)


# MariaDB takes no BLOB for a key.
Binary = LargeBinary(20).with_variant(VARBINARY(20), "mariadb", "mysql")


class Blob(Versioned, Base):
    __tablename__ = "blob"
    key: Mapped[bytes] = mapped_column(Binary, primary_key=True)
    part: Mapped[str] = mapped_column(String(20), primary_key=True)
    value: Mapped[int]


class Plain(Versioned, Base):
    __tablename__ = "plain"
    key: Mapped[bytes] = mapped_column(Binary, primary_key=True)
    value: Mapped[int]


class Word(Versioned, Base):
    __tablename__ = "word"
    key: Mapped[str] = mapped_column(
        String(20).with_variant(String(20, collation="NOCASE"), "sqlite"), primary_key=True
    )
    value: Mapped[int]


class Measure(Versioned, Base):
    __tablename__ = "measure"
    key: Mapped[float] = mapped_column(Float(53), primary_key=True, autoincrement=False)
    value: Mapped[int]


class Lowered(TypeDecorator[str]):
    """Written and read through functions of the database."""

    impl = String(40)
    cache_ok = True

    def bind_expression(self, bindvalue: Any) -> Any:
        return func.lower(bindvalue)

    def column_expression(self, column: Any) -> Any:
        return func.upper(column)


class Account(Versioned, Base):
    __tablename__ = "account"
    email: Mapped[str] = mapped_column(Lowered, primary_key=True)
    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int]


class Stubborn(Versioned, Base):
    __tablename__ = "stubborn"
    __mapper_args__ = {"batch": False}
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    value: Mapped[int]


KEYS: list[tuple[type, Any, Any, str, Any]] = [
    (Tag, {"id": 1}, {"id": 2}, "name", ["x", "y"]),
    (Price, {"id": 1}, {"id": 2}, "amount", [1, 2]),
    (Seat, {"hall": "a", "number": 1}, {"hall": "a", "number": 2}, "guest", ["x", "y"]),
    (Seat, {"hall": 'q"[]\\', "number": -1}, {"hall": "größe 日本 🎟", "number": 2**31 - 1}, "guest", ["x", "y"]),
    (Device, {"id": uuid.UUID(int=1)}, {"id": uuid.UUID(int=2**128 - 1)}, "label", ["x", "y"]),
    (Country, {"code": ""}, {"code": "' OR 1"}, "name", ["x", "y"]),
    (Badge, {"code": "7"}, {"code": "no-8"}, "holder", ["x", "y"]),
]
OWN_KEYS: list[tuple[type, Any, Any, str, Any]] = [
    (Blob, {"key": b"\0\xff", "part": "a"}, {"key": b"", "part": "b"}, "value", [1, 2]),
    (Plain, {"key": b"\0\xff"}, {"key": b"ab"}, "value", [1, 2]),
    (Measure, {"key": 0.1}, {"key": -1e300}, "value", [1, 2]),
    (Stubborn, {"id": 1}, {"id": 2}, "value", [1, 2]),
]


def identity(key: dict[str, Any]) -> Any:
    values = tuple(key.values())
    return values[0] if len(values) == 1 else values


async def every_life_of_a_key(
    sessions: Sessions, model: Any, old: dict[str, Any], new: dict[str, Any], name: str, values: Any
) -> None:
    one, two = values
    async with sessions() as session:
        session.add(model(**old, **{name: one}))
        await session.commit()
        row = await session.get_one(model, identity(old))
        setattr(row, name, two)
        await session.commit()
        await session.refresh(row)
        for attribute, value in new.items():
            setattr(row, attribute, value)
        await session.commit()
        await session.refresh(row)
        await session.delete(row)
        await session.commit()
        session.add(model(**old, **{name: two}))
        await session.commit()

    assert await told(sessions, model, identity(old), name) == [
        ("INSERT", one),
        ("UPDATE", two),
        ("DELETE", two),
        ("INSERT", two),
    ]
    assert await told(sessions, model, identity(new), name) == [("INSERT", two), ("DELETE", two)]


@pytest.mark.parametrize(("model", "old", "new", "name", "values"), KEYS)
async def test_keys_of_every_kind(sessions: Sessions, model: Any, old: Any, new: Any, name: str, values: Any) -> None:
    await every_life_of_a_key(sessions, model, old, new, name, values)


@pytest.mark.parametrize(("model", "old", "new", "name", "values"), OWN_KEYS)
async def test_keys_of_odd_kinds(database: Databases, model: Any, old: Any, new: Any, name: str, values: Any) -> None:
    await every_life_of_a_key(await database(Base, manager), model, old, new, name, values)


async def moved_by_a_statement(
    sessions: Sessions, model: Any, old: dict[str, Any], new: dict[str, Any], name: str, value: Any, *, several: bool
) -> None:
    async with sessions() as session:
        session.add(model(**old, **{name: value}))
        await session.commit()
        table = model.__table__
        move = update(table).where(*(table.c[each] == bindparam(f"old_{each}") for each in old))
        if several:
            given = {f"old_{each}": old[each] for each in old} | {f"new_{each}": new[each] for each in new}
            await session.execute(move.values({each: bindparam(f"new_{each}") for each in new}), [given, given])
        else:
            await session.execute(update(model).values(**new))
        await session.commit()
        assert await ac.verify(session, model) == []

    assert await told(sessions, model, identity(old), name) == [("INSERT", value), ("DELETE", value)]
    assert await told(sessions, model, identity(new), name) == [("INSERT", value)]


several = pytest.mark.parametrize("several", [False, True], ids=["one set", "two sets"])


@several
@pytest.mark.parametrize(("model", "old", "new", "name", "values"), KEYS)
async def test_a_statement_moves_keys_of_every_kind(
    sessions: Sessions, model: Any, old: Any, new: Any, name: str, values: Any, several: bool
) -> None:
    await moved_by_a_statement(sessions, model, old, new, name, values[0], several=several)


WRAPPED = (Account, {"email": "A@X.ORG", "tenant": 1}, {"email": "B@X.ORG", "tenant": 1}, "value", [1, 2])


@several
@pytest.mark.parametrize(("model", "old", "new", "name", "values"), [*OWN_KEYS, WRAPPED])
async def test_a_statement_moves_keys_of_odd_kinds(
    database: Databases, model: Any, old: Any, new: Any, name: str, values: Any, several: bool
) -> None:
    own = await database(Base, manager)
    await moved_by_a_statement(own, model, old, new, name, values[0], several=several)


@pytest.mark.parametrize("number", [2, 5, 300])
async def test_keys_that_are_wrapped_in_sql_are_found_whatever_their_number(database: Databases, number: int) -> None:
    sessions = await database(Base, manager)
    everybody = range(number)
    async with sessions() as session:
        session.add_all([Account(email=f"{n}@X.org", tenant=n % 2, value=0) for n in everybody])
        await session.commit()
        for account in await session.scalars(select(Account)):
            account.value = 1
        await session.commit()
        await session.execute(update(Account).values(value=2))
        await session.commit()
        changed = [{"email": f"{n}@X.org", "tenant": n % 2, "value": 3} for n in everybody]
        await session.execute(update(Account), changed)
        await session.execute(delete(Account).where(Account.tenant == 1))
        await session.commit()
        versions = [await ac.versions_of(session, Account, (f"{n}@X.org", n % 2)) for n in everybody[::10]]
        assert await ac.vacuum(session, Account) == 0
        assert await ac.backfill(session, Account) == 0
        assert await ac.verify(session, Account) == []
    for n, found in zip(everybody[::10], versions, strict=True):
        last = ac.Operation.DELETE if n % 2 else ac.Operation.UPDATE
        assert [version.value for version in found] == ([0, 1, 2, 2] if n % 2 else [0, 1, 2, 3])
        assert found[-1].operation_type is last


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_nul_in_a_string_is_part_of_the_key(sessions: Sessions) -> None:
    # PostgreSQL refuses such strings itself.
    async with sessions() as session:
        for code, name in {"a\0b": "one", "a": "two", "a\0c": "3"}.items():
            session.add(Country(code=code, name=name))
        await session.commit()
        country = await session.get_one(Country, "a\0b")
        country.name = "changed"
        await session.delete(await session.get_one(Country, "a\0c"))
        await session.commit()

    assert await told(sessions, Country, "a\0b", "name") == [("INSERT", "one"), ("UPDATE", "changed")]
    assert await told(sessions, Country, "a", "name") == [("INSERT", "two")]
    assert await told(sessions, Country, "a\0c", "name") == [("INSERT", "3"), ("DELETE", "3")]


async def seats(sessions: Sessions, *numbers: int) -> None:
    async with sessions() as session:
        session.add_all(Seat(hall="a", number=number, guest=f"guest {number}") for number in numbers)
        await session.commit()


async def seat(session: AsyncSession, number: int) -> Seat:
    return await session.get_one(Seat, ("a", number))


async def guests(sessions: Sessions, number: int) -> list[tuple[Any, ...]]:
    return await told(sessions, Seat, ("a", number), "guest")


async def test_a_row_moves_to_a_fresh_key(sessions: Sessions, between: Between) -> None:
    await seats(sessions, 1)
    async with sessions() as session:
        moved = await seat(session, 1)
        moved.number = 2
        await between(session)
        moved.guest = "new"
        await session.commit()

    assert await guests(sessions, 1) == [("INSERT", "guest 1"), ("DELETE", "guest 1")]
    assert await guests(sessions, 2) == [("INSERT", "new")]
    assert await count_transactions(sessions, Seat) == 2


async def test_a_row_that_changes_before_it_moves_is_deleted_as_it_was_stored(
    sessions: Sessions, between_flushes: Between
) -> None:
    await seats(sessions, 1)
    async with sessions() as session:
        moved = await seat(session, 1)
        moved.guest = "new"
        await between_flushes(session)
        moved.number = 2
        await session.commit()

    assert await guests(sessions, 1) == [("INSERT", "guest 1"), ("DELETE", "new")]
    assert await guests(sessions, 2) == [("INSERT", "new")]


async def test_a_row_moves_to_the_key_of_one_that_is_deleted(sessions: Sessions, between_flushes: Between) -> None:
    await seats(sessions, 1, 2)
    async with sessions() as session:
        one, two = await seat(session, 1), await seat(session, 2)
        await session.delete(two)
        await between_flushes(session)
        one.number = 2
        await session.commit()

    assert await guests(sessions, 1) == [("INSERT", "guest 1"), ("DELETE", "guest 1")]
    assert await guests(sessions, 2) == [("INSERT", "guest 2"), ("UPDATE", "guest 1")]


async def test_rows_shift_to_each_other_s_keys(sessions: Sessions, between_flushes: Between) -> None:
    await seats(sessions, 1, 2)
    async with sessions() as session:
        one, two = await seat(session, 1), await seat(session, 2)
        two.number = 3
        await between_flushes(session)
        one.number = 2
        await session.commit()

    assert await guests(sessions, 1) == [("INSERT", "guest 1"), ("DELETE", "guest 1")]
    assert await guests(sessions, 2) == [("INSERT", "guest 2"), ("UPDATE", "guest 1")]
    assert await guests(sessions, 3) == [("INSERT", "guest 2")]


async def test_rows_shift_down_in_one_flush(sessions: Sessions) -> None:
    await seats(sessions, 1, 2, 3)
    async with sessions() as session:
        one, two, three = [await seat(session, number) for number in (1, 2, 3)]
        one.number, two.number, three.number = 0, 1, 2
        await session.commit()

    assert await guests(sessions, 0) == [("INSERT", "guest 1")]
    assert await guests(sessions, 1) == [("INSERT", "guest 1"), ("UPDATE", "guest 2")]
    assert await guests(sessions, 2) == [("INSERT", "guest 2"), ("UPDATE", "guest 3")]
    assert await guests(sessions, 3) == [("INSERT", "guest 3"), ("DELETE", "guest 3")]


async def test_rows_of_a_mapper_without_batches_shift_down_in_one_flush(database: Databases) -> None:
    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add_all(Stubborn(id=number, value=number) for number in (1, 2, 3))
        await session.commit()
        for row in (await session.scalars(select(Stubborn))).all():
            row.id -= 1
        await session.commit()

    assert await told(sessions, Stubborn, 0, "value") == [("INSERT", 1)]
    assert await told(sessions, Stubborn, 1, "value") == [("INSERT", 1), ("UPDATE", 2)]
    assert await told(sessions, Stubborn, 3, "value") == [("INSERT", 3), ("DELETE", 3)]


async def test_equal_rows_shift_down_in_one_flush(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add_all(Seat(hall="a", number=number, guest="same") for number in (1, 2))
        await session.commit()
        one, two = await seat(session, 1), await seat(session, 2)
        one.number, two.number = 0, 1
        await session.commit()

    assert await guests(sessions, 0) == [("INSERT", "same")]
    assert await guests(sessions, 1) == [("INSERT", "same")]
    assert await guests(sessions, 2) == [("INSERT", "same"), ("DELETE", "same")]


async def test_a_row_moves_away_and_back(sessions: Sessions, between_flushes: Between) -> None:
    await seats(sessions, 1)
    async with sessions() as session:
        row = await seat(session, 1)
        row.number = 2
        await between_flushes(session)
        row.number = 1
        await session.commit()

    assert await guests(sessions, 1) == [("INSERT", "guest 1")]
    assert await guests(sessions, 2) == []
    assert await count_transactions(sessions, Seat) == 1


async def test_rows_swap_their_keys(sessions: Sessions, between_flushes: Between) -> None:
    await seats(sessions, 1, 2)
    async with sessions() as session:
        one, two = await seat(session, 1), await seat(session, 2)
        one.number = 9
        await between_flushes(session)
        two.number = 1
        await between_flushes(session)
        one.number = 2
        await session.commit()

    assert await guests(sessions, 1) == [("INSERT", "guest 1"), ("UPDATE", "guest 2")]
    assert await guests(sessions, 2) == [("INSERT", "guest 2"), ("UPDATE", "guest 1")]
    assert await guests(sessions, 9) == []


async def test_a_key_that_was_left_is_inserted_again(sessions: Sessions, between_flushes: Between) -> None:
    await seats(sessions, 1)
    async with sessions() as session:
        (await seat(session, 1)).number = 2
        await between_flushes(session)
        session.add(Seat(hall="a", number=1, guest="other"))
        await session.commit()

    assert await guests(sessions, 1) == [("INSERT", "guest 1"), ("UPDATE", "other")]
    assert await guests(sessions, 2) == [("INSERT", "guest 1")]


async def test_a_row_inserted_moved_and_deleted_leaves_nothing(sessions: Sessions, between_flushes: Between) -> None:
    async with sessions() as session:
        row = Seat(hall="a", number=1)
        session.add(row)
        await between_flushes(session)
        row.number = 2
        await between_flushes(session)
        await session.delete(row)
        await session.commit()

    assert await guests(sessions, 1) == await guests(sessions, 2) == []
    assert await count_transactions(sessions, Seat) == 0


async def test_a_row_older_than_its_history_moves(sessions: Sessions) -> None:
    with ac.versioning_disabled():
        await seats(sessions, 1)
    async with sessions() as session:
        (await seat(session, 1)).number = 2
        await session.commit()

    assert await guests(sessions, 1) == [("DELETE", "guest 1")]
    assert await guests(sessions, 2) == [("INSERT", "guest 1")]


async def test_a_key_given_as_a_sql_expression(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add(Tag(id=41, name="a"))
        await session.commit()
        tag = Tag(id=select(func.max(Tag.id) + 1).scalar_subquery(), name="b")
        session.add(tag)
        await session.commit()

    assert await told(sessions, Tag, 42, "name") == [("INSERT", "b")]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_key_that_changes_only_under_its_collation_is_the_same_entity(database: Databases) -> None:
    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add(Word(key="ann", value=1))
        await session.commit()
        word = await session.get_one(Word, "ann")
        word.key = "Ann"
        await session.commit()

    assert await told(sessions, Word, "ANN", "key") == [("INSERT", "ann"), ("UPDATE", "Ann")]

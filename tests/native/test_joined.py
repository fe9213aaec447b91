"""Joined inheritance by triggers: whatever SQL does to any of the tables, each has the versions of the entity."""

import random
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import ForeignKey, func, select, text
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import async_continuum as ac
from async_continuum import Versioned, VersioningManager, make_versioned
from tests.kit.of_models import base, manager

__all__ = ["base", "manager"]

Sessions = async_sessionmaker[AsyncSession]

INS, UPD, DEL = 0, 1, 2
TABLES = {"animal": ("id", "kind", "name"), "cat": ("id", "lives"), "kitten": ("number", "toy")}
CLASSES = {"animal": ("animal",), "cat": ("animal", "cat"), "kitten": ("animal", "cat", "kitten"), "dog": ("animal",)}
KEYS = range(1, 7)

Entity = dict[str, tuple[Any, ...]]
"""The row of an entity in each of its tables, without the key."""


def declare(strategy: str) -> SimpleNamespace:
    class Base(AsyncAttrs, DeclarativeBase):
        pass

    options: Any = {"strategy": strategy, "native_versioning": True}
    manager = make_versioned(mapper=Base, manager=VersioningManager(), options=options, user_cls=None)
    rules = {"ondelete": "CASCADE", "onupdate": "CASCADE"}

    class Animal(Versioned, Base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        name: Mapped[str | None]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Cat(Animal):
        __tablename__ = "cat"
        id: Mapped[int] = mapped_column(ForeignKey("animal.id", **rules), primary_key=True)
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    class Kitten(Cat):
        __tablename__ = "kitten"
        number: Mapped[int] = mapped_column(ForeignKey("cat.id", **rules), primary_key=True)
        toy: Mapped[str | None]
        __mapper_args__ = {"polymorphic_identity": "kitten"}

    class Dog(Animal):
        __mapper_args__ = {"polymorphic_identity": "dog"}

    class Fish(Animal):
        """Keeps no history."""

        __versioned__ = {"versioning": False}
        __mapper_args__ = {"polymorphic_identity": "fish"}

    return SimpleNamespace(Base=Base, manager=manager, Animal=Animal, Cat=Cat, Kitten=Kitten, Dog=Dog, Fish=Fish)


# By other names than those by which each strategy runs on one backend: both are PostgreSQL's here.
ZOOS = {"with ends": declare("validity"), "without ends": declare("subquery")}


@pytest.fixture(params=ZOOS)
def models(request: pytest.FixtureRequest) -> SimpleNamespace:
    return ZOOS[request.param]


def _given(dice: random.Random, table: str, kind: str) -> tuple[Any, ...]:
    return {
        "animal": (kind, dice.choice(["a", "A", None])),
        "cat": (dice.choice([1, 9, None]),),
        "kitten": (dice.choice(["ball", "mouse"]),),
    }[table]


class Life:
    """What raw statements do to the tables, beside a shadow of it. Lives for one test."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.now: dict[int, Entity] = {}
        self.last: dict[int, Entity] = {}
        self.statements: list[str] = []

    def transaction(self) -> None:
        """Do a few things, some of which a rollback to a savepoint takes back."""
        self.statements = []
        started = dict(self.now)
        for _ in range(self.dice.randint(1, 5)):
            before = dict(self.now)
            undone = self.dice.random() < 0.15
            if undone:
                self.statements.append("SAVEPOINT here")
            self.step(started)
            if undone:
                self.statements.append("ROLLBACK TO here")
                self.now = before

    def step(self, started: dict[int, Entity]) -> None:
        key = self.dice.choice(KEYS)
        entity = self.now.get(key)
        if entity is None:
            self.insert(key, started.get(key))
            return
        match self.dice.choice(["update", "update", "update", "rows", "cascade", "again", "move", "all", "truncate"]):
            case "update":
                table = self.dice.choice(list(entity))
                self.update(key, table)
            case "rows":
                self.delete(key, rows=True)
            case "cascade":
                self.delete(key, rows=False)
            case "again":
                self.delete(key, rows=self.dice.random() < 0.5)
                if self.dice.random() < 0.3:
                    self.insert(key, started.get(key), entity)
            case "move":
                self.move(key, started)
            case "all":
                self.statements.append("UPDATE cat SET lives = 7")
                self.now = {k: {**e, "cat": (7,)} if "cat" in e else e for k, e in self.now.items()}
            case "truncate" if self.dice.random() < 0.2:
                self.statements.append("TRUNCATE animal CASCADE")
                self.last |= self.now
                self.now = {}

    def insert(self, key: int, before: Entity | None, again: Entity | None = None) -> None:
        # What was of one class when the transaction began comes back as one of it.
        kind = self.dice.choice(list(CLASSES)) if before is None else before["animal"][0]
        entity = again or {table: _given(self.dice, table, kind) for table in CLASSES[kind]}
        texts = [f"INSERT INTO {table} VALUES {_row(key, values)}" for table, values in entity.items()]
        if self.dice.random() < 0.2:
            parts = [f"{table} AS ({one})" for table, one in zip("xy", texts[:-1], strict=False)]
            texts = [f"WITH {', '.join(parts)} {texts[-1]}" if parts else texts[-1]]
        self.statements += texts
        self.now[key] = entity

    def update(self, key: int, table: str) -> None:
        entity = self.now[key]
        values = _given(self.dice, table, entity["animal"][0])
        name, *columns = TABLES[table]
        assigned = ", ".join(f"{column} = {_literal(value)}" for column, value in zip(columns, values, strict=True))
        self.statements.append(f"UPDATE {table} SET {assigned} WHERE {name} = {key}")
        self.now[key] = {**entity, table: values}

    def delete(self, key: int, *, rows: bool) -> None:
        tables = list(reversed(self.now[key])) if rows else ["animal"]
        self.statements += (f"DELETE FROM {table} WHERE {TABLES[table][0]} = {key}" for table in tables)
        self.last[key] = self.now.pop(key)

    def move(self, key: int, started: dict[int, Entity]) -> None:
        kind = self.now[key]["animal"][0]
        free = [
            other
            for other in KEYS
            if other not in self.now and (other not in started or started[other]["animal"][0] == kind)
        ]
        if free:
            to = self.dice.choice(free)
            self.statements.append(f"UPDATE animal SET id = {to} WHERE id = {key}")
            self.last[key] = self.now[key]
            self.now[to] = self.now.pop(key)


def _literal(value: Any) -> str:
    return "NULL" if value is None else repr(value)


def _row(key: int, values: tuple[Any, ...]) -> str:
    return f"({', '.join(map(_literal, (key, *values)))})"


def _versions(before: dict[int, Entity], after: dict[int, Entity], last: dict[int, Entity]) -> dict[str, Any]:
    told: dict[str, Any] = {table: {} for table in TABLES}
    for key in before.keys() | after.keys():
        was, now = before.get(key), after.get(key)
        if was != now:
            operation = INS if was is None else DEL if now is None else UPD
            for table, values in (last[key] if now is None else now).items():
                told[table][key] = (*values, operation)
    return told


async def _told(connection: Any, table: str, transaction: int) -> dict[int, tuple[Any, ...]]:
    columns = ", ".join(TABLES[table])
    statement = f"SELECT {columns}, operation_type FROM {table}_version WHERE transaction_id = $1"
    return {row[0]: tuple(row)[1:] for row in await connection.fetch(statement, transaction)}


@pytest.mark.parametrize("seed", range(3))
async def test_a_random_life_by_raw_statements(sessions: Sessions, models: SimpleNamespace, seed: int) -> None:
    life = Life(random.Random(seed))
    async with sessions() as session:
        connection: Any = (await (await session.connection()).get_raw_connection()).driver_connection
        for _ in range(60):
            before = dict(life.now)
            life.transaction()
            async with connection.transaction():
                for statement in life.statements:
                    await connection.execute(statement)
            expected = _versions(before, life.now, life.last)
            newest = await connection.fetchval("SELECT max(id) FROM transaction")
            if not any(expected.values()):
                assert not newest or all([await _told(connection, table, newest) for table in ("animal",)])
                continue
            told = {table: await _told(connection, table, newest) for table in TABLES}
            assert told == expected, life.statements
    async with sessions() as session:
        assert await ac.verify(session, models.Animal) == []


async def test_what_is_older_than_its_history_goes_with_it(sessions: Sessions, engine: AsyncEngine) -> None:
    for going in (
        "DELETE FROM animal",
        "DELETE FROM kitten; DELETE FROM cat; DELETE FROM animal",
        "TRUNCATE animal CASCADE",
    ):
        async with engine.begin() as connection:
            await connection.execute(text("SET LOCAL async_continuum.disabled = '*'"))
            for table, row in (("animal", "(1, 'kitten', 'a')"), ("cat", "(1, 9)"), ("kitten", "(1, 'ball')")):
                await connection.execute(text(f"INSERT INTO {table} VALUES {row}"))
        async with engine.begin() as connection:
            for statement in going.split(";"):
                await connection.execute(text(statement))
        async with engine.begin() as connection:
            for table in TABLES:
                found = await connection.execute(text(f"SELECT operation_type FROM {table}_version"))
                assert [row[0] for row in found] == [DEL], (going, table)
            for table in (*TABLES, "transaction"):
                await connection.execute(text(f"DELETE FROM {table if table == 'transaction' else f'{table}_version'}"))


@pytest.mark.parametrize("going", ["DELETE FROM kitten", "TRUNCATE kitten"])
async def test_one_table_alone_can_lose_its_rows(sessions: Sessions, models: SimpleNamespace, going: str) -> None:
    async with sessions() as session:
        session.add(models.Kitten(id=1, name="a", lives=9, toy="ball"))
        await session.commit()
        await session.execute(text(going))
        await session.commit()
        await session.execute(text("DELETE FROM animal"))
        await session.commit()
        operations = {
            table: list(
                await session.scalars(text(f"SELECT operation_type FROM {table}_version ORDER BY transaction_id"))
            )
            for table in TABLES
        }
        assert operations == {"animal": [INS, UPD, DEL], "cat": [INS, UPD, DEL], "kitten": [INS, DEL]}


async def test_rows_of_a_class_without_history_are_left_alone(sessions: Sessions, models: SimpleNamespace) -> None:
    async with sessions() as session:
        session.add_all([models.Fish(id=1, name="f"), models.Dog(id=2, name="d")])
        await session.commit()
        await session.execute(text("UPDATE animal SET name = 'n'"))
        await session.commit()
        await session.execute(text("DELETE FROM animal"))
        await session.commit()
        found = await session.execute(text("SELECT id, operation_type FROM animal_version ORDER BY transaction_id"))
        assert [tuple(row) for row in found] == [(2, INS), (2, UPD), (2, DEL)]
        session.add(models.Fish(id=1, name="f"))
        await session.commit()
        await session.execute(text("TRUNCATE animal CASCADE"))
        await session.commit()
        assert await session.scalar(select(func.count()).select_from(ac.transaction_class(models.Dog))) == 3


async def test_history_is_begun_for_rows_that_triggers_have_not_seen(
    sessions: Sessions, models: SimpleNamespace, engine: AsyncEngine
) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("SET LOCAL async_continuum.disabled = '*'"))
        await connection.execute(text("INSERT INTO animal VALUES (1, 'cat', 'a'), (2, 'dog', 'b'), (3, 'fish', 'c')"))
        await connection.execute(text("INSERT INTO cat VALUES (1, 9)"))
    async with sessions() as session:
        assert await ac.backfill(session, models.Animal) == 2
        await session.commit()
        assert await ac.verify(session, models.Animal) == []
        assert [version.lives for version in await ac.versions_of(session, models.Cat, 1)] == [9]

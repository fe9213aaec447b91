"""With a million versions and transactions, every look-up of one entity's or class's history is served by an index."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, String, event, func, select, text
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from async_continuum import (
    Versioned,
    VersioningManager,
    as_of,
    changes_between,
    changesets,
    make_versioned,
    transaction_class,
    versions_of,
)
from async_continuum.plugins import TransactionChangesPlugin
from tests.kit.databases import Databases

pytestmark = pytest.mark.unaccounted  # history without live rows: it is only read here

MILLION = 1_000_000
ENTITIES = 100_000
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Part(Versioned, Base):
    __tablename__ = "part"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))


class Machine(Versioned, Base):
    """Changed once in a thousand transactions."""

    __tablename__ = "machine"
    id: Mapped[int] = mapped_column(primary_key=True)


manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls=None, plugins=[TransactionChangesPlugin()])

SERIES = {
    "sqlite": f"WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < {MILLION})",
    "postgresql": f"WITH g(n) AS (SELECT generate_series(1, {MILLION}))",
}
MOMENT = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', '2026-01-01', '+' || n || ' seconds')",
    "postgresql": "timestamp '2026-01-01' + n * interval '1 second'",
}


@pytest.fixture
async def filled(database: Databases, engine: AsyncEngine, backend: str) -> AsyncIterator[AsyncSession]:
    """A session on a million versions of a hundred thousand entities, one a second."""
    sessions: async_sessionmaker[AsyncSession] = await database(Base, manager)
    database.managers.clear()  # a million rows made by hand: nothing of ours to prove
    ended = f"CASE WHEN n + {ENTITIES} <= {MILLION} THEN n + {ENTITIES} END"
    operation = f"CASE WHEN n <= {ENTITIES} THEN 0 ELSE 1 END"
    fill = {
        "transaction": f"SELECT n, {MOMENT[backend]} FROM g",
        "part_version": f"SELECT n % {ENTITIES}, 'name ' || n, n, {ended}, {operation} FROM g",
        "transaction_changes": "SELECT n, 'Part' FROM g UNION ALL SELECT n, 'Machine' FROM g WHERE n % 1000 = 7",
    }
    columns = {
        "transaction": "id, issued_at",
        "part_version": "id, name, transaction_id, end_transaction_id, operation_type",
        "transaction_changes": "transaction_id, entity_name",
    }
    async with engine.begin() as connection:
        for table, select in fill.items():
            insert = f'INSERT INTO "{table}" ({columns[table]})'
            statement = f"{insert} {SERIES[backend]} {select}"
            await connection.execute(text(statement))
        await connection.execute(text("ANALYZE"))
    async with sessions() as session:
        yield session


@pytest.mark.not_on("mariadb", "it tells its plans in other words")
async def test_every_look_up_of_one_entity_uses_an_index(
    filled: AsyncSession, engine: AsyncEngine, backend: str
) -> None:
    sent: list[tuple[str, Any]] = []

    def note(connection: Connection, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        # Where other modules' registries are about, it is looked up once which of their tables this database has.
        if not any(catalog in statement for catalog in ("pg_catalog", "sqlite_master", "PRAGMA")):
            sent.append((statement, parameters))

    query = versions_of(filled, Part, 77)
    version = await query[4]
    assert version.transaction_id == 77 + 4 * ENTITIES

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    assert len(await query) == 10
    assert await query.count() == 10
    assert (await query[-1]).transaction_id == 77 + 9 * ENTITIES
    for seconds in (ENTITIES + 78, MILLION // 2, MILLION - 1):
        then = await query.at(BEGAN + timedelta(seconds=seconds))
        assert then is not None
        assert then.transaction_id <= seconds < then.transaction_id + ENTITIES
    assert len(await query.between(BEGAN + timedelta(seconds=200_000), BEGAN + timedelta(seconds=400_000))) == 2
    previous, following = await version.previous(), await version.next()
    assert previous is not None and following is not None  # noqa: PT018
    assert (following.transaction_id - previous.transaction_id) == 2 * ENTITIES
    assert await version.index() == 4
    assert set(await version.changeset()) == {"name"}
    assert len(await changesets(filled, [version, following])) == 2
    await version.awaitable_attrs.transaction
    # A session in the past looks up the same, and what changed between two moments reads what was made in between.
    async with as_of(filled, BEGAN + timedelta(seconds=MILLION // 2)) as past:
        part = await past.get_one(Part, 77)
        assert part.name == f"name {77 + 4 * ENTITIES}"
        assert len((await past.scalars(select(Part).where(Part.id.in_([77, 78, 79])))).all()) == 3
        assert await past.scalar(select(func.count()).where(Part.id == 77)) == 1
    assert await changes_between(filled, Part, MILLION // 2, MILLION // 2 + 50).count() == 50
    # The last transactions that touched a class, which all or few did, or an entity.
    transaction = transaction_class(Part)
    for touched, last in ((Part, MILLION), (Machine, MILLION - 993), (part, 77 + 9 * ENTITIES)):
        newest = select(transaction.id).where(transaction.touched(touched)).order_by(transaction.id.desc()).limit(10)
        assert (await filled.scalars(newest)).first() == last
        assert ("part_version" in sent[-1][0]) is (touched is part)
    event.remove(engine.sync_engine, "before_cursor_execute", note)

    connection = await filled.connection()
    explain = "EXPLAIN QUERY PLAN" if backend == "sqlite" else "EXPLAIN"
    assert len(sent) >= 12
    for statement, parameters in sent:
        plan = [str(row) for row in await connection.exec_driver_sql(f"{explain} {statement}", parameters)]
        scans = [line for line in plan if "Seq Scan" in line or ("SCAN" in line and "json_each" not in line)]
        # The few keys that an index has given are gone through.
        small = ("CONSTANT ROW", "SCAN ac_touched")
        assert not [line for line in scans if not any(name in line for name in small)], (statement, plan)

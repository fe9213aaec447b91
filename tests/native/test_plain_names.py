"""The DDL of triggers needs names only, and holds for tables that no model is mapped to."""

import json
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from async_continuum.native import (
    TransactionPlan,
    TriggerPlan,
    create_statements,
    create_triggers,
    drop_statements,
    drop_triggers,
    installed,
    stale,
)

TABLES = """
CREATE TABLE transaction (id bigserial PRIMARY KEY, issued_at timestamp, remote_addr text);
CREATE TABLE part (id int, range int, name text, PRIMARY KEY (id, range)) PARTITION BY RANGE (range);
CREATE TABLE part_low PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part_high PARTITION OF part FOR VALUES FROM (10) TO (20);
CREATE TABLE part_version (id int, range int, name text, transaction_id bigint, end_transaction_id bigint,
    operation_type smallint, PRIMARY KEY (id, range, transaction_id))
"""
PLAN = TriggerPlan("part", "part_version", ("id", "range", "name"), ("id", "range"), TransactionPlan("transaction"))


async def execute(connection: AsyncConnection, statements: str) -> None:
    for statement in statements.split(";"):
        await connection.exec_driver_sql(statement)


async def versions(connection: AsyncConnection) -> list[tuple[Any, ...]]:
    found = await connection.exec_driver_sql(
        "SELECT id, range, name, operation_type FROM part_version ORDER BY transaction_id, id, range"
    )
    return [tuple(row) for row in found]


async def test_a_partitioned_table_and_a_row_that_moves_to_another_partition(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await execute(connection, TABLES)
        await connection.run_sync(create_triggers, PLAN)
        await connection.commit()
        for statement in (
            "INSERT INTO part VALUES (1, 1, 'a'), (2, 11, 'b')",
            "UPDATE part SET range = range + 10 WHERE id = 1",
            "DELETE FROM part WHERE id = 2",
        ):
            await connection.exec_driver_sql(statement)
            await connection.commit()
        assert await versions(connection) == [
            (1, 1, "a", 0),
            (2, 11, "b", 0),
            (1, 1, "a", 2),
            (1, 11, "a", 0),
            (2, 11, "b", 2),
        ]


async def test_a_fingerprint_tells_what_is_missing_or_of_another_making(engine: AsyncEngine) -> None:
    other = TriggerPlan.from_dict({**json.loads(json.dumps(PLAN.as_dict())), "on_truncate": "refuse"})
    async with engine.connect() as connection:
        await execute(connection, TABLES)
        assert await connection.run_sync(stale, [PLAN]) == [PLAN]
        await connection.run_sync(create_triggers, PLAN)
        await connection.run_sync(create_triggers, PLAN)
        assert (await connection.run_sync(installed))[None, "part"] == PLAN.fingerprint
        assert await connection.run_sync(stale, [PLAN, other]) == [other]
        await connection.exec_driver_sql("ALTER TABLE part DISABLE TRIGGER async_continuum_delete")
        assert await connection.run_sync(stale, [PLAN]) == [PLAN]
        await connection.exec_driver_sql("ALTER TABLE part ENABLE TRIGGER async_continuum_delete")
        assert await connection.run_sync(stale, [PLAN]) == []
        await connection.exec_driver_sql("ALTER SCHEMA public RENAME TO tenant")
        await connection.exec_driver_sql("SET LOCAL search_path = tenant")
        assert await connection.run_sync(stale, [PLAN]) == [PLAN]
        await connection.run_sync(create_triggers, PLAN)
        assert await connection.run_sync(stale, [PLAN]) == []
        await connection.run_sync(drop_triggers, PLAN)
        await connection.run_sync(drop_triggers, PLAN)
        assert await connection.run_sync(installed) == {}


@pytest.mark.parametrize("statements", [create_statements, drop_statements])
def test_the_statements_of_equal_plans_are_equal_and_have_no_parameters(statements: Any) -> None:
    again = TriggerPlan.from_dict(json.loads(json.dumps(PLAN.as_dict())))
    assert again == PLAN
    assert statements(again) == statements(PLAN)
    assert all("%" not in statement for statement in statements(PLAN))

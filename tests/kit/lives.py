"""Run what hypothesis draws on one database, whose tables are empty for each example."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import MetaData, delete, update
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.schema import sort_tables

from tests.kit import mode
from tests.kit.invariants import assert_invariants
from tests.kit.places import Places


def run_lives(
    told: Callable[..., Awaitable[None]],
    models: SimpleNamespace,
    backend: str,
    places: Places,
    *,
    examples: int,
    **drawn: st.SearchStrategy[Any],
) -> None:
    """Await ``told(sessions, **drawn)`` for so many examples, each on empty tables, and prove the invariants."""
    with asyncio.Runner() as runner:
        fresh = places.fresh(backend, models.Base.metadata)
        place = runner.run(fresh.__aenter__())
        engine = place.usual_engine()

        async def one(given: dict[str, Any]) -> None:
            await _empty(engine, models.Base.metadata)
            await told(async_sessionmaker(engine), **given)
            await assert_invariants(engine, models.manager)

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(given=st.fixed_dictionaries(drawn))
        def each(given: dict[str, Any]) -> None:
            runner.run(one(given))

        try:
            each()
        finally:
            runner.run(fresh.__aexit__(None, None, None))


async def _empty(engine: AsyncEngine, metadata: MetaData) -> None:
    # Circles are cut first.
    tables = sort_tables(metadata.tables.values(), skip_fn=lambda key: bool(key.parent.nullable))[::-1]
    async with engine.begin() as connection:
        await mode.let_triggers_sleep(connection)
        for table in tables:
            circular = [column for column in table.c if column.foreign_keys and column.nullable]
            if circular:
                await connection.execute(update(table).values(dict.fromkeys(circular)))
        for table in tables:
            await connection.execute(delete(table))

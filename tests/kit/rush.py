"""Let many tasks write at once, again where the database made them give way, and count what they did to each other."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm.exc import StaleDataError

from tests.kit import mode

Work = Callable[[AsyncSession, random.Random], Awaitable[None]]

ATTEMPTS = 200

# deadlock, serialization failure, unique violation, and SQLite's "database is locked"
GIVE_WAY = {"40P01": "deadlocks", "40001": "conflicts", "23505": "duplicates"}


def reason_to_try_again(error: Exception) -> str | None:
    """Say why a transaction had to give way to another one; None for any other error."""
    if isinstance(error, StaleDataError):
        return "stale"
    original = getattr(error, "orig", None)
    if "locked" in str(original):
        return "locked"
    return GIVE_WAY.get(getattr(original, "sqlstate", ""))


async def rush(
    sessions: async_sessionmaker[AsyncSession], work: Work, *, tasks: int, transactions: int, seed: int = 0
) -> Counter[str]:
    """Run `work` in so many transactions of so many tasks, each until it commits; count why they tried again."""
    counted: Counter[str] = Counter()

    async def one(number: int) -> None:
        dice = random.Random(seed * 1000 + number)
        for _ in range(transactions):
            for _ in range(ATTEMPTS):
                try:
                    async with sessions() as session:
                        await work(session, dice)
                        await session.commit()
                    break
                except (DBAPIError, StaleDataError) as error:
                    reason = reason_to_try_again(error)
                    if reason is None:
                        raise
                    counted[reason] += 1
                await asyncio.sleep(dice.random() * 0.02)
            else:
                raise AssertionError("a transaction never got through")

    async with asyncio.TaskGroup() as group:
        for number in range(tasks):
            group.create_task(one(number))
    return counted


class Overtakings(logging.Handler):
    """Counts the transactions that took a later id. Lives for one test."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += "was overtaken" in record.getMessage()


@asynccontextmanager
async def watched(engine: AsyncEngine, *, natively: bool = mode.is_native()) -> AsyncIterator[Counter[str]]:
    """Count renumberings, and the moments at which somebody waits for a lock of another session, on PostgreSQL."""
    seen: Counter[str] = Counter()
    handler = Overtakings()
    logger = logging.getLogger("async_continuum")
    level = logger.level
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    async def sample() -> None:
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            while True:
                seen["lock waits"] += await connection.scalar(waiting) or 0
                await asyncio.sleep(0.02)

    if natively:
        async with engine.begin() as connection:
            name = await connection.scalar(text("SELECT current_database()"))
            # Of the connections that are opened from now on.
            await connection.execute(text(f"ALTER DATABASE {name} SET track_functions = 'pl'"))
    sampler = asyncio.create_task(sample())
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield seen
    finally:
        sampler.cancel()
        with suppress(asyncio.CancelledError):
            await sampler
        logger.removeHandler(handler)
        logger.setLevel(level)
        seen["renumberings"] = await _overtakings_in(engine) if natively else handler.count


async def _overtakings_in(engine: AsyncEngine) -> int:
    """Count what triggers did; connections report it after a second."""
    calls = text("SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions WHERE funcname = 'transaction_overtaken'")
    for _ in range(15):
        async with engine.connect() as connection:
            found = int(await connection.scalar(calls) or 0)
        if found:
            return found
        await asyncio.sleep(0.1)
    return 0

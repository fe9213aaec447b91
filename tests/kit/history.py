"""Read what was recorded, in a session of its own, as plain values that a test can compare."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

import async_continuum as ac

Told = list[tuple[Any, ...]]


async def told(sessions: async_sessionmaker[AsyncSession], model: type, key: Any, *names: str) -> Told:
    """Give the history of one entity: for each version its operation, by name, and the attributes named."""
    async with sessions() as session:
        versions: list[Any] = await ac.versions_of(session, model, key)
        return [(v.operation_type.name, *(getattr(v, name) for name in names)) for v in versions]


async def count_transactions(sessions: async_sessionmaker[AsyncSession], model: type) -> int:
    """Count the transaction rows."""
    async with sessions() as session:
        return (await session.scalars(select(func.count()).select_from(ac.transaction_class(model)))).one()

"""Say whether the models of this run are recorded by the sessions that change them, or by PostgreSQL's triggers."""

import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from async_continuum import GlobalOptions

NATIVE = "ASYNC_CONTINUUM_TEST_NATIVE"


def is_native() -> bool:
    """Whether this run is the one in which triggers record."""
    return bool(os.environ.get(NATIVE))


def options(**more: object) -> GlobalOptions:
    """Give the options of models that are recorded either way, and further ones."""
    return {"native_versioning": is_native(), **more}  # type: ignore[typeddict-item]


async def let_triggers_sleep(connection: AsyncConnection) -> None:
    """Have nothing recorded of what a transaction does to make room for another test; no foreign key is checked."""
    if is_native():
        await connection.execute(text("SET LOCAL session_replication_role = replica"))

"""Insert a row under its old key where the key is GENERATED ALWAYS: PostgreSQL wants that said in the statement."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Column, event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper

_BEFORE_ROWS = re.compile(r"\) (?=VALUES |SELECT )")


def has_generated_always(mapper: Mapper[Any]) -> bool:
    """Say whether a column of the class's table is GENERATED ALWAYS AS IDENTITY."""
    every = (column for table in mapper.tables for column in table.c)
    return any(isinstance(c, Column) and c.identity is not None and c.identity.always for c in every)


@asynccontextmanager
async def overriding_identity(session: AsyncSession, mapper: Mapper[Any]) -> AsyncIterator[None]:
    """Let the flush in this block give values to GENERATED ALWAYS columns of a table.

    https://www.postgresql.org/docs/current/sql-insert.html: OVERRIDING SYSTEM VALUE. SQLAlchemy has no way to say it.
    """
    connection = (await session.connection(bind_arguments={"mapper": mapper})).sync_connection
    if not has_generated_always(mapper) or connection is None or connection.dialect.name != "postgresql":
        yield
        return

    def override(_: Any, __: Any, sql: str, parameters: Any, context: Any, ___: bool) -> tuple[str, Any]:
        if context is not None and context.isinsert and context.compiled.statement.table in mapper.tables:
            sql = _BEFORE_ROWS.sub(") OVERRIDING SYSTEM VALUE ", sql, count=1)
        return sql, parameters

    event.listen(connection, "before_cursor_execute", override, retval=True)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", override)

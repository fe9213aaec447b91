"""Execute a statement without history and with it, and say where the two are not as promised."""

from typing import Any

from sqlalchemy import Insert
from sqlalchemy.exc import ResourceClosedError
from sqlalchemy.ext.asyncio import AsyncSession

from async_continuum import versioning_disabled
from tests.statements.shop import differences, everything


async def outcome(session: AsyncSession, statement: Any, parameters: Any = None, *, how: str = "session") -> Any:
    """Execute a statement and give all that its caller is told: the row count, the rows and their names."""
    execute: Any = session.execute if how == "session" else (await session.connection()).execute
    result = await execute(statement, *([] if parameters is None else [parameters]))
    told = getattr(result, "rowcount", None), getattr(result, "returns_rows", None)
    try:
        rows = [tuple(getattr(value, "name", value) for value in row) for row in result.all()]
    except ResourceClosedError as error:
        return told, str(error)
    return told, rows, list(result.keys())


async def difference_of(
    session: AsyncSession,
    before: Any,
    after: int,
    statement: Any,
    parameters: Any = None,
    *,
    how: str = "session",
    idle: bool | None = None,
) -> Any:
    """Say where a statement gives another result than it does without history, or leaves another history than objects.

    ``before`` are the rows as they are now, ``after`` the transaction that history has reached; ``idle`` says whether
    they are meant to stay so. It is rolled back.
    """
    try:
        with versioning_disabled():
            plain = await outcome(session, statement, parameters, how=how)
            left = await everything(session)
            await session.rollback()
        recorded = await outcome(session, statement, parameters, how=how)
        if recorded != plain:
            return f"{recorded} instead of {plain}"
        rows = await everything(session)
        # The database and Python make up other keys each time.
        if rows != left and not isinstance(statement, Insert):
            return f"{rows} are left instead of {left}"
        if idle is not None and idle != (before == rows):
            return "the rows do not stay as they are" if idle else "nothing is changed, and nothing shown"
        return await differences(session, before, after)
    except Exception as error:
        return repr(error)
    finally:
        await session.rollback()

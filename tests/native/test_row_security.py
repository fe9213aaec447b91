"""Policies that hold for the owner of a table hide rows from the triggers as well."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from tests.kit.history import told
from tests.native import shop

Sessions = async_sessionmaker[AsyncSession]


async def test_what_policies_hide_is_not_truncated_without_history(sessions: Sessions, engine: AsyncEngine) -> None:
    role = f"landlord_{engine.url.database}"
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO ledger (id, amount) VALUES (1, 1), (2, 2)"))
        for statement in (
            f"CREATE ROLE {role}",
            f"GRANT ALL ON SCHEMA public TO {role}",
            f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
            f"ALTER TABLE ledger OWNER TO {role}",
            f"ALTER FUNCTION ledger_version_on_truncate() OWNER TO {role}",
            f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {role}",
            "ALTER TABLE ledger ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
            "CREATE POLICY first ON ledger USING (id = 1)",
        ):
            await connection.exec_driver_sql(statement)
    try:
        with pytest.raises(ProgrammingError, match="row-level security policy"):
            async with engine.begin() as connection:
                await connection.exec_driver_sql(f"SET LOCAL ROLE {role}")
                await connection.exec_driver_sql("TRUNCATE ledger")
    finally:
        async with engine.begin() as connection:
            await connection.exec_driver_sql(f"REASSIGN OWNED BY {role} TO CURRENT_USER")
            await connection.exec_driver_sql(f"DROP OWNED BY {role}")
            await connection.exec_driver_sql(f"DROP ROLE {role}")

    assert await told(sessions, shop.Ledger, 2, "amount") == [("INSERT", 2)]
    async with engine.begin() as connection:
        await connection.exec_driver_sql("TRUNCATE ledger")
    assert await told(sessions, shop.Ledger, 2, "amount") == [("INSERT", 2), ("DELETE", 2)]

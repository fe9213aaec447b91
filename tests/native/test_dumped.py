"""What a dump writes of the triggers creates them again."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from tests.kit.history import told
from tests.native import shop

Sessions = async_sessionmaker[AsyncSession]


async def test_triggers_are_what_a_dump_writes_of_them(sessions: Sessions, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        written = text(
            "SELECT tgname, tgrelid::regclass::text, pg_get_triggerdef(oid),"
            " obj_description(oid, 'pg_trigger') FROM pg_trigger"
            " WHERE NOT tgisinternal AND starts_with(tgname, 'async_continuum')"
        )
        # As pg_dump does, which sets no search path.
        await connection.execute(text("SET LOCAL search_path = ''"))
        found = (await connection.execute(written)).all()
        for name, table, _, _ in found:
            await connection.exec_driver_sql(f"DROP TRIGGER {name} ON {table}")
        for name, table, definition, comment in found:
            await connection.exec_driver_sql(definition)
            if comment is not None:
                await connection.exec_driver_sql(f"COMMENT ON TRIGGER {name} ON {table} IS '{comment}'")
        assert {*await connection.execute(written)} == {*found}
    async with sessions() as session:
        session.add(shop.Ledger(id=1, amount=1))
        await session.commit()

    assert {name for name, *_ in found} >= {"async_continuum_guard_update", "async_continuum_settle"}
    assert await told(sessions, shop.Ledger, 1) == [("INSERT",)]

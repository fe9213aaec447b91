"""Make a database as good as new after a test, where that is cheaper than another copy of the template."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

# A connection that a test left open, and a role of the server that is no superuser.
LOCK_NOT_AVAILABLE, INSUFFICIENT_PRIVILEGE = "55P03", "42501"

# What a test may have changed that emptying tables does not undo: then the database is not used again.
_CATALOG = text(
    """
    SELECT (SELECT count(*) FROM pg_class), (SELECT max(oid) FROM pg_class), (SELECT count(*) FROM pg_attribute),
           (SELECT count(*) FROM pg_constraint), (SELECT max(oid) FROM pg_constraint), (SELECT count(*) FROM pg_type),
           (SELECT count(*) FROM pg_proc), (SELECT max(oid) FROM pg_proc), (SELECT count(*) FROM pg_namespace),
           (SELECT count(*) FROM pg_extension), (SELECT count(*) FROM pg_db_role_setting),
           (SELECT count(*) FROM pg_statistic), (SELECT string_agg(tgname || tgenabled::text, ',' ORDER BY oid)
                                                 FROM pg_trigger WHERE NOT tgisinternal)
    """
)

# Tables that were written to, and sequences that were asked, since they were new.
_EMPTY = text(
    """
    DO $$
    DECLARE
        filled text;
        asked text;
    BEGIN
        SELECT string_agg(oid::regclass::text, ', ') INTO filled FROM pg_class
            WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0;
        IF filled IS NOT NULL THEN
            EXECUTE 'TRUNCATE ' || filled || ' CASCADE';
        END IF;
        FOR asked IN
            SELECT seqrelid::regclass::text FROM pg_sequence WHERE pg_sequence_last_value(seqrelid) IS NOT NULL
        LOOP
            EXECUTE 'ALTER SEQUENCE ' || asked || ' RESTART';
        END LOOP;
    END $$
    """
)


@dataclass(eq=False)
class Renewal:
    """One database that many tests use one after the other. Lives as long as the database."""

    engine: AsyncEngine
    template: URL
    catalog: Any
    listeners: Any

    @classmethod
    async def of(cls, engine: AsyncEngine, template: URL) -> Self:
        """Note what a database is like while it is new."""
        catalog = None
        if engine.dialect.name == "postgresql":
            async with engine.connect() as connection:
                catalog = (await connection.execute(_CATALOG)).one()
            await engine.dispose()
        return cls(engine, template, catalog, _listeners(engine))

    async def renew(self) -> bool:
        """Undo what a test has done; False where the database is not to be used any more.

        No connection stays open: the next test runs in a loop of its own.
        """
        if _listeners(self.engine) != self.listeners:
            return False
        match self.engine.dialect.name:
            case "postgresql":
                try:
                    return await self._empty()
                finally:
                    await self.engine.dispose()
            case "sqlite":
                await self.engine.dispose()
                file = Path(str(self.engine.url.database))
                for suffix in ("-journal", "-wal", "-shm"):
                    file.with_name(file.name + suffix).unlink(missing_ok=True)
                shutil.copyfile(str(self.template.database), file)
                return True
            case _:
                return False

    async def _empty(self) -> bool:
        try:
            async with self.engine.begin() as connection:
                # A test that failed may have left a connection open, with locks.
                await connection.execute(text("SET LOCAL lock_timeout = '1s'"))
                # Triggers may refuse that a table is emptied, or record it.
                await connection.execute(text("SET LOCAL session_replication_role = replica"))
                await connection.execute(_EMPTY)
                return bool((await connection.execute(_CATALOG)).one() == self.catalog)
        except DBAPIError as error:
            if error.connection_invalidated or getattr(error.orig, "sqlstate", None) in (
                LOCK_NOT_AVAILABLE,
                INSUFFICIENT_PRIVILEGE,
            ):
                return False
            raise


def _listeners(engine: AsyncEngine) -> Any:
    # The names of events are private: there is no public list of what listens to an engine. What managers listen to
    # goes on with the next test, as on the engine of a service with its next session.
    sync: Any = engine.sync_engine
    return [
        (name, [each for each in getattr(dispatch, name) if not _is_of_the_package(each)])
        for dispatch in (sync.dispatch, sync.pool.dispatch)
        for name in dispatch._event_names
    ]


def _is_of_the_package(listener: Any) -> bool:
    return str(getattr(listener, "__module__", "")).startswith("async_continuum")

"""Create the triggers of natively versioned tables with the tables, drop them with them, and miss them in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Connection, Engine, MetaData, Table

from async_continuum.build import TableHistory
from async_continuum.errors import ImproperlyConfigured
from async_continuum.manager.coverage import Coverage
from async_continuum.native import (
    PARTIAL,
    TriggerPlan,
    create_triggers,
    drop_triggers,
    existing,
    installed,
    plan_of,
)

_found: WeakKeyDictionary[Coverage, WeakSet[Engine]] = WeakKeyDictionary()


class Triggers:
    """Listens to metadata that is created and dropped. Lives as long as its manager is active."""

    def __init__(self, coverage: Coverage) -> None:
        self._coverage = coverage

    def after_create(self, target: MetaData, connection: Connection, **_: Any) -> None:
        """Install the triggers that are missing or stale, and take those away whose class is recorded otherwise now."""
        plans = list(self._plans(target, connection))
        if not plans:
            return
        known = installed(connection)
        wanted = [plan for plan, native in plans if native and known.get((plan.schema, plan.name)) != plan.fingerprint]
        for plan in existing(connection, wanted):
            create_triggers(connection, plan)
        for plan, native in plans:
            if not native and (plan.schema, plan.name) in known:
                drop_triggers(connection, plan)

    def before_drop(self, target: MetaData, connection: Connection, tables: Any = None, **_: Any) -> None:
        """Take the triggers of tables away that are dropped, or whose history is."""
        going = set(target.tables.values() if tables is None else tables)
        for kept in self._coverage:
            for history in kept.histories:
                touched = {history.table, history.version_table, kept.transaction_table}
                if history.settings.native_versioning and touched & going and connection.dialect.name == "postgresql":
                    drop_triggers(connection, self._plan(history, kept.transaction_table, connection))

    def _plans(self, target: MetaData, connection: Connection) -> Iterator[tuple[TriggerPlan, bool]]:
        if connection.dialect.name != "postgresql":
            return
        for kept in self._coverage:
            for history in kept.histories:
                if history.table.metadata is target:
                    plan = self._plan(history, kept.transaction_table, connection)
                    yield plan, history.settings.native_versioning

    @staticmethod
    def _plan(history: TableHistory, transactions: Table, connection: Connection) -> TriggerPlan:
        return plan_of(history, transactions).translated(translation(connection))


def translation(connection: Connection) -> Mapping[str | None, str | None]:
    """Give the connection's ``schema_translate_map``."""
    found: Mapping[str | None, str | None] | None = connection.get_execution_options().get("schema_translate_map")
    return found or {}


def require_triggers(connection: Connection, coverage: Coverage) -> None:
    """Refuse to write where triggers are to record a table and are not there; looks once on each engine.

    Raises `ImproperlyConfigured`: what nobody records would be lost in silence.
    """
    seen = _found.setdefault(coverage, WeakSet())
    if connection.engine in seen:
        return
    schemas = translation(connection)
    plans = [
        plan_of(history, kept.transaction_table).translated(schemas)
        for kept in coverage
        for history in kept.histories
        if history.settings.native_versioning
    ]
    known = installed(connection)
    lost = [plan for plan in plans if known.get((plan.schema, plan.name), PARTIAL) == PARTIAL]
    missing = existing(connection, lost) if lost else []
    if missing:
        raise ImproperlyConfigured(
            f"the triggers of {', '.join(plan.fullname for plan in missing)} are not in the database, or not all of "
            "them: create them with metadata.create_all, or by a migration with op.create_version_triggers.",
            option="native_versioning",
        )
    seen.add(connection.engine)

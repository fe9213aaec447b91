"""Create the triggers of natively versioned tables with the tables, drop them with them, and miss them in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Connection, Engine, MetaData, Null
from sqlalchemy.engine.mock import MockConnection

from async_continuum.build import Blueprint, TableHistory
from async_continuum.errors import ImproperlyConfigured
from async_continuum.manager.coverage import Coverage, Kept
from async_continuum.native import (
    PARTIAL,
    TriggerPlan,
    can_name_classes,
    companions_of,
    create_triggers,
    drop_triggers,
    existing,
    installed,
    recorded_condition,
    unfit,
)
from async_continuum.plugins import Plugins

# What a plugin writes by these hooks, it writes with the session's own statements; and no session is told of a
# transaction that triggers move to a later id.
_SENT_BY_SESSIONS = ("first_versions", "versions_written", "versions_removed", "renumbered")

_found: WeakKeyDictionary[Coverage, WeakSet[Engine]] = WeakKeyDictionary()


class Triggers:
    """Listens to metadata that is created and dropped. Lives as long as its manager is active."""

    def __init__(self, coverage: Coverage) -> None:
        self._coverage = coverage

    def after_create(self, target: MetaData, connection: Connection | MockConnection, **_: Any) -> None:
        """Install the triggers that are missing or stale, and take those away whose class is recorded otherwise now."""
        plans = self._plans(target, connection)
        if not plans:
            return
        if isinstance(connection, MockConnection):
            # That of create_mock_engine(), which writes a script and can be asked for nothing.
            for _kept, history, plan in plans:
                if history.settings.native_versioning:
                    create_triggers(connection, plan)
            return
        known = installed(connection)
        wanted: dict[TriggerPlan, Kept] = {
            plan: kept
            for kept, history, plan in plans
            if history.settings.native_versioning and known.get((plan.schema, plan.name)) != plan.fingerprint
        }
        refuse_unfit(connection, wanted)
        for plan in existing(connection, wanted):
            create_triggers(connection, plan)
        for _kept, history, plan in plans:
            if not history.settings.native_versioning and (plan.schema, plan.name) in known:
                drop_triggers(connection, plan)

    def before_drop(
        self, target: MetaData, connection: Connection | MockConnection, tables: Any = None, **_: Any
    ) -> None:
        """Take the triggers of tables away that are dropped, or whose history is."""
        going = set(target.tables.values() if tables is None else tables)
        if connection.dialect.name == "postgresql":
            for kept, history, plan in self._coverage.plans(translation(connection)):
                touched = {history.table, history.version_table, kept.transaction_table}
                if history.settings.native_versioning and touched & going:
                    drop_triggers(connection, plan)

    def _plans(
        self, target: MetaData, connection: Connection | MockConnection
    ) -> list[tuple[Kept, TableHistory, TriggerPlan]]:
        if connection.dialect.name != "postgresql":
            return []
        return [each for each in self._coverage.plans(translation(connection)) if each[1].table.metadata is target]


def refuse_unfit(connection: Connection, wanted: Mapping[TriggerPlan, Kept]) -> None:
    """Refuse to have triggers on what cannot have them. Raises `ImproperlyConfigured`; one query, where any is wanted.

    Not before there is a connection: only the database knows what a mapped name stands for.
    """
    for plan, what in unfit(connection, list(wanted)):
        kept = wanted[plan]
        raise ImproperlyConfigured(
            f"{plan.fullname!r} is {what} in the database, and cannot have the triggers of native_versioning. Let "
            "sessions record it, with __versioned__ = {'native_versioning': False}, or version the class of its table.",
            model=kept.model if isinstance(kept, Blueprint) else kept.history.table,
            option="native_versioning",
        )


def refuse_unsupported(blueprint: Blueprint, plugins: Plugins) -> None:
    """Refuse to version natively what triggers cannot record in full. Raises `ImproperlyConfigured`."""
    if blueprint.settings.append_only and not blueprint.settings.native_versioning:
        raise ImproperlyConfigured(
            "append_only is kept by triggers: it needs native_versioning.", model=blueprint.model, option="append_only"
        )
    if not blueprint.settings.native_versioning:
        return
    if callable(blueprint.settings.record_if):
        raise ImproperlyConfigured(
            "a trigger cannot ask a function of Python's: give record_if as a SQL expression on the row, or let "
            "sessions record the class with __versioned__ = {'native_versioning': False}.",
            model=blueprint.model,
            option="record_if",
        )
    # Raises where a value in it has no literal.
    recorded_condition(blueprint.history)
    for history in blueprint.histories:
        _refuse_plugins(blueprint, history, plugins)


def _refuse_plugins(blueprint: Blueprint, history: TableHistory, plugins: Plugins) -> None:
    def refused(plugin: object, why: str) -> ImproperlyConfigured:
        return ImproperlyConfigured(
            f"triggers do not do what {type(plugin).__name__} adds to history ({why}): leave out the plugin or "
            "native_versioning.",
            model=blueprint.model,
            option="native_versioning",
        )

    for hook in _SENT_BY_SESSIONS:
        for plugin in plugins.not_done_by_triggers(hook):
            raise refused(plugin, hook)
    for plugin in plugins.overriding("version_columns"):
        if not all(each.says_changed and each.beside is not None for each in plugin.version_columns(history)):
            raise refused(plugin, "version_columns: columns that say something else than what has changed")
    for plugin in plugins.overriding("deleted_value"):
        columns = [history.table.c[name] for name in history.columns if name not in history.key]
        values = [plugin.deleted_value(history, column) for column in columns]
        if not all(value is None or isinstance(value, Null) for value in values):
            raise refused(plugin, "deleted_value: something else than NULL")
    names = any(each.names is not None for each in companions_of(blueprint.transaction_table))
    if names and not can_name_classes(history):
        raise ImproperlyConfigured(
            "triggers cannot name its classes: those of joined inheritance, and those of one table whose rows do not "
            "say in a column of which class they are. Leave out TransactionChangesPlugin or native_versioning.",
            model=blueprint.model,
            option="native_versioning",
        )


def translation(connection: Connection | MockConnection) -> Mapping[str | None, str | None]:
    """Give the connection's ``schema_translate_map``; a mock connection has none."""
    if isinstance(connection, MockConnection):
        return {}
    found: Mapping[str | None, str | None] | None = connection.get_execution_options().get("schema_translate_map")
    return found or {}


def require_triggers(connection: Connection, coverage: Coverage) -> None:
    """Refuse to write where triggers are to record a table and are not there; looks once on each engine.

    Raises `ImproperlyConfigured`: what nobody records would be lost in silence.
    """
    seen = _found.setdefault(coverage, WeakSet())
    if connection.engine in seen:
        return
    found = coverage.plans(translation(connection))
    plans = {plan: kept for kept, history, plan in found if history.settings.native_versioning}
    known = installed(connection)
    lost = {plan: kept for plan, kept in plans.items() if known.get((plan.schema, plan.name), PARTIAL) == PARTIAL}
    refuse_unfit(connection, lost)
    missing = existing(connection, lost) if lost else []
    if missing:
        raise ImproperlyConfigured(
            f"the triggers of {', '.join(plan.fullname for plan in missing)} are not in the database, or not all of "
            "them: create them with metadata.create_all, or by a migration with op.create_version_triggers.",
            option="native_versioning",
        )
    seen.add(connection.engine)

"""Compare the triggers that the models want with those that the database has, for `--autogenerate`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation
from alembic.operations.ops import AddColumnOp, AlterColumnOp, DropColumnOp, DropTableOp, ModifyTableOps, UpgradeOps
from sqlalchemy import Connection, text

from async_continuum.build import TableHistory
from async_continuum.ext.alembic.known import Place, dialect_of, metadata_of, place_of, table_of, transactions_of
from async_continuum.ext.alembic.past import FillOp, UnfilledOp
from async_continuum.ext.alembic.signing import RenameTransactionTableOp
from async_continuum.ext.alembic.triggers import (
    CreateVersionTriggersOp,
    DropVersionTriggersOp,
    SyncVersionTriggersOp,
    plan_from,
    refuses_data_steps,
)
from async_continuum.manager import all_managers, refuse_unfit
from async_continuum.native import ChainedTable, TriggerPlan, installed, installed_plans

_BEHIND = text(
    """
    SELECT p.proname, n.nspname
    FROM pg_catalog.pg_trigger t
    JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
    JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE c.relname = :name AND cn.nspname = COALESCE(:schema, pg_catalog.current_schema()) AND t.tgname = :trigger
    """
)


def compare_triggers(context: AutogenContext, upgrade_ops: UpgradeOps) -> None:
    """Create what is missing, replace what is stale, and drop what is left over, in the order that tables need.

    Raises `ImproperlyConfigured` for what cannot have triggers.
    """
    connection = context.connection
    if connection is None or dialect_of(context).name != "postgresql":
        return
    there = {place_of(context, schema, name): made for (schema, name), made in installed(connection).items()}
    made = {place_of(context, schema, name): plan for (schema, name), plan in installed_plans(connection).items()}
    plans = dict(_plans(context))
    filled = {table_of(operation) for operation in upgrade_ops.ops if isinstance(operation, FillOp | UnfilledOp)}
    altered = set(_altered(upgrade_ops))
    renames = any(isinstance(operation, RenameTransactionTableOp) for operation in upgrade_ops.ops)
    first: list[MigrateOperation] = []
    last: list[MigrateOperation] = []
    wanted: list[TriggerPlan] = []
    for place, (history, plan) in plans.items():
        included = context.run_object_filters(history.table, plan.name, "table", False, None)
        if not included or not history.settings.native_versioning:
            continue
        before = made.get(place) or _as_it_is(context, plan)
        versions = place_of(context, plan.versions_schema, plan.versions)
        top = place_of(context, plan.chain[0].schema, plan.chain[0].name) if plan.chain else place
        asked = {(top, name) for each in (before, plan) for name in _asked(each)}
        stale = there.get(place) != plan.fingerprint
        # What asks about columns is there only while they are, as they are.
        apart = (versions in filled and refuses_data_steps(plan)) or (
            stale and (renames or not asked.isdisjoint(altered))
        )
        if place in there and apart:
            first.append(DropVersionTriggersOp(before))
            last.append(CreateVersionTriggersOp(plan))
        elif not stale:
            continue
        elif place in there:
            last.append(SyncVersionTriggersOp(plan, before))
        else:
            wanted.append(plan)
            last.append(CreateVersionTriggersOp(plan))
    kept = {plan: each for manager in all_managers() for each, _, plan in manager.coverage.plans({})}
    refuse_unfit(connection, {plan: kept[plan] for plan in wanted})
    first += (
        DropVersionTriggersOp(made.get(place) or _installed_plan(context, connection, place, plans))
        for place in there
        if _is_left_over(context, place, plans, upgrade_ops)
    )
    upgrade_ops.ops[:] = [*first, *upgrade_ops.ops, *last]


def _altered(upgrade_ops: UpgradeOps) -> Iterator[tuple[Place | None, str]]:
    """List the columns that this script adds, drops or changes."""
    for container in upgrade_ops.ops:
        for operation in container.ops if isinstance(container, ModifyTableOps) else ():
            if isinstance(operation, AddColumnOp):
                yield table_of(container), operation.column.name
            elif isinstance(operation, DropColumnOp | AlterColumnOp):
                yield table_of(container), operation.column_name


def _asked(plan: TriggerPlan) -> set[str]:
    """Name the columns that the conditions of these triggers ask about."""
    return {name for condition in (plan.kept, plan.recorded) if condition for name in condition.columns}


Plans = dict[Place, tuple[TableHistory, TriggerPlan]]


def _plans(context: AutogenContext) -> Iterator[tuple[Place, tuple[TableHistory, TriggerPlan]]]:
    """Say what the triggers of every table whose history is kept are, or would be."""
    known = metadata_of(context)
    for manager in all_managers():
        for _, history, plan in manager.coverage.plans({}):
            if history.table.metadata in known:
                yield place_of(context, plan.schema, plan.name), (history, plan)


def _is_left_over(context: AutogenContext, place: Place, plans: Plans, upgrade_ops: UpgradeOps) -> bool:
    if place in plans:
        history, plan = plans[place]
        return not history.settings.native_versioning and context.run_object_filters(
            history.table, plan.name, "table", False, None
        )
    # Neither one of ours nor one that this script drops: another program's table in the same database.
    declared = {
        place_of(context, table.schema, table.name)
        for metadata in metadata_of(context)
        for table in metadata.tables.values()
    }
    dropped = {table_of(operation) for operation in upgrade_ops.ops if isinstance(operation, DropTableOp)}
    return place in declared or place in dropped


def _as_it_is(context: AutogenContext, plan: TriggerPlan) -> TriggerPlan:
    """Describe triggers that fit the tables as the database has them now, for the way back."""
    live = _columns(context, (plan.schema, plan.name))
    kept = _columns(context, (plan.versions_schema, plan.versions))
    own = {plan.begins, plan.ends, plan.operation}
    columns = tuple(name for name in kept if name in live and name not in own)
    if not columns or not set(plan.key) <= set(columns):
        return plan
    same = set(columns) == set(plan.columns)
    ends = plan.ends if plan.ends is None or plan.ends in kept else None
    top = _columns(context, (plan.chain[0].schema, plan.chain[0].name)) if plan.chain else live
    asked: dict[str, Any] = {
        role: given if given is None or set(given.columns) <= set(top) else None
        for role, given in (("kept", plan.kept), ("recorded", plan.recorded))
    }
    if plan.classes and plan.names_class not in columns:
        asked |= {"classes": (), "names_class": None}
    there = replace(plan, columns=plan.columns if same else columns, ends=ends, **asked)
    return replace(there, chain=_chain_as_it_is(context, there)) if plan.chain else there


def _chain_as_it_is(context: AutogenContext, plan: TriggerPlan) -> tuple[ChainedTable, ...]:
    """Describe the tables of a hierarchy that there are, with the columns that they have."""
    found = []
    for each in plan.chain:
        alone = _as_it_is(context, replace(plan, **_of(each), chain=()))
        if _columns(context, (each.schema, each.name)) and _columns(context, (each.versions_schema, each.versions)):
            found.append(replace(each, columns=alone.columns))
    return tuple(found) if len(found) > 1 else ()


def _of(table: ChainedTable) -> dict[str, Any]:
    return {name: getattr(table, name) for name in ("name", "schema", "versions", "versions_schema", "columns", "key")}


def _installed_plan(context: AutogenContext, connection: Connection, place: Place, plans: Plans) -> TriggerPlan:
    """Describe the triggers of a table whose models say nothing of them any more."""
    if place in plans:
        return _as_it_is(context, plans[place][1])
    schema, name = place
    given = {"name": name, "schema": schema, "trigger": "async_continuum_insert"}
    row = connection.execute(_BEHIND, given).first()
    versions, versions_schema = f"{name}_version", schema
    if row is not None:
        versions = row.proname.removesuffix("_on_insert")
        versions_schema = place_of(context, row.nspname, versions)[0]
    key = context.inspector.get_pk_constraint(name, schema=schema)["constrained_columns"] or ["id"]
    signing = sorted(transactions_of(context), key=str)
    transaction = {"schema": signing[0][0], "name": signing[0][1]} if len(signing) == 1 else {"name": "transaction"}
    plan = plan_from(
        name,
        key=key,
        columns=key,
        schema=schema,
        versions=versions,
        versions_schema=versions_schema,
        transaction=transaction,
    )
    return _as_it_is(context, plan)


def _columns(context: AutogenContext, place: Place) -> list[str]:
    schema, name = place
    if not context.inspector.has_table(name, schema=schema):
        return []
    return [column["name"] for column in context.inspector.get_columns(name, schema=schema)]

"""Keep history whole in what `--autogenerate` writes: fill what is new, leave the past of what is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations
from alembic.operations.ops import (
    AddColumnOp,
    CreateIndexOp,
    CreateTableOp,
    DropColumnOp,
    DropConstraintOp,
    ModifyTableOps,
    UpgradeOps,
)
from sqlalchemy import Column, Executable

from async_continuum import schema
from async_continuum.build import TableHistory, fit
from async_continuum.ext.alembic.known import (
    Place,
    dialect_of,
    histories_of,
    place_of,
    table_of,
    transactions_of,
)


class FillOp(MigrateOperation):
    """One statement of `async_continuum.schema`, executed. Lives while a script is written."""

    def __init__(self, place: Place, function: str, *arguments: Any, **options: Any) -> None:
        self.schema, self.table_name = place
        self.function = function
        self.arguments = arguments
        self.options = options

    @property
    def statement(self) -> Executable:
        made: Executable = getattr(schema, self.function)(*self.arguments, **self.options)
        return made

    def reverse(self) -> UnfilledOp:
        return UnfilledOp(self)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return (self.function, *self.arguments)


class UnfilledOp(MigrateOperation):
    """Nothing, where a column goes that is filled on the other way: what is in it goes with it."""

    def __init__(self, filling: FillOp) -> None:
        self.schema, self.table_name = filling.schema, filling.table_name
        self.filling = filling

    def reverse(self) -> FillOp:
        return self.filling

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("nothing",)


@Operations.implementation_for(FillOp)
def _fill(operations: Operations, operation: FillOp) -> None:
    operations.execute(operation.statement)


@Operations.implementation_for(UnfilledOp)
def _do_nothing(_: Operations, __: UnfilledOp) -> None:
    """Do nothing."""


@renderers.dispatch_for(FillOp)
def _render_fill(context: AutogenContext, operation: FillOp) -> str:
    context.imports.add(f"from async_continuum.schema import {operation.function}")
    given = [*map(repr, operation.arguments), *(f"{name}={value!r}" for name, value in operation.options.items())]
    return f"op.execute({operation.function}({', '.join(given)}))"


@renderers.dispatch_for(UnfilledOp)
def _render_nothing(_: AutogenContext, __: UnfilledOp) -> list[str]:
    return []


def keep_history_whole(context: AutogenContext, upgrade_ops: UpgradeOps) -> None:
    """Fill what version tables get, and drop nothing from them that the live table has lost before."""
    histories = histories_of(context)
    added = {
        (table_of(container), operation.column.name): operation.column
        for container in upgrade_ops.ops
        if isinstance(container, ModifyTableOps)
        for operation in container.ops
        if isinstance(operation, AddColumnOp)
    }
    # A table that is created has nothing to fill, and its indexes come in a container of their own.
    created = {table_of(operation) for operation in upgrade_ops.ops if isinstance(operation, CreateTableOp)}
    dropped = {
        (table_of(container), operation.column_name): operation.to_column()
        for container in upgrade_ops.ops
        if isinstance(container, ModifyTableOps)
        for operation in container.ops
        if isinstance(operation, DropColumnOp)
    }
    signing = transactions_of(context)
    whole: list[MigrateOperation] = []
    # The last thing on the way back, where columns come again in both tables.
    refilled: list[MigrateOperation] = []
    for container in upgrade_ops.ops:
        if isinstance(container, ModifyTableOps) and table_of(container) in signing:
            _leave_unnamed_foreign_keys(context, container)
        history = histories.get(table_of(container) or (None, ""))
        if history is None or not isinstance(container, ModifyTableOps) or table_of(container) in created:
            whole.append(container)
            continue
        live = place_of(context, history.table.schema, history.table.name)
        _leave_what_was_kept(context, container, history, live)
        refilled += _refilled(context, container, history, live, dropped)
        whole += _filled(context, container, history, live, added)
    upgrade_ops.ops[:] = [
        each for each in [*refilled, *whole] if not (isinstance(each, ModifyTableOps) and each.is_empty())
    ]


def _leave_unnamed_foreign_keys(context: AutogenContext, container: ModifyTableOps) -> None:
    """Keep the foreign key of Continuum's ``user_id`` where only a new table could do without it: on SQLite."""
    if dialect_of(context).name == "sqlite":
        container.ops[:] = [
            operation
            for operation in container.ops
            if not (isinstance(operation, DropConstraintOp) and operation.constraint_name is None)
        ]


def _leave_what_was_kept(
    context: AutogenContext, container: ModifyTableOps, history: TableHistory, live: Place
) -> None:
    """Drop no column that the version table alone still has: whoever dropped it from the live one has kept its past."""
    present = _columns_in_database(context, live)
    own = {"transaction_id", "operation_type", history.begins, history.operation, *_names_of_ends(history)}

    def was_kept(operation: MigrateOperation) -> bool:
        if not isinstance(operation, DropColumnOp):
            return False
        name = operation.column_name
        return name not in present | own and name.removesuffix("_mod") not in present

    if present:
        container.ops[:] = [operation for operation in container.ops if not was_kept(operation)]


def _filled(
    context: AutogenContext,
    container: ModifyTableOps,
    history: TableHistory,
    live: Place,
    added: dict[tuple[Place | None, str], Column[Any]],
) -> list[MigrateOperation]:
    versions, place = history.version_table, _place(container)
    columns = [operation for operation in container.ops if isinstance(operation, AddColumnOp)]
    names = {operation.column.name for operation in columns}
    fills: list[MigrateOperation] = []
    ends = None if history.ends is None else versions.c[history.ends].name
    if ends is not None and (ends in names or _opens_index(container)):
        fills.append(_fill_ends(place, history, ends))
    given = [name for name in names if _live_rows_hold(name, history, live, added, context)]
    if given:
        fills.append(_fill_open(place, history, live, given, ends))
    # The index of open versions goes before their ends, and on the way back comes when they are filled again.
    gone = _names_of_ends(history) - {ends}
    going = [each for each in container.ops if isinstance(each, DropColumnOp) and each.column_name in gone]
    unfilled = [UnfilledOp(_fill_ends(place, history, each.column_name)) for each in going]
    if not fills and not going:
        return [container]
    first = columns if fills else []
    others = [operation for operation in container.ops if operation not in [*first, *going]]

    def part(operations: Sequence[MigrateOperation]) -> ModifyTableOps:
        return ModifyTableOps(container.table_name, operations, schema=container.schema)

    return [part(first), *fills, part(others), *unfilled, part(going)]


def _refilled(
    context: AutogenContext,
    container: ModifyTableOps,
    history: TableHistory,
    live: Place,
    dropped: dict[tuple[Place | None, str], Column[Any]],
) -> list[MigrateOperation]:
    """Fill, on the way back, what the version table loses, where live rows have a value in it then."""
    present = _columns_in_database(context, live)

    def comes_back(operation: MigrateOperation) -> bool:
        if not isinstance(operation, DropColumnOp) or operation.column_name not in present:
            return False
        column = dropped.get((live, operation.column_name))
        return column is None or column.server_default is not None or column.computed is not None

    names = [operation.column_name for operation in container.ops if comes_back(operation)]  # type: ignore[attr-defined]
    # There may be no ends by then.
    return [UnfilledOp(_fill_open(_place(container), history, live, names, None))] if names else []


def _place(container: ModifyTableOps) -> Place:
    return container.schema, container.table_name


def _fill_open(place: Place, history: TableHistory, live: Place, names: Sequence[str], ends: str | None) -> FillOp:
    versions, (schema_name, name) = history.version_table, place
    elsewhere = {} if schema_name == live[0] else {"versions_schema": schema_name}
    options = elsewhere | _said(
        schema=live[0],
        transaction_column_name=versions.c[history.begins].name,
        end_transaction_column_name=ends,
        operation_type_column_name=versions.c[history.operation].name,
    )
    key = [versions.c[part].name for part in history.key]
    return FillOp(place, "fill_open_versions", live[1], sorted(names), versions=name, key=key, **options)


def _names_of_ends(history: TableHistory) -> set[str]:
    """Give what a column of ends is called, also where there is none now."""
    return {"end_transaction_id", history.settings.end_transaction_column_name}


def _fill_ends(place: Place, history: TableHistory, ends: str) -> FillOp:
    versions, (schema_name, name) = history.version_table, place
    options = _said(
        schema=schema_name,
        transaction_column_name=versions.c[history.begins].name,
        end_transaction_column_name=ends,
    )
    key = [versions.c[part].name for part in history.key]
    return FillOp(place, "fill_end_transaction_ids", name, key=key, **options)


def _opens_index(container: ModifyTableOps) -> bool:
    """Say whether the index comes that allows one open version only; SQLAlchemy-Continuum has left more of them."""
    name = fit(f"uq_{container.table_name}_open")
    return any(isinstance(operation, CreateIndexOp) and operation.index_name == name for operation in container.ops)


def _live_rows_hold(
    name: str,
    history: TableHistory,
    live: Place,
    added: dict[tuple[Place | None, str], Column[Any]],
    context: AutogenContext,
) -> bool:
    """Say whether rows that are there have a value in a column that their versions only get now."""
    if name not in {column.name for column in history.table.c}:
        return False
    column = added.get((live, name))
    if column is None:
        return name in _columns_in_database(context, live)
    return column.server_default is not None or column.computed is not None


def _columns_in_database(context: AutogenContext, place: Place) -> set[str]:
    schema_name, name = place
    if not context.inspector.has_table(name, schema=schema_name):
        return set()
    return {column["name"] for column in context.inspector.get_columns(name, schema=schema_name)}


_DEFAULTS = {
    "schema": None,
    "transaction_column_name": "transaction_id",
    "end_transaction_column_name": "end_transaction_id",
    "operation_type_column_name": "operation_type",
}


def _said(**options: Any) -> dict[str, Any]:
    """Leave out what is so by itself."""
    return {name: value for name, value in options.items() if value != _DEFAULTS[name]}

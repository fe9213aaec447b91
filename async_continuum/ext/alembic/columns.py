"""Rename, add and drop a column of a table, of its history and of its triggers in one operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alembic.operations import MigrateOperation, Operations
from sqlalchemy import Column

from async_continuum.ext.alembic.tables import Tables
from async_continuum.ext.alembic.triggers import install_all as install
from async_continuum.ext.alembic.triggers import loosen, plan_from
from async_continuum.native import TriggerPlan


@Operations.register_operation("rename_versioned_column")
class RenameVersionedColumnOp(MigrateOperation):
    """Rename a column. Lives for one operation."""

    def __init__(
        self, tables: Tables, name: str, new_name: str, existing: Mapping[str, Any], triggers: TriggerPlan | None
    ) -> None:
        self.tables = tables
        self.name = name
        self.new_name = new_name
        self.existing = existing
        self.triggers = triggers

    @classmethod
    def rename_versioned_column(
        cls,
        operations: Operations,
        table: str,
        column: str,
        new_name: str,
        *,
        existing: Mapping[str, Any] | None = None,
        triggers: Mapping[str, Any] | None = None,
        **tables: Any,
    ) -> Any:
        """Rename a column of a table and of its history.

        ``triggers`` are the arguments of `create_version_triggers` as they shall be afterwards, where the table has
        triggers. ``existing`` is what MariaDB wants to know of the column (``{"existing_type": ...}``). All others say
        how the tables are called where that is not the default: ``versions``, ``schema``, ``versions_schema``.
        """
        plan = None if triggers is None else plan_from(table, **triggers)
        return operations.invoke(cls(Tables.of(table, tables), column, new_name, existing or {}, plan))

    def reverse(self) -> RenameVersionedColumnOp:
        plan = self.triggers and _renamed(self.triggers, self.new_name, self.name)
        return RenameVersionedColumnOp(self.tables, self.new_name, self.name, self.existing, plan)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("rename_versioned_column", self.tables.live, self.name, self.new_name)


@Operations.implementation_for(RenameVersionedColumnOp)
def _rename(operations: Operations, operation: RenameVersionedColumnOp) -> None:
    for name, schema in operation.tables.places:
        operations.alter_column(
            name, operation.name, new_column_name=operation.new_name, schema=schema, **operation.existing
        )
    install(operations, operation.triggers)


@Operations.register_operation("add_versioned_column")
class AddVersionedColumnOp(MigrateOperation):
    """Add a column. Lives for one operation."""

    def __init__(
        self, tables: Tables, column: Column[Any], past: Any, triggers: TriggerPlan | None, *, was_kept: bool = False
    ) -> None:
        self.tables = tables
        self.column = column
        self.past = past
        self.triggers = triggers
        self.was_kept = was_kept

    @classmethod
    def add_versioned_column(
        cls,
        operations: Operations,
        table: str,
        column: Column[Any],
        *,
        past: Any = None,
        triggers: Mapping[str, Any] | None = None,
        **tables: Any,
    ) -> Any:
        """Add a column to a table and to its history.

        The newest version of a live row gets what the row has by then: its ``server_default``, or NULL. All others get
        ``past``, a value or a SQL expression over their columns. Give the table's ``key`` where it is not ``id``, and
        ``end_transaction_column_name=None`` under the strategy 'subquery'; the rest is as in
        `rename_versioned_column`.
        """
        plan = None if triggers is None else plan_from(table, **triggers)
        return operations.invoke(cls(Tables.of(table, tables), column, past, plan))

    def reverse(self) -> DropVersionedColumnOp:
        plan = self.triggers and self.triggers.with_columns(
            lambda names: tuple(name for name in names if name != self.column.name)
        )
        return DropVersionedColumnOp(self.tables, self.column.name, self.column, plan, keep_past=self.was_kept)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("add_versioned_column", self.tables.live, self.column)


@Operations.implementation_for(AddVersionedColumnOp)
def _add(operations: Operations, operation: AddVersionedColumnOp) -> None:
    tables, given = operation.tables, operation.column
    kept: Column[Any] = Column(given.name, given.type, nullable=True, comment=given.comment)
    loosen(operations, operation.triggers)
    operations.add_column(tables.live, given, schema=tables.schema)
    if operation.was_kept:
        operations.execute(tables.restore(given.name))
    else:
        operations.add_column(tables.versions, kept, schema=tables.versions_schema)
        if operation.past is not None:
            operations.execute(tables.fill_past(kept, operation.past))
        if operation.past is not None or given.server_default is not None or given.computed is not None:
            operations.execute(tables.fill_open([given.name]))
    install(operations, operation.triggers)


@Operations.register_operation("drop_versioned_column")
class DropVersionedColumnOp(MigrateOperation):
    """Drop a column. Lives for one operation."""

    def __init__(
        self,
        tables: Tables,
        name: str,
        existing: Column[Any] | None,
        triggers: TriggerPlan | None,
        *,
        keep_past: bool,
    ) -> None:
        self.tables = tables
        self.name = name
        self.existing = existing
        self.triggers = triggers
        self.keep_past = keep_past

    @classmethod
    def drop_versioned_column(
        cls,
        operations: Operations,
        table: str,
        column: str,
        *,
        keep_past: bool = False,
        existing: Column[Any] | None = None,
        triggers: Mapping[str, Any] | None = None,
        **tables: Any,
    ) -> Any:
        """Drop a column of a table and of its history; with ``keep_past`` the version table keeps it as it is.

        What only a version table has is left alone by ``--autogenerate``. ``existing`` is the column, for a tool that
        reverses operations; the rest is as in `rename_versioned_column`.
        """
        plan = None if triggers is None else plan_from(table, **triggers)
        return operations.invoke(cls(Tables.of(table, tables), column, existing, plan, keep_past=keep_past))

    def reverse(self) -> AddVersionedColumnOp:
        if self.existing is None:
            raise ValueError(f"to reverse drop_versioned_column({self.name!r}), give it existing=Column(...)")
        columns = () if self.triggers is None else self.triggers.columns
        plan = self.triggers and self.triggers.with_columns(
            lambda names: (*names, self.name) if names is columns else names
        )
        return AddVersionedColumnOp(self.tables, self.existing, None, plan, was_kept=self.keep_past)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("drop_versioned_column", self.tables.live, self.name)


@Operations.implementation_for(DropVersionedColumnOp)
def _drop(operations: Operations, operation: DropVersionedColumnOp) -> None:
    # Before: the triggers that are there name the column.
    install(operations, operation.triggers)
    live, versions = operation.tables.places
    for name, schema in (live,) if operation.keep_past else (live, versions):
        operations.drop_column(name, operation.name, schema=schema)


def _renamed(plan: TriggerPlan, old: str, new: str) -> TriggerPlan:
    def named(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if name == old else name for name in names)

    return plan.with_columns(named)

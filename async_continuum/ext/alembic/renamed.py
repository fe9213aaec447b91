"""Rename a table, its history, the indexes that are named after it, and its triggers in one operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from alembic.operations import MigrateOperation, Operations
from sqlalchemy import Column, Index, MetaData, Table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex, DropIndex, ExecutableDDLElement
from sqlalchemy.sql.compiler import DDLCompiler

from async_continuum.build import fit
from async_continuum.ext.alembic.tables import Tables
from async_continuum.ext.alembic.triggers import install_all, plan_from, uninstall
from async_continuum.native import TriggerPlan


@Operations.register_operation("rename_versioned_table")
class RenameVersionedTableOp(MigrateOperation):
    """Rename a table. Lives for one operation."""

    def __init__(
        self, tables: Tables, new_name: str, new_versions: str, before: TriggerPlan | None, after: TriggerPlan | None
    ) -> None:
        self.tables = tables
        self.new_name = new_name
        self.new_versions = new_versions
        self.before = before
        self.after = after

    @classmethod
    def rename_versioned_table(
        cls,
        operations: Operations,
        old_name: str,
        new_name: str,
        *,
        new_versions: str | None = None,
        triggers: Mapping[str, Any] | None = None,
        **tables: Any,
    ) -> Any:
        """Rename a table and its version table, with the indexes that are named after the latter.

        The version tables are called ``<name>_version`` unless ``versions`` and ``new_versions`` say otherwise; give
        the ``key`` where it is not ``id``, and ``end_transaction_column_name=None`` under the strategy 'subquery'.
        ``triggers`` are the arguments of `create_version_triggers`, where the table has triggers. An association table
        is renamed in the same way. Indexes of the live table keep their names.
        """
        names = Tables.of(old_name, tables)
        versions = new_versions or f"{new_name}_version"
        before = after = None
        if triggers is not None:
            before = plan_from(old_name, **{"versions": names.versions, **triggers})
            chain = tuple(
                replace(each, name=new_name, versions=versions) if place == before.place else each
                for place, each in enumerate(before.chain)
            )
            after = replace(before, name=new_name, versions=versions, chain=chain)
        return operations.invoke(cls(names, new_name, versions, before, after))

    def reverse(self) -> RenameVersionedTableOp:
        tables = replace(self.tables, live=self.new_name, versions=self.new_versions)
        return RenameVersionedTableOp(tables, self.tables.live, self.tables.versions, self.after, self.before)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("rename_versioned_table", self.tables.live, self.new_name)


@Operations.implementation_for(RenameVersionedTableOp)
def _rename(operations: Operations, operation: RenameVersionedTableOp) -> None:
    tables = operation.tables
    # Before: the functions behind the triggers are named after the version table.
    uninstall(operations, operation.before)
    operations.rename_table(tables.live, operation.new_name, schema=tables.schema)
    operations.rename_table(tables.versions, operation.new_versions, schema=tables.versions_schema)
    renames = operations.get_context().dialect.name == "postgresql"
    olds = _indexes(tables, tables.versions, rows=operation.new_versions)
    for old, new in zip(olds, _indexes(tables, operation.new_versions), strict=True):
        if old.name == new.name:
            continue
        if renames:
            operations.execute(_RenameIndex(old, str(new.name)))
        else:
            operations.execute(DropIndex(old))
            operations.execute(CreateIndex(new))
    install_all(operations, operation.after)


def _indexes(tables: Tables, name: str, *, rows: str | None = None) -> list[Index]:
    """Make the indexes of a version table, as they are named after ``name``."""
    begins, ends = tables.transaction_column_name, tables.end_transaction_column_name
    columns: list[Column[Any]] = [Column(each) for each in (*tables.key, begins, *filter(None, [ends]))]
    versions = Table(rows or name, MetaData(), *columns, schema=tables.versions_schema)
    found = [Index(fit(f"ix_{name}_{begins}"), versions.c[begins])]
    if ends is not None:
        is_open = versions.c[ends].is_(None)
        keyed = [versions.c[each] for each in tables.key]
        found.append(Index(fit(f"uq_{name}_open"), *keyed, unique=True, postgresql_where=is_open, sqlite_where=is_open))
    return found


class _RenameIndex(ExecutableDDLElement):
    """ALTER INDEX ... RENAME TO."""

    def __init__(self, index: Index, new_name: str) -> None:
        self.index = index
        self.new_name = new_name


@compiles(_RenameIndex)
def _compile(element: _RenameIndex, compiler: DDLCompiler, **_: Any) -> str:
    preparer = compiler.preparer
    old = preparer.quote(str(element.index.name))
    table = element.index.table
    if table is not None and table.schema is not None:
        old = f"{preparer.quote_schema(table.schema)}.{old}"
    return f"ALTER INDEX {old} RENAME TO {preparer.quote(element.new_name)}"

"""Know which tables of a migration are version tables, from the models of its environment."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import MigrateOperation
from sqlalchemy import MetaData, Table, inspect
from sqlalchemy.engine import Dialect

from async_continuum.build import TableHistory, find_history
from async_continuum.manager import all_managers

Place = tuple[str | None, str]
"""A table as Alembic names it: its schema, None for the default one, and its name."""


def metadata_of(context: AutogenContext) -> list[MetaData]:
    """List what the models of this environment declare."""
    given: Any = context.metadata
    if given is None:
        return []
    return [given] if isinstance(given, MetaData) else list(given)


def histories_of(context: AutogenContext) -> dict[Place, TableHistory]:
    """Find the history behind each version table, by the version table's place."""
    found = {}
    for metadata in metadata_of(context):
        for table in metadata.tables.values():
            history = find_history(table)
            if history is not None:
                found[place_of(context, history.version_table.schema, history.version_table.name)] = history
    return found


def transactions_of(context: AutogenContext) -> set[Place]:
    """Find the transaction tables."""
    known = metadata_of(context)
    tables = [inspect(cls).local_table for manager in all_managers() for cls in manager.transaction_classes]
    found = [table for table in tables if isinstance(table, Table) and table.metadata in known]
    return {place_of(context, table.schema, table.name) for table in found}


def place_of(context: AutogenContext, schema: str | None, name: str) -> Place:
    """Name a table as Alembic does: without its schema where that is the connection's default."""
    return (None if schema == dialect_of(context).default_schema_name else schema), name


def dialect_of(context: AutogenContext) -> Dialect:
    """Give the dialect that a script is written for."""
    dialect = context.migration_context.dialect
    assert dialect is not None
    return dialect


def table_of(operation: MigrateOperation) -> Place | None:
    """Give the table that an operation is about."""
    name = getattr(operation, "table_name", None)
    return None if name is None else (getattr(operation, "schema", None), name)

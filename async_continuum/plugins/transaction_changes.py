"""Note the names of the classes that each transaction has changed, so that they are found by one index look-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Executable, Index, Insert, Table, Unicode, and_, delete, exists, null, select

from async_continuum.build import TableHistory
from async_continuum.plugins.base import Plugin, done_by_triggers
from async_continuum.plugins.building import TransactionBuild
from async_continuum.write import Writing


class TransactionChangesBase:
    """A class of which a transaction has changed something. Lives as long as its session."""

    transaction_id: Any
    entity_name: Any

    def __repr__(self) -> str:
        return f"<TransactionChanges {self.transaction_id} {self.entity_name}>"


class TransactionChangesPlugin(Plugin):
    """Keep the table ``transaction_changes(transaction_id, entity_name)``, and `Transaction.changes`.

    `Transaction.touched` of a class and `entity_names` are then one look-up in it, however long history is. Names are
    net: of what a transaction has undone itself, nothing is left. Links between entities have no name.
    """

    def __init__(self, *, table_name: str = "transaction_changes") -> None:
        self._table_name = table_name

    def transaction_built(self, build: TransactionBuild) -> None:
        table = build.table(
            self._table_name,
            build.transaction_id(primary_key=True),
            Column("entity_name", Unicode(255), primary_key=True),
            names="entity_name",
            # All of a row is in its key: SQLite need not store it twice.
            sqlite_with_rowid=False,
        )
        # By name and id: the last transactions that changed something of a class are at the end of a range.
        Index(f"ix_{self._table_name}_entity_name", table.c.entity_name, table.c.transaction_id)
        changes = type("TransactionChanges", (TransactionChangesBase,), {"__module__": __name__})
        build.map(changes, table)
        build.relate("changes", changes, table.c.transaction_id, order_by=table.c.entity_name)
        build.transaction_class.__entity_names__ = build.transaction_table.info[self] = table

    @done_by_triggers
    def first_versions(self, writing: Writing) -> Sequence[Executable]:
        table = writing.transactions.info[self]
        named = select(writing.transaction_id, writing.entity).where(writing.any_versions)
        return [_insert_missing(table, writing, named)]

    @done_by_triggers
    def versions_removed(self, writing: Writing) -> Sequence[Executable]:
        table = writing.transactions.info[self]
        mine = and_(table.c.transaction_id == writing.transaction_id, table.c.entity_name == writing.entity)
        return [delete(table).where(mine, ~writing.any_versions)]

    def vacuumed(self, history: TableHistory, transactions: Table, entity: str) -> Sequence[Executable]:
        table, versions = transactions.info[self], history.version_table
        left = select(null()).select_from(versions).where(versions.c[history.begins] == table.c.transaction_id)
        return [delete(table).where(table.c.entity_name == entity, ~exists(left.correlate(table)))]


def _insert_missing(table: Table, writing: Writing, named: Any) -> Insert:
    names = ["transaction_id", "entity_name"]
    match writing.dialect.name:
        case "postgresql":
            from sqlalchemy.dialects import postgresql

            return postgresql.insert(table).from_select(names, named).on_conflict_do_nothing()
        case "sqlite":
            from sqlalchemy.dialects import sqlite

            return sqlite.insert(table).from_select(names, named).on_conflict_do_nothing()
        case _:
            mine = and_(table.c.transaction_id == writing.transaction_id, table.c.entity_name == writing.entity)
            known = exists(select(null()).select_from(table).where(mine))
            return table.insert().from_select(names, named.where(~known))

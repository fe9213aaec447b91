"""Know a version table by name only: what makes a chain of an entity's versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table, TableClause, and_, column, exists, table
from sqlalchemy.sql import ColumnElement, FromClause

from async_continuum.build import TableHistory, blueprint_of, find_history

Named = str | TableClause | type[Any]
"""How a migration names a table: by its name, as a `Table` or ``table()``, or by its model."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a version table calls its own columns; no ``ends`` under the strategy 'subquery'. Lives for one call."""

    begins: str = "transaction_id"
    ends: str | None = "end_transaction_id"
    operation: str = "operation_type"

    @classmethod
    def of(cls, history: TableHistory) -> Names:
        return cls(history.begins, history.ends, history.operation)


@dataclass(frozen=True, slots=True)
class Chain:
    """A version table and its entities' key. Lives for one statement."""

    rows: TableClause
    key: tuple[str, ...]
    names: Names

    @property
    def begun(self) -> ColumnElement[Any]:
        return self.rows.c[self.names.begins]

    def keyed(self, rows: FromClause) -> list[ColumnElement[Any]]:
        """List the key columns of the version table, of an alias of it, or of the live table."""
        return [rows.c[name] for name in self.key]

    def same(self, others: FromClause) -> ColumnElement[bool]:
        """Restrict other rows to those of the same entity."""
        return and_(*(equal(a, b) for a, b in zip(self.keyed(others), self.keyed(self.rows), strict=True)))

    def is_open(self) -> ColumnElement[bool]:
        """Restrict to the newest version of each entity."""
        if self.names.ends is not None:
            return self.rows.c[self.names.ends].is_(None)
        later = self.rows.alias("ac_later")
        return ~exists().where(self.same(later), later.c[self.names.begins] > self.begun).correlate(self.rows)


def chain_of(given: Named, *columns: str, key: Sequence[str], schema: str | None, names: Names) -> Chain:
    """Find a version table by its model or live table, or take it as it is named.

    Raises `ValueError` where nothing tells the key.
    """
    history = history_behind(given)
    if history is not None:
        return Chain(history.version_table, history.key, Names.of(history))
    own = [name for name in (names.begins, names.ends, names.operation) if name is not None]
    rows = named_table(given, schema, (*key, *own, *columns))
    found = tuple(key) or tuple(each.key for each in rows.primary_key if each.key != names.begins)
    if not found:
        raise ValueError(f"{rows.name}: name the columns that tell its entities apart, such as key=['id'].")
    return Chain(rows, found, names)


def history_behind(given: Named) -> TableHistory | None:
    """Find the history of a model or a live table; None for a name, and for a version table itself."""
    if isinstance(given, type):
        return blueprint_of(given).history
    return find_history(given) if isinstance(given, Table) else None


def named_table(given: Named, schema: str | None, names: Sequence[str]) -> TableClause:
    """Give a table, made up of these columns where only its name is known."""
    if isinstance(given, str):
        return table(given, *(column(name) for name in dict.fromkeys(names)), schema=schema)
    if isinstance(given, type):
        return blueprint_of(given).history.table
    return given


def equal(left: ColumnElement[Any], right: ColumnElement[Any]) -> ColumnElement[bool]:
    """Compare one column of a key."""
    # The columns of an association table without a primary key may be NULL; an index serves only the equality.
    nullable = isinstance(right, Column) and right.nullable and not right.primary_key
    return left.is_not_distinct_from(right) if nullable else left == right

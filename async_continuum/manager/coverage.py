"""Hold what one manager keeps the history of, and what the database does between these tables by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Table, select

from async_continuum.build import Blueprint, Cascade, LinkBlueprint, TableHistory, blueprint_of, cascades
from async_continuum.dialects import keys_for
from async_continuum.native import records

Key = tuple[Any, ...]


class Coverage:
    """The models and association tables of one manager. Lives as long as the manager is active."""

    __slots__ = ("__weakref__", "_cascades", "_native", "links", "models")

    def __init__(self) -> None:
        self.models: list[type] = []
        self.links: dict[Table, LinkBlueprint] = {}
        self._cascades: dict[TableHistory, list[Cascade]] | None = None
        self._native: dict[Any, list[TableHistory]] | None = None

    def changed(self) -> None:
        """Forget what was derived: a model or a link was added, or extended."""
        self._cascades = None
        self._native = None

    def __iter__(self) -> Iterator[Blueprint | LinkBlueprint]:
        """Go over what history is kept of."""
        yield from map(blueprint_of, self.models)
        yield from self.links.values()

    @property
    def native(self) -> dict[Any, list[TableHistory]]:
        """The tables that triggers record where the database is PostgreSQL, by the class that signs them."""
        if self._native is None:
            self._native = {}
            for kept in self:
                for history in kept.histories:
                    if history.settings.native_versioning:
                        self._native.setdefault(kept.transaction_class, []).append(history)
        return self._native

    def has_triggers(self, connection: Connection) -> bool:
        """Say whether triggers record anything on this connection."""
        return connection.dialect.name == "postgresql" and bool(self.native)

    def link_of(self, table: object, connection: Connection) -> LinkBlueprint | None:
        """Give the link that a table stores, unless triggers record it on this connection."""
        link = self.links.get(table) if isinstance(table, Table) else None
        return None if link is None or records(link.history, connection) else link

    def cascades_from(self, history: TableHistory) -> list[Cascade]:
        """List what the database does to other tables when rows of this one go, or move to another key."""
        if self._cascades is None:
            self._cascades = {}
            for cascade in cascades(self):
                self._cascades.setdefault(cascade.parent, []).append(cascade)
        return self._cascades.get(history, [])


def children(connection: Connection, cascade: Cascade, parents: tuple[Key, ...], *, lock: bool) -> tuple[Key, ...]:
    """Read the keys of the rows that refer to these parents.

    Keys only, and only here: once the database has followed its rule, nothing tells any more which rows they were.
    """
    parent, child = cascade.parent, cascade.history
    way = keys_for(parent.key_types, parents, connection.dialect)
    place = ("children", cascade, connection.dialect.name, way.name, lock)
    if place not in child.statements:
        # An alias, because a table may refer to itself.
        above = parent.table.alias("parent")
        refers = [child.table.c[name] == above.c[referred] for name, referred in cascade.pairs]
        found = select(*child.key_of(child.table)).join_from(child.table, above, _all(refers))
        found = found.where(way.among(parent.key_of(above), "keys"))
        child.statements[place] = found.with_for_update(of=child.table) if lock else found
    keys: dict[Key, None] = {}
    for batch in way.batches(parents):
        rows = connection.execute(child.statements[place], way.bind(batch, "keys"))
        keys |= dict.fromkeys(tuple(row) for row in rows)
    return tuple(keys)


def _all(clauses: list[Any]) -> Any:
    joined = clauses[0]
    for clause in clauses[1:]:
        joined = joined & clause
    return joined

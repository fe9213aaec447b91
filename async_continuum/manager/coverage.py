"""Hold what one manager keeps the history of, and what the database does between these tables by itself."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, select

from async_continuum.build import Blueprint, Cascade, LinkBlueprint, TableHistory, blueprint_of, cascades
from async_continuum.dialects import AnyKeys, keys_for
from async_continuum.plugins import Plugins
from async_continuum.record import Key

Kept = Blueprint | LinkBlueprint


class Coverage:
    """The models and association tables of one manager. Lives as long as the manager is active."""

    __slots__ = ("_cascades", "_kept", "links", "models", "plugins")

    def __init__(self) -> None:
        self.plugins = Plugins(())
        self.models: list[type] = []
        self.links: dict[Table, LinkBlueprint] = {}
        self._cascades: dict[TableHistory, list[Cascade]] | None = None
        self._kept: dict[Table, tuple[Kept, TableHistory]] | None = None

    def changed(self) -> None:
        """Forget what was derived: a model or a link was added, or extended."""
        self._cascades = None
        self._kept = None

    def kept(self, table: Table) -> tuple[Kept, TableHistory] | None:
        """Find who keeps the history of a table, and how; None where nobody does."""
        if self._kept is None:
            self._kept = {}
            everything: list[Kept] = [*(blueprint_of(model) for model in self.models), *self.links.values()]
            for each in everything:
                for history in each.histories:
                    self._kept.setdefault(history.table, (each, history))
        return self._kept.get(table)

    def cascades_from(self, history: TableHistory) -> list[Cascade]:
        """List what the database does to other tables when rows of this one go, or move to another key."""
        if self._cascades is None:
            self._cascades = {}
            for cascade in cascades([*(blueprint_of(model) for model in self.models), *self.links.values()]):
                self._cascades.setdefault(cascade.parent, []).append(cascade)
        return self._cascades.get(history, [])


def children(connection: Connection, cascade: Cascade, parents: AnyKeys, *, lock: bool) -> tuple[Key, ...]:
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

"""Hold what one manager keeps the history of, and what the database does between these tables by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Table, select

from async_continuum.build import Blueprint, Cascade, LinkBlueprint, TableHistory, blueprint_of, cascades
from async_continuum.dialects import AnyKeys, keys_for
from async_continuum.manager.binding import Homes
from async_continuum.native import TriggerPlan, plan_of
from async_continuum.plugins import Plugins
from async_continuum.record import FlushChanges, Key

Kept = Blueprint | LinkBlueprint


class Coverage:
    """The models and association tables of one manager. Lives as long as the manager is active."""

    __slots__ = (
        "__weakref__",
        "_cascades",
        "_homes",
        "_kept",
        "_native",
        "_native_tables",
        "following",
        "links",
        "models",
        "plugins",
        "waiting",
    )

    def __init__(self) -> None:
        self.plugins = Plugins(())
        self.models: list[type] = []
        self.links: dict[Table, LinkBlueprint] = {}
        self.waiting: set[FlushChanges] = set()
        """The flushes in which rows are about to go, so that the next statement matters."""
        self._cascades: dict[TableHistory, list[Cascade]] | None = None
        self._kept: dict[Table, tuple[Kept, TableHistory]] | None = None
        self._native: dict[Any, list[TableHistory]] | None = None
        self._native_tables: frozenset[Any] | None = None
        self._homes: Homes | None = None
        self.following: dict[type, bool] = {}
        """Which models have rows of others following theirs, of which only sessions know; as far as was asked."""

    def changed(self) -> None:
        """Forget what was derived: a model or a link was added, or extended."""
        self._cascades = None
        self._kept = None
        self._native = None
        self._native_tables = None
        self._homes = None
        self.following.clear()

    def __iter__(self) -> Iterator[Kept]:
        """Go over what history is kept of."""
        yield from map(blueprint_of, self.models)
        yield from self.links.values()

    @property
    def homes(self) -> Homes:
        """Beside which model each class of ours is stored."""
        if self._homes is None:
            self._homes = Homes(self.models)
        return self._homes

    @property
    def native(self) -> dict[Any, list[TableHistory]]:
        """The tables that triggers record where the database is PostgreSQL, by the class that signs them."""
        if self._native is None:
            self._native = {}
            for kept, history in self._histories():
                if history.settings.native_versioning:
                    self._native.setdefault(kept.transaction_class, []).append(history)
        return self._native

    @property
    def native_tables(self) -> frozenset[Any]:
        """The tables that triggers record where the database is PostgreSQL."""
        if self._native_tables is None:
            self._native_tables = frozenset(history.table for each in self.native.values() for history in each)
        return self._native_tables

    def has_triggers(self, connection: Connection) -> bool:
        """Say whether triggers record anything on this connection."""
        return connection.dialect.name == "postgresql" and bool(self.native)

    def plans(self, schemas: Mapping[str | None, str | None]) -> Iterator[tuple[Kept, TableHistory, TriggerPlan]]:
        """Say what the triggers of every table are, or would be, where schemas are translated so."""
        for kept, history in self._histories():
            entity = kept.model.__name__ if isinstance(kept, Blueprint) else None
            plan = plan_of(history, kept.transaction_table, entity=entity)
            yield kept, history, plan.translated(schemas)

    def _histories(self) -> Iterator[tuple[Kept, TableHistory]]:
        # The classes of a hierarchy share tables.
        seen: set[TableHistory] = set()
        for kept in self:
            for history in kept.histories:
                if history not in seen:
                    seen.add(history)
                    yield kept, history

    def kept(self, table: Table) -> tuple[Kept, TableHistory] | None:
        """Find who keeps the history of a table, and how; None where nobody does."""
        if self._kept is None:
            self._kept = {}
            for each in self:
                for history in each.histories:
                    self._kept.setdefault(history.table, (each, history))
        return self._kept.get(table)

    def cascades_from(self, history: TableHistory) -> list[Cascade]:
        """List what the database does to other tables when rows of this one go, or move to another key."""
        if self._cascades is None:
            self._cascades = {}
            for cascade in cascades(self):
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
        above = parent.table.alias("ac_parent")
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

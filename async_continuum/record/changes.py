"""Collect what one flush does to the rows of versioned models, as keys; values stay on the server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import InstanceState

from async_continuum.build import Blueprint, Cascade, LinkBlueprint, TableHistory, key_after_flush, may_have_twins
from async_continuum.dialects import AnyKeys, Fresh

Key = tuple[Any, ...]


@dataclass(frozen=True, eq=False, slots=True)
class TableChanges:
    """What one flush did to one table. Lives until its versions are written."""

    connection: Connection
    blueprint: Blueprint | LinkBlueprint
    history: TableHistory
    """The table that holds the keys: the topmost under joined inheritance."""
    live: AnyKeys = ()
    """Keys under which a row was written."""
    fresh: Fresh = frozenset()
    """Those of them that were inserted rather than updated."""
    gone: AnyKeys = ()
    """Keys whose row goes: deleted, or moved to another key."""
    moved: bool = False
    """Whether rows moved: one may be where another one was, or under a key that its collation calls the same."""
    followers: tuple[TableHistory, ...] = ()
    """The tables below, which hold the rest of these rows: a change in one makes a version in each."""


@dataclass(eq=False, slots=True)
class ModelChanges:
    """What the running flush has done to one model on one connection. Lives until the flush ends."""

    flush: FlushChanges
    inserted: list[InstanceState[Any]] = field(default_factory=list)
    updated: list[InstanceState[Any]] = field(default_factory=list)
    doomed: list[Key] = field(default_factory=list)
    gone: dict[Key, None] = field(default_factory=dict)
    moving: list[Key] = field(default_factory=list)
    linked: list[Key] = field(default_factory=list)
    touched: list[Key] = field(default_factory=list)
    uncertain: bool = False

    def dooms(self, key: Key) -> None:
        """Note a row that the next statement on its table deletes."""
        if not self.doomed:
            self.flush.wait()
        self.doomed.append(key)

    def going(self, keys: Iterable[Key]) -> tuple[Key, ...]:
        """Note rows as gone, and give those that were not noted before: the database may be ahead of the ORM."""
        going = dict.fromkeys(key for key in keys if key not in self.gone)
        self.gone |= going
        return tuple(going)


class FlushChanges:
    """What the running flush of one session has changed so far. Emptied by the end of the flush, however it ends."""

    __slots__ = ("_gone", "_models", "_moved", "_opened", "_waiting", "missing")

    def __init__(self, waiting: set[FlushChanges]) -> None:
        """Begin with nothing; ``waiting`` are the flushes of all sessions in which rows are about to go."""
        self._waiting = waiting
        self._opened: list[tuple[dict[Connection, ModelChanges], Connection]] = []
        self._moved: list[tuple[Connection, Cascade]] = []
        self._models: dict[tuple[Connection, Blueprint | LinkBlueprint], ModelChanges] = {}
        self._gone: dict[tuple[Connection, TableHistory], set[Key]] = {}
        self.missing: list[TableChanges] = []
        """Rows that go, of which some were not there when they were looked for."""

    def __bool__(self) -> bool:
        return bool(self._models)

    def open(
        self, connection: Connection, blueprint: Blueprint, opened: dict[Connection, ModelChanges]
    ) -> ModelChanges:
        """Give the changes of one model, and leave them in ``opened`` until the flush ends: a look-up for each row."""
        opened[connection] = model = self._of(connection, blueprint)
        self._opened.append((opened, connection))
        return model

    def linked(self, connection: Connection, link: LinkBlueprint, keys: Iterable[Key]) -> None:
        """Note links that were made, or changed in their other columns."""
        self._of(connection, link).linked.extend(keys)

    def will_go(self, connection: Connection, blueprint: Blueprint | LinkBlueprint, key: Key) -> bool:
        """Note a row that the next statement on its table deletes; says whether it is the first to wait."""
        model = self._of(connection, blueprint)
        model.dooms(key)
        return len(model.doomed) == 1

    def will_move(self, connection: Connection, blueprint: Blueprint | LinkBlueprint, key: Key) -> bool:
        """Note a row that the next statement on its table moves to another key."""
        moving = self._of(connection, blueprint).moving
        moving.append(key)
        self.wait()
        return len(moving) == 1

    def wait(self) -> None:
        """Have the next statement on this flush's connection looked at."""
        self._waiting.add(self)

    def take_doomed(self, connection: Connection) -> Iterator[TableChanges]:
        """Give the rows that are about to go, each once: they must be taken while they are there."""
        for (conn, blueprint), model in self._models.items():
            if conn is not connection:
                continue
            for waiting, moved in ((model.doomed, False), (model.moving, True)):
                keys = model.going(waiting)
                waiting.clear()
                if keys and isinstance(blueprint, LinkBlueprint) and may_have_twins(blueprint.history):
                    # A twin of it may stay, and the link with it: what is still there is seen afterwards.
                    model.touched.extend(keys)
                    model.uncertain = True
                going = self._taken(connection, blueprint, keys)
                if going:
                    yield _changes(connection, blueprint, gone=going, moved=moved)
        if not self.has_doomed():
            self._waiting.discard(self)

    def cascaded(
        self, connection: Connection, cascade: Cascade, keys: Iterable[Key], *, moved: bool
    ) -> Iterator[TableChanges]:
        """Note what the database is about to do by itself to rows that refer; give those of them that go."""
        model = self._of(connection, cascade.child)
        rule = cascade.on_update if moved else cascade.on_delete
        if (rule == "CASCADE" and not moved) or cascade.moves_key:
            going = self._taken(connection, cascade.child, model.going(keys))
            # Whether it really does so is its affair (SQLite asks a PRAGMA): what is still there is seen afterwards.
            model.touched.extend(going)
            model.uncertain = model.uncertain or bool(going)
            if going:
                if moved:
                    self._moved.append((connection, cascade))
                yield _changes(connection, cascade.child, gone=going, moved=moved, below=True)
        else:
            model.touched.extend(keys)

    def take_moved(self) -> list[tuple[Connection, Cascade]]:
        """Give the foreign keys by which rows have followed their parents to other keys, parents first."""
        moved, self._moved = self._moved, []
        return moved

    def has_doomed(self) -> bool:
        """Say whether rows are about to go."""
        return any(model.doomed or model.moving for model in self._models.values())

    def take(self) -> Iterator[TableChanges]:
        """Give what the flush did, table by table, and forget it."""
        models = self._models
        self._forget()
        seen: set[tuple[Connection, TableHistory]] = set()
        for (connection, blueprint), model in models.items():
            if isinstance(blueprint, LinkBlueprint):
                linked = frozenset(model.linked)
                live = tuple(dict.fromkeys((*model.linked, *model.touched)))
                moved = model.uncertain or not linked.isdisjoint(model.gone)
                yield TableChanges(connection, blueprint, blueprint.history, live, linked, tuple(model.gone), moved)
                continue
            inserted = [key_after_flush(state, blueprint.key) for state in model.inserted]
            # Not before: post_update changes rows after the last event of their objects.
            stayed, moved_to = _updated(model.updated, blueprint)
            # A row that moved to another key is new under that key.
            fresh = inserted + moved_to
            live = tuple(dict.fromkeys((*fresh, *stayed, *model.touched)))
            gone, moved = tuple(model.gone), model.uncertain or len(fresh) > len(inserted)
            # Of a class above or below it, the same row may have been told of already.
            moved = moved or (connection, blueprint.history) in seen
            if blueprint.history.shared:
                seen.add((connection, blueprint.history))
            below = bool(model.touched)
            yield _changes(connection, blueprint, live, frozenset(fresh), gone, moved=moved, below=below)

    def clear(self) -> None:
        """Forget everything: the flush has failed."""
        self._forget()
        self._moved = []

    def _taken(
        self, connection: Connection, blueprint: Blueprint | LinkBlueprint, keys: tuple[Key, ...]
    ) -> tuple[Key, ...]:
        """Give those of these rows that no class of the hierarchy has taken before."""
        if not blueprint.history.shared:
            return keys
        taken = self._gone.setdefault((connection, blueprint.history), set())
        fresh = tuple(key for key in keys if key not in taken)
        taken.update(fresh)
        return fresh

    def _forget(self) -> None:
        self._models = {}
        self._gone = {}
        self.missing = []
        self._waiting.discard(self)
        while self._opened:
            opened, connection = self._opened.pop()
            opened.pop(connection, None)

    def _of(self, connection: Connection, blueprint: Blueprint | LinkBlueprint) -> ModelChanges:
        place = (connection, blueprint)
        model = self._models.get(place)
        if model is None:
            model = self._models[place] = ModelChanges(self)
        return model


def _changes(
    connection: Connection,
    blueprint: Blueprint | LinkBlueprint,
    live: tuple[Key, ...] = (),
    fresh: frozenset[Key] = frozenset(),
    gone: tuple[Key, ...] = (),
    *,
    moved: bool,
    below: bool = False,
) -> TableChanges:
    """Make the changes of a class; of those below it too, where only the table tells which rows they are."""
    leader = blueprint.history
    followers = tuple(leader.followers) if below else blueprint.histories[1:]
    return TableChanges(connection, blueprint, leader, live, fresh, gone, moved, followers)


def changes_of_table(
    connection: Connection,
    kept: Blueprint | LinkBlueprint,
    history: TableHistory,
    live: AnyKeys = (),
    fresh: Fresh = frozenset(),
    gone: AnyKeys = (),
    moved: bool = False,
) -> TableChanges:
    """Make the changes that a statement has made to one table, whichever class its rows are of."""
    leader = history.leader or history
    return TableChanges(connection, kept, leader, live, fresh, gone, moved, tuple(leader.followers))


def moved_along(connection: Connection, cascade: Cascade, keys: tuple[Key, ...]) -> TableChanges:
    """Make the changes of rows that the database has moved to these keys, along with the rows they refer to."""
    return _changes(connection, cascade.child, keys, frozenset(keys), moved=True, below=True)


def key_will_change(state: InstanceState[Any], key: tuple[str, ...]) -> bool:
    """Say whether the UPDATE to come moves the row to another key."""
    changed = state.committed_state
    for position, name in enumerate(key):
        if name in changed and state.key is not None and state.dict.get(name) != state.key[1][position]:
            return True
    return False


def _updated(states: Iterable[InstanceState[Any]], blueprint: Blueprint) -> tuple[list[Key], list[Key]]:
    """Give the keys of the rows that the flush has changed: of those that stayed where they were, and that moved."""
    stayed: list[Key] = []
    moved: list[Key] = []
    names = frozenset(blueprint.key)
    for state in states:
        if not is_touched(state, blueprint.columns):
            continue
        before = None if state.key is None else state.key[1]
        if before is not None and names.isdisjoint(state.committed_state):
            stayed.append(before)
            continue
        key = key_after_flush(state, blueprint.key)
        (stayed if before is None or key == before else moved).append(key)
    return stayed, moved


def is_touched(state: InstanceState[Any], columns: frozenset[str]) -> bool:
    """Say whether the flush that ends now changed any column of the row, rather than only its relationships."""
    # committed_state holds the former value of every attribute set since the last flush; one that was set to a SQL
    # expression, or by the server, has been expired instead.
    return not (columns.isdisjoint(state.committed_state) and columns.isdisjoint(state.expired_attributes))

"""Collect what one flush does to the rows of versioned models, as keys; values stay on the server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import InstanceState

from async_continuum.build import Blueprint, LinkBlueprint, TableHistory, key_after_flush

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class TableChanges:
    """What one flush did to one table. Lives until its versions are written."""

    connection: Connection
    blueprint: Blueprint | LinkBlueprint
    history: TableHistory
    live: tuple[Key, ...] = ()
    """Keys under which a row was written."""
    fresh: frozenset[Key] = frozenset()
    """Those of them that were inserted rather than updated."""
    gone: tuple[Key, ...] = ()
    """Keys whose row goes: deleted, or moved to another key."""
    moved: bool = False
    """Whether rows moved: one may be where another one was, or under a key that its collation calls the same."""


@dataclass(slots=True)
class _ModelChanges:
    inserted: list[InstanceState[Any]] = field(default_factory=list)
    updated: list[InstanceState[Any]] = field(default_factory=list)
    doomed: list[Key] = field(default_factory=list)
    gone: list[Key] = field(default_factory=list)
    linked: list[Key] = field(default_factory=list)


class FlushChanges:
    """What the running flush of one session has changed so far. Emptied by the end of the flush, however it ends."""

    __slots__ = ("_models",)

    def __init__(self) -> None:
        self._models: dict[tuple[Connection, Blueprint | LinkBlueprint], _ModelChanges] = {}

    def __bool__(self) -> bool:
        return bool(self._models)

    def inserted(self, connection: Connection, blueprint: Blueprint, state: InstanceState[Any]) -> None:
        """Note a row that was inserted; its key is read when the flush is over."""
        self._of(connection, blueprint).inserted.append(state)

    def updated(self, connection: Connection, blueprint: Blueprint, state: InstanceState[Any]) -> None:
        """Note an object that was saved; whether its row has changed is seen when the flush is over."""
        self._of(connection, blueprint).updated.append(state)

    def linked(self, connection: Connection, link: LinkBlueprint, keys: Iterable[Key]) -> None:
        """Note links that were made, or changed in their other columns."""
        self._of(connection, link).linked.extend(keys)

    def will_go(self, connection: Connection, blueprint: Blueprint | LinkBlueprint, key: Key) -> bool:
        """Note a row that the next statement on its table deletes, or moves; says whether it is the first to wait."""
        doomed = self._of(connection, blueprint).doomed
        doomed.append(key)
        return len(doomed) == 1

    def take_doomed(self, connection: Connection) -> Iterator[TableChanges]:
        """Give the rows that are about to go, each once: they must be taken while they are there."""
        for (conn, blueprint), model in self._models.items():
            if conn is connection and model.doomed:
                keys, model.doomed = tuple(model.doomed), []
                model.gone.extend(keys)
                for history in blueprint.histories:
                    yield TableChanges(connection, blueprint, history, gone=keys)

    def has_doomed(self) -> bool:
        """Say whether rows are about to go."""
        return any(model.doomed for model in self._models.values())

    def take(self) -> Iterator[TableChanges]:
        """Give what the flush did, table by table, and forget it."""
        models, self._models = self._models, {}
        for (connection, blueprint), model in models.items():
            if isinstance(blueprint, LinkBlueprint):
                linked, gone = tuple(dict.fromkeys(model.linked)), tuple(model.gone)
                moved = not set(linked).isdisjoint(gone)
                yield TableChanges(connection, blueprint, blueprint.history, linked, frozenset(linked), gone, moved)
                continue
            inserted = [key_after_flush(state, blueprint.key) for state in model.inserted]
            # Not before: post_update changes rows after the last event of their objects.
            touched = [state for state in model.updated if is_touched(state, blueprint.columns)]
            updated = [(state, key_after_flush(state, blueprint.key)) for state in touched]
            # A row that moved to another key is new under that key.
            fresh = inserted + [key for state, key in updated if state.key is not None and key != state.key[1]]
            live = tuple(dict.fromkeys((*fresh, *(key for _, key in updated))))
            gone, moved = tuple(model.gone), len(fresh) > len(inserted)
            for history in blueprint.histories:
                yield TableChanges(connection, blueprint, history, live, frozenset(fresh), gone, moved)

    def clear(self) -> None:
        """Forget everything: the flush has failed."""
        self._models = {}

    def _of(self, connection: Connection, blueprint: Blueprint | LinkBlueprint) -> _ModelChanges:
        place = (connection, blueprint)
        model = self._models.get(place)
        if model is None:
            model = self._models[place] = _ModelChanges()
        return model


def key_will_change(state: InstanceState[Any], blueprint: Blueprint) -> bool:
    """Say whether the UPDATE to come moves the row to another key."""
    changed = state.committed_state
    for position, name in enumerate(blueprint.key):
        if name in changed and state.key is not None and state.dict.get(name) != state.key[1][position]:
            return True
    return False


def is_touched(state: InstanceState[Any], columns: frozenset[str]) -> bool:
    """Say whether the flush that ends now changed any column of the row, rather than only its relationships."""
    # committed_state holds the former value of every attribute set since the last flush; one that was set to a SQL
    # expression, or by the server, has been expired instead.
    return not (columns.isdisjoint(state.committed_state) and columns.isdisjoint(state.expired_attributes))

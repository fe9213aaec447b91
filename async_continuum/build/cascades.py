"""List what the database does by itself to other versioned tables, when rows go or move to another key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import ForeignKeyConstraint, Table
from sqlalchemy.exc import NoReferenceError

from async_continuum.build.blueprint import Blueprint
from async_continuum.build.links import LinkBlueprint
from async_continuum.build.table import TableHistory

Kept = Blueprint | LinkBlueprint


@dataclass(frozen=True, slots=True)
class Cascade:
    """One foreign key with a rule of its own, from a versioned table to another. Lives as long as the models do."""

    parent: TableHistory
    child: Kept
    history: TableHistory
    pairs: tuple[tuple[str, str], ...]
    """Columns of the child, each with the parent's column that it refers to."""
    on_delete: str | None
    on_update: str | None

    @property
    def moves_key(self) -> bool:
        """Whether the child's own key changes with the parent's."""
        return any(name in self.history.key for name, _ in self.pairs)


def cascades(kept: Iterable[Kept]) -> Iterator[Cascade]:
    """Find every foreign key between versioned tables whose rule changes or deletes the rows that refer."""
    children: dict[TableHistory, Kept] = {}
    for each in kept:
        # The classes of a hierarchy share tables: what happens to one is recorded once, for all of them.
        for history in each.histories:
            children.setdefault(history, each)
    parents = {history.table: history for history in children}
    for history, child in children.items():
        for constraint in history.table.foreign_key_constraints:
            referred = _referred(constraint)
            parent = None if referred is None else parents.get(referred)
            on_delete, on_update = _rule(constraint.ondelete), _rule(constraint.onupdate)
            if parent is not None and (on_delete or on_update):
                pairs = tuple((element.parent.key, element.column.key) for element in constraint.elements)
                if _is_one_entity(history, parent, pairs):
                    continue
                yield Cascade(parent, child, history, pairs, on_delete, on_update)


def _is_one_entity(child: TableHistory, parent: TableHistory, pairs: tuple[tuple[str, str], ...]) -> bool:
    """Say whether a foreign key joins the tables of a hierarchy: their rows are recorded together."""
    top = parent.leader or parent
    return child.leader is top and set(pairs) == set(zip(child.key, parent.key, strict=True))


def _referred(constraint: ForeignKeyConstraint) -> Table | None:
    try:
        return constraint.referred_table
    except NoReferenceError:
        return None


def _rule(given: str | None) -> str | None:
    rule = (given or "").upper()
    return rule if rule in ("CASCADE", "SET NULL", "SET DEFAULT") else None

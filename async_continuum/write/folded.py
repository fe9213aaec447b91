"""Close a version and write the one after it in a single statement: SQLite, where one entity has changed.

Each statement costs a driver more than what it does to one row. Of many rows it would read all that is closed twice.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import exists, literal_column, not_, null, or_, select, union_all

from async_continuum.operation import Operation
from async_continuum.write.pieces import Flag, Id, Pieces, constant, stored
from async_continuum.write.usual import has_usual_case


def can_fold(p: Pieces, hint: str, *, gone: bool) -> bool:
    """Say whether the two steps of a change can be one statement."""
    return p.dialect.name == "sqlite" and p.keys.name == "one" and has_usual_case(p, hint, gone=gone)


def fold(p: Pieces, tx: Id, hint: str, *, gone: bool) -> Any:
    """Insert the version that begins together with the one that ends, which is there: it meets itself, and is closed.

    In the order of their ids, as the index on the open ones demands.
    """
    from sqlalchemy.dialects import sqlite

    versions, ends = p.history.version_table, p.history.ends
    assert ends is not None
    old = versions.alias("ac_old")
    held = [stored(old.c[name]) for name in p.history.columns]
    closed = select(*held, p.begins(old), p.operation(old), tx)
    closed = closed.where(p.among(old), p.is_open(old, tx), _is_superseded(p, old, gone=gone))
    copied = (_gone(p, tx) if gone else _changed(p, tx, hint)).add_columns(null())
    both = union_all(closed, copied).order_by(literal_column(str(len(held) + 1)))
    upsert = sqlite.insert(versions).from_select([*p.target, ends], both, include_defaults=False)
    return upsert.on_conflict_do_update(index_elements=list(versions.primary_key), set_={ends: upsert.excluded[ends]})


def _gone(p: Pieces, tx: Id) -> Any:
    return p.copy(tx, constant(Operation.DELETE), gone=True).where(p.among(p.live))


def _changed(p: Pieces, tx: Id, hint: str) -> Any:
    unchanged = p.history.version_table.alias("ac_unchanged")
    alive = p.operation(unchanged) != constant(Operation.DELETE)
    holds = [p.same(unchanged, p.live), p.is_open(unchanged, tx), alive, not_(p.differs(p.live, unchanged))]
    copy = p.copy(tx, p.net(p.operation_before(p.live, tx), hint))
    return copy.where(p.among(p.live), ~exists(select(null()).select_from(unchanged).where(*holds).correlate(p.live)))


def _is_superseded(p: Pieces, old: Any, *, gone: bool) -> Flag:
    live = p.live_as("ac_live")
    here = select(null()).select_from(live).where(p.same(live, old))
    if not gone:
        here = here.where(or_(p.operation(old) == constant(Operation.DELETE), p.differs(live, old)))
    return exists(here.correlate(old))

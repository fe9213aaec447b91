"""Write the versions of a flush in the usual case with less work: every key has what it is expected to have.

Expected are an open version of each row that was updated or goes, and none at all of each that was inserted. Each of
these statements writes what meets the expectation and says how much that was. If it is less than all, the statement
for every case comes after it, over the same keys: `PostgresqlStatements.write` in `postgresql`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import CTE, Select, case, exists, func, insert, literal_column, null, or_, select, true, tuple_
from sqlalchemy.sql import ColumnElement, FromClause

from async_continuum.declare import NOTHING
from async_continuum.operation import Operation
from async_continuum.write.pieces import Flag, Id, Pieces, constant, stored

# SQLAlchemy 2.1 has moved DISTINCT ON to its PostgreSQL dialect.
_HAS_EXTENSIONS = hasattr(Select, "ext")


def has_usual_case(p: Pieces, hint: str, *, gone: bool) -> bool:
    """Say whether the same is expected of all keys."""
    # Twins of a link are not told apart by their key; without ends nothing is closed, so that nothing is saved; the
    # columns that plugins add may depend on the version before, what changed may stand in the tables below, and not all
    # may be recorded.
    history = p.history
    plain = p.live is history.table and history.ends is not None and history.extras is NOTHING and not p.followers
    return plain and history.record_if is None and (gone or hint != "some")


def usual_case(p: Pieces, tx: Id, hint: str, allowed: Flag, *, gone: bool) -> Any:
    """Give the INSERT of the usual case."""
    copied = _gone(p, tx, allowed) if gone else _changed(p, tx, allowed) if hint == "none" else _new(p, tx, allowed)
    return insert(p.history.version_table).from_select(p.target, copied, include_defaults=False)


def left_of_usual(p: Pieces, unwritten: ColumnElement[int], hint: str, *, gone: bool) -> ColumnElement[int]:
    """Count the marked keys that have not met the expectation: a row that was touched and not changed needs no version.

    Those in Python are counted there, and so many are seldom saved without a change.
    """
    if gone or hint != "none":
        return unwritten
    live, unchanged, changed = p.live_as("ac_live"), p.versions.alias("ac_unchanged"), p.versions.alias("ac_changed")
    differs = or_(p.operation(changed) == constant(Operation.DELETE), p.differs(live, changed))
    differing = select(null()).select_from(changed).where(p.same(changed, live), p.ends(changed).is_(None), differs)
    held = select(null()).select_from(unchanged).where(p.same(unchanged, live), p.ends(unchanged).is_(None))
    alike = select(func.count()).select_from(live).where(p.among(live))
    alike = alike.where(exists(held.correlate(live)), ~exists(differing.correlate(live)))
    return case((unwritten == literal_column("0"), literal_column("0")), else_=unwritten - alike.scalar_subquery())


def _new(p: Pieces, tx: Id, allowed: Flag) -> Any:
    known = p.history.version_table.alias("ac_known")
    unknown = ~exists(select(null()).select_from(known).where(p.same(known, p.live)).correlate(p.live))
    return p.copy(tx, constant(Operation.INSERT)).where(p.among(p.live), unknown, allowed)


def _changed(p: Pieces, tx: Id, allowed: Flag) -> Any:
    """Close the versions that the live rows differ from, and copy these rows, which need not be read again."""
    live = p.live_as("ac_live")
    returned = [stored(live.c[name]).label(name) for name in p.history.columns]
    changed = or_(p.operation(p.versions) == constant(Operation.DELETE), p.differs(live, p.versions))
    closed = _closed(
        p, tx, p.same(live, p.versions), changed, allowed, returned=[*returned, *p.returned(p.history.operation)]
    )
    reborn = p.operation(closed) == constant(Operation.DELETE)
    operation = case((reborn, constant(Operation.INSERT)), else_=constant(Operation.UPDATE))
    copied: Any = select(*(stored(closed.c[name]) for name in p.history.columns), tx, operation)
    # One of each: a history that others have written may have several open versions of an entity. It also sorts what
    # was closed, so that all is closed before a version is inserted, as the index on the open ones demands.
    keys = [closed.c[name] for name in p.history.key]
    if not _HAS_EXTENSIONS:
        return copied.distinct(*keys)
    from sqlalchemy.dialects.postgresql import distinct_on

    return copied.ext(distinct_on(*keys))


def _gone(p: Pieces, tx: Id, allowed: Flag) -> Any:
    """Wait for the writers of the rows that go, in the order of their keys; close their versions, and copy the rows.

    The snapshot is older than the wait, and does not show a version that another writer has added meanwhile. But that
    writer has closed the one which is seen here, so that it is not closed again, and the row is left for later.
    """
    rows = select(*(stored(p.live.c[name]).label(name) for name in p.history.columns)).where(p.among(p.live))
    locked = rows.order_by(*p.history.key_of(p.live)).with_for_update().cte("ac_locked")
    closed = _closed(p, tx, _is_in(p, p.versions, locked), allowed, returned=p.returned(*p.history.key))
    copied = select(*(stored(locked.c[name]) for name in p.history.columns), tx, constant(Operation.DELETE))
    return copied.where(_is_in(p, locked, closed))


def _closed(p: Pieces, tx: Id, *conditions: Flag, returned: Sequence[ColumnElement[Any]]) -> CTE:
    # This transaction has no versions here yet. To say it to PostgreSQL costs a fifth of the whole: where all versions
    # come from one transaction, an import, it expects no row at all, and looks up each live row by itself.
    versions = p.history.version_table
    closing = versions.update().where(p.among(versions), p.ends(versions).is_(None), *conditions)
    return closing.values({p.history.ends: tx}).returning(*returned).cte("ac_closed")


def _is_in(p: Pieces, rows: FromClause, others: FromClause) -> Flag:
    # "IS TRUE" keeps it a look-up in a hash table. As a join, PostgreSQL would plan it for the ten keys that it
    # expects of a prepared statement, and go through all others for each row.
    key, keys = p.history.key_of(rows), select(*p.history.key_of(others))
    return (key[0] if len(key) == 1 else tuple_(*key)).in_(keys).is_(true())

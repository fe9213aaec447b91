"""Mend a history that was written past: chains that broke, and entities that went without a word."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, exists, func, insert, literal_column, null, select, update
from sqlalchemy.sql import ColumnElement

from async_continuum.build import TableHistory
from async_continuum.maintain.backfill import is_newest, pieces_of
from async_continuum.maintain.leaving import ends_at
from async_continuum.operation import Operation
from async_continuum.write import Pieces


def mend_chains(connection: Connection, history: TableHistory) -> None:
    """Let every version end where the next one of its entity begins, or where the entity has left the table."""
    if history.ends is None:
        return
    p = pieces_of(connection, history)
    following = p.versions.alias("ac_following")
    begins = (
        select(func.min(p.begins(following)))
        .where(p.same(following, p.versions), p.begins(following) > p.begins(p.versions))
        .correlate(p.versions)
        .scalar_subquery()
    )
    ends = ends_at(history, p.versions, begins)
    mended = update(history.version_table).where(p.ends(p.versions).is_distinct_from(ends))
    connection.execute(mended.values({history.ends: ends}))


def record_orphans(connection: Connection, history: TableHistory, transaction_id: int) -> int:
    """Give a DELETE version to every entity that lives in history alone; returns how many that were."""
    made = _bury(pieces_of(connection, history), connection, transaction_id, _orphaned(history, connection))
    for below in history.followers:
        _bury(pieces_of(connection, below), connection, transaction_id, _buried(history, transaction_id))
    return made


def _orphaned(history: TableHistory, connection: Connection) -> Any:
    def condition(p: Pieces, versions: Any) -> ColumnElement[bool]:
        return ~exists(select(null()).select_from(p.live).where(p.same(p.live, versions)).correlate(versions))

    return condition


def _buried(leader: TableHistory, transaction_id: int) -> Any:
    def condition(p: Pieces, versions: Any) -> ColumnElement[bool]:
        above = leader.version_table
        same = [a == b for a, b in zip(leader.key_of(above), p.history.key_of(versions), strict=True)]
        mine = and_(above.c[leader.begins] == transaction_id, above.c[leader.operation] == Operation.DELETE)
        return exists(select(null()).select_from(above).where(*same, mine).correlate(versions))

    return condition


def _bury(p: Pieces, connection: Connection, transaction_id: int, condition: Any) -> int:
    history = p.history

    def meant(versions: Any) -> ColumnElement[bool]:
        # What a younger transaction has recorded since is left to the next time.
        older = p.begins(versions) < transaction_id
        alive = versions.c[history.operation] != Operation.DELETE
        return and_(is_newest(p, versions), alive, older, condition(p, versions))

    if history.ends is not None:
        closing = update(history.version_table).where(meant(p.versions), p.ends(p.versions).is_(None))
        connection.execute(closing.values({history.ends: transaction_id}))
    last = history.version_table.alias("ac_last")
    tx: Any = literal_column(str(transaction_id))
    operation: Any = literal_column(str(int(Operation.DELETE)))
    copied = select(*(last.c[name] for name in p.contents), tx, operation).where(meant(last))
    names = [*p.contents, history.begins, history.operation]
    statement = insert(history.version_table).from_select(names, copied, include_defaults=False)
    return connection.execute(statement).rowcount

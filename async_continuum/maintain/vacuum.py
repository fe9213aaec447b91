"""Take out of history the versions that equal the one before them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, exists, func, not_, null, select, update

from async_continuum.build import TableHistory
from async_continuum.maintain.backfill import pieces_of
from async_continuum.operation import Operation


def vacuum_table(connection: Connection, history: TableHistory) -> int:
    """Delete every UPDATE version stored exactly as its predecessor, and join the ends; returns how many."""
    p = pieces_of(connection, history)
    versions = history.version_table
    before, earlier = versions.alias("before"), versions.alias("earlier")
    newest = (
        select(func.max(p.begins(earlier)))
        .where(p.same(earlier, versions), p.begins(earlier) < p.begins(versions))
        .correlate(versions)
        .scalar_subquery()
    )
    repeats: Any = exists(
        select(null())
        .select_from(before)
        .where(
            p.same(before, versions),
            p.begins(before) == newest,
            before.c[history.operation] != Operation.DELETE,
            not_(p.differs(before, versions)),
        )
        .correlate(versions)
    )
    removed = connection.execute(
        delete(versions).where(versions.c[history.operation] == Operation.UPDATE, repeats)
    ).rowcount
    if removed and history.ends is not None:
        connection.execute(_rejoin(history))
    return removed


def _rejoin(history: TableHistory) -> Any:
    assert history.ends is not None
    versions = history.version_table
    following = versions.alias("following")
    same = [a == b for a, b in zip(history.key_of(following), history.key_of(versions), strict=True)]
    next_begins = (
        select(func.min(following.c[history.begins]))
        .where(*same, following.c[history.begins] > versions.c[history.begins])
        .correlate(versions)
        .scalar_subquery()
    )
    ends = versions.c[history.ends]
    return (
        update(versions)
        .where(ends.is_not(None), ends.is_distinct_from(next_begins))
        .values({history.ends: next_begins})
    )

"""Take out of history the versions that equal the one before them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, and_, delete, exists, func, not_, null, select, update
from sqlalchemy.sql import ColumnElement

from async_continuum.build import TableHistory
from async_continuum.dialects import differs
from async_continuum.maintain.backfill import pieces_of
from async_continuum.operation import Operation
from async_continuum.write import Pieces, drop_orphans, kept_by


def vacuum_table(
    connection: Connection,
    history: TableHistory,
    transactions: Table,
    histories: Sequence[TableHistory],
    *,
    entity: str | None = None,
) -> int:
    """Delete every UPDATE version stored exactly as its predecessor, and join the ends; returns how many.

    Under joined inheritance ``history`` is that of the topmost table, and a version is one in every table of its class.
    Their transactions go with them where they changed nothing else, in any of ``histories``. ``entity`` is the name of
    the class whose objects are in the table.
    """
    p = pieces_of(connection, history)
    versions = history.version_table
    connection.execute(_emptied(p, transactions, histories))
    removed = connection.execute(delete(versions).where(_repeats(p))).rowcount
    if removed:
        for below in history.followers:
            connection.execute(_left_alone(history, below))
        for each in (history, *history.followers):
            if each.ends is not None:
                connection.execute(_rejoin(each))
        if entity is not None:
            for statement in history.extras.vacuumed(history, transactions, entity):
                connection.execute(statement)
        drop_orphans(connection, transactions)
    return removed


def _left_alone(leader: TableHistory, below: TableHistory) -> Any:
    """Take out of a table below, under joined inheritance, what the topmost table has no version of any more."""
    versions, above = below.version_table, leader.version_table
    same = [a == b for a, b in zip(leader.key_of(above), below.key_of(versions), strict=True)]
    led = select(null()).select_from(above).where(*same, above.c[leader.begins] == versions.c[below.begins])
    return delete(versions).where(~exists(led.correlate(versions)))


def _repeats(p: Pieces) -> ColumnElement[bool]:
    history, versions = p.history, p.history.version_table
    before, earlier = versions.alias("ac_before"), versions.alias("ac_earlier")
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
            *(_rest_repeats(p, below, before) for below in history.followers),
        )
        .correlate(versions)
    )
    return and_(versions.c[history.operation] == Operation.UPDATE, repeats)


def _rest_repeats(p: Pieces, below: TableHistory, before: Any) -> ColumnElement[bool]:
    versions = p.history.version_table
    now, then = below.version_table.alias("ac_now"), below.version_table.alias("ac_then")
    here = [a == b for a, b in zip(below.key_of(now), p.history.key_of(versions), strict=True)]
    same = [a == b for a, b in zip(below.key_of(then), below.key_of(now), strict=True)]
    differing = differs([(now.c[name], then.c[name]) for name in below.columns], p.dialect)
    held = select(null()).select_from(then).where(*same, then.c[below.begins] == p.begins(before), not_(differing))
    changed = select(null()).select_from(now).where(*here, now.c[below.begins] == p.begins(versions))
    return ~exists(changed.where(~exists(held.correlate(now, before))).correlate(versions, before))


def _emptied(p: Pieces, transactions: Table, histories: Sequence[TableHistory]) -> Any:
    versions = p.history.version_table
    signs = [p.begins(versions) == transactions.c.id]
    only_repeats = ~exists(select(null()).select_from(versions).where(*signs, not_(_repeats(p))))
    nothing_else: list[ColumnElement[bool]] = [
        ~exists(select(null()).select_from(h.version_table).where(h.version_table.c[h.begins] == transactions.c.id))
        for h in histories
        if h is not p.history and h.leader is not p.history
    ]
    nothing_else += [not_(kept) for kept in kept_by(transactions, transactions.c.id)]
    repeated = select(p.begins(versions)).where(_repeats(p))
    return delete(transactions).where(transactions.c.id.in_(repeated), only_repeats, *nothing_else)


def _rejoin(history: TableHistory) -> Any:
    assert history.ends is not None
    versions = history.version_table
    following = versions.alias("ac_following")
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

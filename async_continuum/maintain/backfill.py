"""Begin the history of rows that are older than it: one INSERT version for every live row without one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Connection,
    Insert,
    Table,
    and_,
    exists,
    insert,
    literal_column,
    null,
    select,
    type_coerce,
    update,
)
from sqlalchemy.types import NullType

from async_continuum.build import TableHistory
from async_continuum.dialects import keys_for
from async_continuum.operation import Operation
from async_continuum.write import Pieces, note_versions


def pieces_of(connection: Connection, history: TableHistory) -> Pieces:
    """Give the SQL of a table's history for statements that go over all of it, and so are given no keys."""
    return Pieces(history, connection.dialect, keys_for(history.key_types, [], connection.dialect))


def backfill_table(
    connection: Connection,
    history: TableHistory,
    transactions: Table,
    transaction_id: int,
    *,
    batch: int,
    entity: str | None = None,
) -> int:
    """Insert the missing versions, ``batch`` rows a statement; returns how many that were.

    ``entity`` is the name of the class whose objects are in the table.
    """
    p = pieces_of(connection, history)
    versions, live = history.version_table, p.live
    tx: Any = transaction_id
    ended = versions.alias("ended")
    gone = and_(p.begins(versions) != tx, versions.c[history.operation] == Operation.DELETE)
    if history.ends is not None:
        alive = exists(select(null()).select_from(live).where(p.same(live, versions)).correlate(versions))
        closing = update(versions).where(versions.c[history.ends].is_(None), gone, alive)
        connection.execute(closing.values({history.ends: transaction_id}))
    later = versions.alias("later")
    newest = ~exists(
        select(null())
        .select_from(later)
        .where(p.same(later, ended), p.begins(later) > p.begins(ended))
        .correlate(ended)
    )
    known = exists(
        select(null())
        .select_from(ended)
        .where(p.same(ended, live), newest, ended.c[history.operation] != Operation.DELETE)
        .correlate(live)
    )
    copied = (
        p.copy(tx, literal_column(str(int(Operation.INSERT))))
        .where(~known)
        .order_by(*history.key_of(live))
        .limit(batch)
    )
    statement = insert(versions).from_select(p.target, copied, include_defaults=False)
    total = 0
    while True:
        made = connection.execute(statement).rowcount
        total += made
        if made < batch:
            break
    for below in history.followers:
        connection.execute(_rest(pieces_of(connection, below), history))
    if total and entity is not None and history.extras.writes:
        note_versions(connection, p, transactions, transaction_id, entity)
    return total


def _rest(p: Pieces, leader: TableHistory) -> Insert:
    """Give the rows of a table below, under joined inheritance, the version that the topmost table's row has open."""
    versions, live = p.history.version_table, p.history.table
    led, later = leader.version_table.alias("led"), leader.version_table.alias("later")
    begins = led.c[leader.begins]
    same = [a == b for a, b in zip(leader.key_of(led), p.history.key_of(live), strict=True)]
    following = [a == b for a, b in zip(leader.key_of(later), leader.key_of(led), strict=True)]
    after = select(null()).select_from(later).where(*following, later.c[leader.begins] > begins)
    has = select(null()).select_from(versions).where(p.same(versions, live), p.begins(versions) == begins)
    copied = p.copy(begins, type_coerce(led.c[leader.operation], NullType())).join_from(live, led, and_(*same))
    copied = copied.where(
        ~exists(after.correlate(led)),
        led.c[leader.operation] != Operation.DELETE,
        ~exists(has.correlate(live, led)),
    )
    return insert(versions).from_select(p.target, copied, include_defaults=False)

"""Hold a statement that takes rows away to those that history knows to go: another may have come under their keys."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Connection, Delete, Update, and_, bindparam, exists, false, func, null, or_, select
from sqlalchemy.sql import FromClause

from async_continuum.build import TableHistory, kept_rows
from async_continuum.dialects import keys_for
from async_continuum.write.chosen import recorded
from async_continuum.write.pieces import Flag, Pieces

HELD = "ac_held"
"""The parameter that says of each execution whether it is held, where it is executed for other rows as well."""


def held(
    connection: Connection, history: TableHistory, statement: Delete | Update, transaction_id: int, *, all_of_it: bool
) -> Any:
    """Give the statement as it leaves alone what has no version of this transaction.

    A row that was not there cannot be locked: whoever inserts it afterwards is left alone, as one who comes after the
    statement is. ``history`` is that of the statement's table; ``all_of_it``: each execution is held, without `HELD`.
    """
    leader, table = history.leader or history, history.table
    own = leader.version_table.alias("ac_own")
    same = [a == b for a, b in zip(leader.key_of(own), history.key_of(table), strict=True)]
    known = exists(select(null()).select_from(own).where(*same, own.c[leader.begins] == transaction_id))
    exempt = [] if all_of_it else [bindparam(HELD, type_=Boolean()).is_(false())]
    return statement.where(or_(*exempt, known.correlate(table), *_is_unrecorded(connection, history)))


def _is_unrecorded(connection: Connection, history: TableHistory) -> list[Flag]:
    """Say that a row is not recorded at all, so that its versions say nothing; often no row is."""
    leader, table = history.leader or history, history.table
    top: FromClause = table if leader is history else leader.table.alias("ac_top")
    pieces = Pieces(leader, connection.dialect, keys_for(leader.key_types, [()], connection.dialect))
    conditions = [*kept_rows(leader, top), *recorded(pieces, top, gone=True)]
    if not conditions:
        return []
    unrecorded = func.coalesce(and_(*conditions), false()).is_(false())
    if leader is history:
        return [unrecorded]
    same = [a == b for a, b in zip(leader.key_of(top), history.key_of(table), strict=True)]
    return [exists(select(null()).select_from(top).where(*same, unrecorded).correlate(table))]

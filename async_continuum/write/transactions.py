"""Write the transaction row: take its id as late as can be, give an overtaken one a later id, drop an empty one."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Connection,
    Table,
    delete,
    exists,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.engine import Dialect

from async_continuum.build import TableHistory
from async_continuum.dialects import clock
from async_continuum.write.beside import Rows, drop_companions, insert_rows, kept_by, renumber_companions
from async_continuum.write.compiled import Compiled

_INSERTIONS = "async_continuum.insertions"

logger = logging.getLogger("async_continuum")


def new_transaction(connection: Connection, table: Table, values: Mapping[str, Any], rows: Sequence[Rows] = ()) -> int:
    """Insert a transaction row and give its id, larger than every one that was committed before.

    ``rows`` are those of its companions that come with it.
    """
    if "issued_at" in values or any(isinstance(value, ClauseElement) for value in values.values()):
        result = connection.execute(insert(table).values({"issued_at": clock(connection.dialect), **values}))
    else:
        result = _insertion(table, connection.dialect).execute(connection, values)
    row = result.inserted_primary_key
    assert row is not None
    insert_rows(connection, int(row[0]), rows)
    return int(row[0])


def overtaken(connection: Connection, table: Table, old: int, histories: Iterable[TableHistory]) -> int:
    """Move all that a transaction has written to a later id, because a younger one has changed its rows since.

    The younger one has committed, so in the order of commits ours comes after it.
    """
    row = connection.execute(select(table).where(table.c.id == old)).one()._mapping
    values = {column.key: row[column] for column in table.c if column.key not in ("id", "issued_at")}
    new = new_transaction(connection, table, values)
    move_versions(connection, old, new, histories)
    renumber_companions(connection, table, old, new)
    connection.execute(delete(table).where(table.c.id == old))
    logger.debug("transaction %s was overtaken by a younger one and is now %s", old, new)
    return new


def move_versions(connection: Connection, old: int, new: int, histories: Iterable[TableHistory]) -> None:
    """Have another transaction id on all the versions that one has written."""
    for history in histories:
        versions = history.version_table
        begins = versions.c[history.begins]
        if history.ends is not None:
            own = versions.alias("ac_own")
            same = [a == b for a, b in zip(history.key_of(own), history.key_of(versions), strict=True)]
            closed_by_us = exists(select(null()).select_from(own).where(*same, own.c[history.begins] == old))
            ends = versions.c[history.ends]
            connection.execute(
                update(versions).where(ends == old, closed_by_us.correlate(versions)).values({history.ends: new})
            )
        connection.execute(update(versions).where(begins == old).values({history.begins: new}))


def drop_if_empty(connection: Connection, table: Table, transaction_id: int, histories: Iterable[TableHistory]) -> bool:
    """Take the transaction row away if no version is signed by it; says whether it did.

    Nor is there another reason to keep it, such as an activity.
    """
    signed: list[ColumnElement[bool]] = [
        exists(select(null()).select_from(h.version_table).where(h.version_table.c[h.begins] == transaction_id))
        for h in histories
    ]
    signed.extend(kept_by(table, transaction_id))
    statement = delete(table).where(table.c.id == transaction_id)
    if signed:
        statement = statement.where(~or_(*signed))
    dropped = connection.execute(statement).rowcount > 0
    if dropped:
        drop_companions(connection, table, transaction_id)
    return dropped


def _insertion(table: Table, dialect: Dialect) -> Compiled:
    # On the table itself, so that it goes when the table goes.
    built: dict[str, Compiled] = table.info.setdefault(_INSERTIONS, {})
    if dialect.name not in built:
        built[dialect.name] = Compiled(insert(table).values(issued_at=clock(dialect)))
    return built[dialect.name]

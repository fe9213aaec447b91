"""Write the versions of one table's changes, by the way its dialect has, and keep the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Table

from async_continuum.build import TableHistory
from async_continuum.dialects import Key, keys_for
from async_continuum.write.ledger import Ledger
from async_continuum.write.pieces import Pieces
from async_continuum.write.portable import PortableStatements
from async_continuum.write.postgresql import PostgresqlStatements
from async_continuum.write.transactions import new_transaction, overtaken

Statements = PortableStatements | PostgresqlStatements


@dataclass(frozen=True, slots=True)
class Target:
    """Where versions of one table are written, and how their transaction is signed. Lives for one flush."""

    connection: Connection
    history: TableHistory
    transaction_table: Table
    values: Callable[[], Mapping[str, Any]]
    """The values of a new transaction row; called only when there is one to write."""
    renumber: Callable[[Connection, Table, int, Iterable[TableHistory]], int] = overtaken
    """How an overtaken transaction gets a later id."""


def write_live(target: Target, ledger: Ledger, keys: Sequence[Key], fresh: frozenset[Key], *, again: bool) -> Ledger:
    """Version rows that are in the database now. ``again``: this transaction may have versions of them already."""
    return _write(target, ledger, keys, fresh, gone=False, again=again)


def write_gone(target: Target, ledger: Ledger, keys: Sequence[Key], *, again: bool) -> Ledger:
    """Version rows that are about to go, while they are still there."""
    statements = _statements_for(target, keys)
    if isinstance(statements, PostgresqlStatements):
        # A snapshot taken before the wait for another writer would not show what that writer recorded.
        for batch in statements.pieces.keys.batches(keys):
            target.connection.execute(statements.lock, statements.pieces.keys.bind(batch, "keys"))
    return _write(target, ledger, keys, frozenset(), gone=True, again=again)


def settle(target: Target, ledger: Ledger, keys: Sequence[Key]) -> Ledger:
    """Take away versions that say nothing any more, after entities have changed again in one transaction."""
    if ledger.transaction_id is None:
        return ledger
    removed = _statements_for(target, keys).settlement.run(target.connection, keys, ledger.transaction_id)
    return ledger.took_away(removed)


def renumber(target: Target, ledger: Ledger) -> Ledger:
    """Give an overtaken transaction a later id, and all that it has written with it."""
    assert ledger.transaction_id is not None
    new = target.renumber(target.connection, target.transaction_table, ledger.transaction_id, ledger.tables)
    return replace(ledger, transaction_id=new)


def _write(
    target: Target, ledger: Ledger, keys: Sequence[Key], fresh: frozenset[Key], *, gone: bool, again: bool
) -> Ledger:
    statements = _statements_for(target, keys)
    if isinstance(statements, PostgresqlStatements):
        for batch in statements.pieces.keys.batches(keys):
            ledger = _write_batch(statements, target, ledger, batch, fresh, gone=gone, again=again)
        return ledger
    if ledger.transaction_id is None:
        transaction_id = new_transaction(target.connection, target.transaction_table, target.values())
        ledger = replace(ledger, transaction_id=transaction_id)
    assert ledger.transaction_id is not None
    if gone:
        rows = statements.gone(target.connection, keys, ledger.transaction_id, again=again)
    else:
        rows = statements.live(target.connection, keys, fresh, ledger.transaction_id, again=again)
    return ledger.wrote(target.history, rows=rows)


def _write_batch(
    statements: PostgresqlStatements,
    target: Target,
    ledger: Ledger,
    keys: Sequence[Key],
    fresh: frozenset[Key],
    *,
    gone: bool,
    again: bool,
) -> Ledger:
    new = [key for key in keys if key in fresh]
    while True:
        written = statements.write(
            target.connection,
            keys,
            new,
            ledger.transaction_id,
            table=target.transaction_table,
            values=target.values() if ledger.transaction_id is None else {},
            gone=gone,
            again=again,
        )
        if not written.overtaken:
            return replace(ledger, transaction_id=written.transaction_id).wrote(target.history, rows=written.rows)
        ledger = renumber(target, ledger)


def _statements_for(target: Target, keys: Sequence[Key]) -> Statements:
    dialect = target.connection.dialect
    way = keys_for(target.history.key_types, keys, dialect)
    built: dict[Any, Statements] = target.history.statements
    place = ("write", dialect.name, way.name)
    if place not in built:
        pieces = Pieces(target.history, dialect, way)
        kind = PostgresqlStatements if dialect.name == "postgresql" else PortableStatements
        built[place] = kind(pieces)
    return built[place]

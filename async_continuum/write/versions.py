"""Write the versions of one table's changes, by the way its dialect has, and keep the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Table

from async_continuum.build import TableHistory
from async_continuum.dialects import AnyKeys, Fresh, MarkedKeys, keys_for
from async_continuum.write.beside import Rows, execute_beside
from async_continuum.write.followers import FollowerStatements
from async_continuum.write.ledger import Ledger
from async_continuum.write.pieces import Pieces
from async_continuum.write.portable import PortableStatements
from async_continuum.write.postgresql import PostgresqlStatements
from async_continuum.write.transactions import new_transaction, overtaken

Statements = PortableStatements | PostgresqlStatements


@dataclass(frozen=True, eq=False, slots=True)
class Target:
    """Where versions of one table are written, and how their transaction is signed. Lives for one flush."""

    connection: Connection
    history: TableHistory
    transaction_table: Table
    signed: Callable[[], tuple[Mapping[str, Any], Sequence[Rows]]]
    """The values of a new transaction row, and the rows of its companions; called only when there is one to write."""
    entity: str | None = None
    """The name of the class whose objects have changed; of links, none."""
    followers: tuple[TableHistory, ...] = ()
    """The tables below, under joined inheritance: a change in one of them is one of the entity."""
    renumber: Callable[[Connection, Table, int, Iterable[TableHistory]], int] = overtaken
    """How an overtaken transaction gets a later id."""

    @property
    def place(self) -> tuple[TableHistory, str | None]:
        """What plugins are told of once in a transaction."""
        return self.history, self.entity


def write_live(target: Target, ledger: Ledger, keys: AnyKeys, fresh: Fresh, *, again: bool) -> Ledger:
    """Version rows that are in the database now. ``again``: this transaction may have versions of them already."""
    if target.followers and target.connection.dialect.name == "postgresql":
        # Two writers of different tables of one entity would not wait for one another, and miss what the other did.
        stored = () if isinstance(fresh, MarkedKeys) and fresh.inserted == "all" else keys
        if not isinstance(stored, MarkedKeys) and not isinstance(fresh, MarkedKeys):
            stored = [key for key in stored if key not in fresh]
        if stored:
            _lock(target, stored, stay=True)
    return _write(target, ledger, keys, fresh, gone=False, again=again)[0]


def write_gone(target: Target, ledger: Ledger, keys: AnyKeys, *, again: bool) -> tuple[Ledger, bool]:
    """Version rows that are about to go, while they are still there; says whether some were missing."""
    # A snapshot taken before the wait for another writer would not show what that writer recorded.
    missing = bool(target.followers) and _lock(target, keys, stay=False)
    ledger, missing_too = _write(target, ledger, keys, frozenset(), gone=True, again=again)
    return ledger, missing or missing_too


def write_followers(target: Target, ledger: Ledger, follower: TableHistory, keys: AnyKeys, *, gone: bool) -> Ledger:
    """Version the rows of these entities in a table below, where the topmost table has a version of them now."""
    if ledger.transaction_id is None:
        return ledger
    rows = _follower(target, follower, keys).write(target.connection, keys, ledger.transaction_id, gone=gone)
    return ledger.wrote(follower, rows=rows)


def settle(target: Target, ledger: Ledger, keys: AnyKeys) -> Ledger:
    """Take away versions that say nothing any more, after entities have changed again in one transaction."""
    if ledger.transaction_id is None:
        return ledger
    statements = _statements_for(target, keys)
    removed = statements.settlement.run(target.connection, keys, ledger.transaction_id)
    for follower in target.followers:
        _follower(target, follower, keys).settle(target.connection, keys, ledger.transaction_id)
    if removed and target.entity is not None and target.history.extras.writes:
        given = {"ac_tx": ledger.transaction_id, "ac_entity": target.entity}
        for statement in statements.settlement.beside(target.transaction_table):
            execute_beside(target.connection, statement, given)
        ledger = replace(ledger, noted=ledger.noted - {target.place})
    return ledger.took_away(removed)


def renumber(target: Target, ledger: Ledger) -> Ledger:
    """Give an overtaken transaction a later id, and all that it has written with it."""
    assert ledger.transaction_id is not None
    new = target.renumber(target.connection, target.transaction_table, ledger.transaction_id, ledger.tables)
    return replace(ledger, transaction_id=new)


def _lock(target: Target, keys: AnyKeys, *, stay: bool) -> bool:
    """Wait for the writers of these rows; says whether some are not there."""
    statements, locked = _statements_for(target, keys), 0
    if not isinstance(statements, PostgresqlStatements):
        return False
    lock = statements.lock_those_that_stay if stay else statements.lock
    for batch in statements.pieces.keys.batches(keys):
        locked += target.connection.execute(lock, statements.pieces.keys.bind(batch, "keys")).scalar_one()
    return not isinstance(keys, MarkedKeys) and locked < len(keys)


def _write(
    target: Target, ledger: Ledger, keys: AnyKeys, fresh: Fresh, *, gone: bool, again: bool
) -> tuple[Ledger, bool]:
    statements, missing = _statements_for(target, keys), False
    if isinstance(statements, PostgresqlStatements):
        for batch in statements.pieces.keys.batches(keys):
            ledger, some = _write_batch(statements, target, ledger, batch, fresh, gone=gone, again=again)
            missing = missing or some
        return ledger, missing
    if target.connection.dialect.name != "sqlite":
        ledger, missing = _wait(statements, target, ledger, keys, gone=gone)
    if ledger.transaction_id is None:
        transaction_id = new_transaction(target.connection, target.transaction_table, *target.signed())
        ledger = replace(ledger, transaction_id=transaction_id)
    assert ledger.transaction_id is not None
    if gone:
        rows = statements.gone(target.connection, keys, ledger.transaction_id, again=again)
    else:
        rows = statements.live(target.connection, keys, fresh, ledger.transaction_id, again=again)
    if rows and target.entity is not None and target.history.extras.writes:
        ledger = _write_beside(statements, target, ledger, keys)
    return ledger.wrote(target.history, rows=rows), missing


def _wait(
    statements: PortableStatements, target: Target, ledger: Ledger, keys: AnyKeys, *, gone: bool
) -> tuple[Ledger, bool]:
    """Wait for others who write at the same time, and come after them; says whether rows that go were missing."""
    # What was written is locked already.
    missing = gone and not isinstance(keys, MarkedKeys) and statements.lock(target.connection, keys) < len(keys)
    signed = ledger.transaction_id
    if signed is not None and statements.is_overtaken(target.connection, keys, signed):
        ledger = renumber(target, ledger)
    return ledger, missing


def _write_beside(statements: PortableStatements, target: Target, ledger: Ledger, keys: AnyKeys) -> Ledger:
    known = target.place in ledger.noted
    written = statements.beside(target.transaction_table, first=not known)
    if written:
        given, way = {"ac_tx": ledger.transaction_id, "ac_entity": target.entity}, statements.pieces.keys
        batches = [{**given, **way.bind(batch, "keys")} for batch in way.batches(keys)]
        for statement in written:
            for parameters in batches:
                execute_beside(target.connection, statement, parameters)
    return ledger if known else replace(ledger, noted=ledger.noted | {target.place})


def _write_batch(
    statements: PostgresqlStatements,
    target: Target,
    ledger: Ledger,
    keys: AnyKeys,
    fresh: Fresh,
    *,
    gone: bool,
    again: bool,
) -> tuple[Ledger, bool]:
    first = target.place not in ledger.noted
    while True:
        values, rows = target.signed() if ledger.transaction_id is None else ({}, ())
        written = statements.write(
            target.connection,
            keys,
            fresh,
            ledger.transaction_id,
            table=target.transaction_table,
            values=values,
            rows=rows,
            entity=target.entity,
            first=first,
            gone=gone,
            again=again,
        )
        ledger = ledger.wrote(target.history, rows=written.rows, transaction_id=written.transaction_id)
        if not written.overtaken:
            told = written.rows and target.history.extras.writes
            return (replace(ledger, noted=ledger.noted | {target.place}) if told else ledger), written.missing
        ledger = renumber(target, ledger)


def _statements_for(target: Target, keys: AnyKeys) -> Statements:
    dialect = target.connection.dialect
    built: dict[Any, Statements] = target.history.statements
    if not isinstance(keys, MarkedKeys) and len(keys) == 1:
        # By far the most frequent number: known without asking how its keys are handed over.
        known = built.get(("write", dialect.name, "one", target.followers))
        if known is not None:
            return known
    way = keys_for(target.history.key_types, keys, dialect)
    place = ("write", dialect.name, way.name, target.followers)
    if place not in built:
        pieces = Pieces(target.history, dialect, way, target.followers)
        kind = PostgresqlStatements if dialect.name == "postgresql" else PortableStatements
        built[place] = kind(pieces)
    return built[place]


def _follower(target: Target, follower: TableHistory, keys: AnyKeys) -> FollowerStatements:
    dialect = target.connection.dialect
    way = keys_for(follower.key_types, keys, dialect)
    place = ("follow", dialect.name, way.name, target.history)
    if place not in follower.statements:
        follower.statements[place] = FollowerStatements(Pieces(follower, dialect, way), target.history)
    built: FollowerStatements = follower.statements[place]
    return built

"""Carry the changes of a session's flush to the version tables, and answer for its transaction row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session, SessionTransaction

from async_continuum.build import TableHistory
from async_continuum.manager.announcement import Announcement
from async_continuum.manager.coverage import Coverage, children
from async_continuum.manager.sharing import Sharing
from async_continuum.manager.signature import Signature, move_loaded, send_changes
from async_continuum.manager.watching import Watch
from async_continuum.native import records
from async_continuum.record import FlushChanges, Key, TableChanges, context_of, transaction_values
from async_continuum.write import (
    Ledger,
    Ledgers,
    Place,
    Target,
    drop_if_empty,
    new_transaction,
    settle,
    write_gone,
    write_live,
)


class Recorder:
    """What one session has changed and written so far. Lives in ``session.info`` until its transaction ends."""

    __slots__ = (
        "__weakref__",
        "_coverage",
        "_moved",
        "_seen",
        "_sharing",
        "announcement",
        "changes",
        "ledgers",
        "session",
        "signatures",
        "watch",
    )

    def __init__(self, session: Session, coverage: Coverage) -> None:
        self.session = session
        self.changes = FlushChanges()
        self.ledgers = Ledgers()
        self.signatures: dict[Any, Signature] = {}
        self.announcement = Announcement(session, coverage, self._asked)
        self._sharing = Sharing(coverage, self.announcement)
        self.watch = Watch(self.changes, coverage, self.record_doomed, self.record_flush)
        self._coverage = coverage
        self._seen: dict[Place, frozenset[TableHistory]] = {}
        self._moved: list[tuple[Any, int, int]] = []

    def before_flush(self) -> None:
        """Send changes of the transaction's own row now: in the flush it may move to a later id."""
        for (connection, transaction_class), ledger in self.ledgers:
            if ledger.transaction_id is not None:
                send_changes(self.session, connection, transaction_class, ledger.transaction_id)

    def record_doomed(self, connection: Connection) -> None:
        """Version the rows that the statement to come takes away, and what the database takes away with them."""
        waiting = list(self.changes.take_doomed(connection))
        for changes in waiting:
            if not records(changes.history, connection):
                place, ledger = self._begin(changes)
                again = changes.history in self._seen[place]
                self._put(place, ledger, write_gone(self._target(changes), ledger, changes.gone, again=again))
            for cascade in self._coverage.cascades_from(changes.history):
                if cascade.on_update if changes.moved else cascade.on_delete:
                    keys = children(connection, cascade, changes.gone, lock=True)
                    waiting += self.changes.cascaded(connection, cascade, keys, moved=changes.moved)

    def record_flush(self) -> None:
        """Version what the flush has written, and what the database has changed in consequence."""
        self.watch.flushing = False
        if not self._coverage.links:
            self.watch.end()
        arrived: dict[TableHistory, tuple[Key, ...]] = {}
        for changes in self.changes.take():
            if changes.live or changes.gone:
                self._record(changes)
            arrived[changes.history] = tuple(changes.fresh)
        for connection, cascade in self.changes.take_moved():
            keys = children(connection, cascade, arrived.get(cascade.parent, ()), lock=False)
            arrived[cascade.history] = keys
            if keys:
                self._record(
                    TableChanges(connection, cascade.child, cascade.history, keys, frozenset(keys), moved=True)
                )
        self._seen = {}

    def _record(self, changes: TableChanges) -> None:
        if records(changes.history, changes.connection):
            return
        place, ledger = self._begin(changes)
        target = self._target(changes)
        again = changes.moved or changes.history in self._seen[place]
        if changes.live:
            ledger = self._put(place, ledger, write_live(target, ledger, changes.live, changes.fresh, again=again))
        if again:
            keys = tuple(dict.fromkeys((*changes.live, *changes.gone)))
            self._put(place, ledger, settle(target, ledger, keys))

    def flushed(self) -> None:
        """Let the objects in the session follow what was written, now that the flush has let go of them."""
        for transaction_class, signature in self.signatures.items():
            place = self._place(transaction_class)
            if self._sharing.is_at(place):
                ledger = self.ledgers.at(place)
                self._put(place, ledger, self._sharing.learn(place, ledger, signature.values, at_last=False))
        for transaction_class, old, new in self._moved:
            move_loaded(self.session, transaction_class, old, new)
        self._moved = []
        self._sign()

    def finish(self) -> None:
        """Before the commit: write the rows that were asked for, and take away those that sign nothing."""
        for transaction_class, signature in self.signatures.items():
            place = self._place(transaction_class)
            ledger = self.ledgers.at(place)
            if self._sharing.is_at(place):
                self._put(place, ledger, self._sharing.learn(place, ledger, signature.values, at_last=True))
            elif ledger.transaction_id is None:
                self.sign(place)
        for place, ledger in self.ledgers:
            connection, transaction_class = place
            shared = self._sharing.is_at(place) and bool(ledger.tables)
            if shared:
                ledger = self._put(place, ledger, self._sharing.take(place, ledger))
            if ledger.transaction_id is None or ledger.certain or transaction_class in self.signatures:
                continue
            table = transaction_class.__mapper__.local_table
            tables = ledger.tables.union(self._coverage.native.get(transaction_class, ()) if shared else ())
            if drop_if_empty(connection, table, ledger.transaction_id, tables):
                self.ledgers.put(place, Ledger())
            else:
                self.ledgers.put(place, replace(ledger, certain=True))
        self._sign()

    def sign(self, place: Place) -> int:
        """Give the id of this session's transaction, taking one where it has none yet."""
        ledger = self.ledgers.at(place)
        if self._sharing.is_at(place):
            ledger = self._put(place, ledger, self._sharing.take(place, ledger))
        elif ledger.transaction_id is None:
            table = place[1].__mapper__.local_table
            ledger = replace(ledger, transaction_id=new_transaction(place[0], table, self._values(place)))
            self.ledgers.put(place, ledger)
        assert ledger.transaction_id is not None
        return ledger.transaction_id

    def rolled_back(self, transaction: SessionTransaction | None) -> None:
        """Forget what a rollback has undone."""
        self.watch.flushing = False
        self.changes.clear()
        self._seen = {}
        self._moved = []
        self.announcement.rolled_back()
        undone = dict(self.ledgers)
        self.ledgers.rolled_back(transaction)
        for place, ledger in self.ledgers:
            later = undone.get(place, ledger).transaction_id
            if ledger.transaction_id is not None and later is not None and later != ledger.transaction_id:
                move_loaded(self.session, place[1], later, ledger.transaction_id)
        self._sign()

    def _sign(self) -> None:
        for transaction_class, signature in self.signatures.items():
            ids = [ledger.transaction_id for (_, cls), ledger in self.ledgers if cls is transaction_class]
            signature.follow(self.session, next((i for i in ids if i is not None), None))

    def _begin(self, changes: TableChanges) -> tuple[Place, Ledger]:
        place = (changes.connection, changes.blueprint.transaction_class)
        ledger = self.ledgers.at(place)
        if self._sharing.is_at(place):
            ledger = self._put(place, ledger, self._sharing.take(place, ledger))
        self._seen.setdefault(place, ledger.tables)
        return place, ledger

    def _put(self, place: Place, before: Ledger, after: Ledger) -> Ledger:
        if before.transaction_id is not None and after.transaction_id != before.transaction_id:
            assert after.transaction_id is not None
            self._moved.append((place[1], before.transaction_id, after.transaction_id))
        self.ledgers.put(place, after)
        return after

    def _target(self, changes: TableChanges) -> Target:
        place = (changes.connection, changes.blueprint.transaction_class)
        table = changes.blueprint.transaction_table
        target = Target(changes.connection, changes.history, table, lambda: self._values(place))
        return replace(target, renumber=self._sharing.renumber) if self._sharing.is_at(place) else target

    def _place(self, transaction_class: Any) -> Place:
        return self.session.connection(bind_arguments={"mapper": transaction_class.__mapper__}), transaction_class

    def _asked(self) -> dict[Any, Mapping[str, Any]]:
        return {cls: signature.values for cls, signature in self.signatures.items()}

    def _values(self, place: Place) -> Mapping[str, Any]:
        transaction_class = place[1]
        values = transaction_values(context_of(self.session), transaction_class.__mapper__.local_table)
        signature = self.signatures.get(transaction_class)
        return values if signature is None else {**values, **signature.values}

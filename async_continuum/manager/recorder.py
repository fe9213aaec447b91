"""Carry the changes of a session's flush to the version tables, and answer for its transaction row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session, SessionTransaction

from async_continuum.build import Blueprint, TableHistory
from async_continuum.dialects import AnyKeys, MarkedKeys, each_once
from async_continuum.manager.announcement import Announcement
from async_continuum.manager.coverage import Coverage, children
from async_continuum.manager.gaps import Gaps
from async_continuum.manager.sharing import Sharing
from async_continuum.manager.signature import (
    Signature,
    context_in,
    move_back,
    move_loaded,
    send_changes,
    signed_values,
)
from async_continuum.native import records
from async_continuum.plugins import Flushed
from async_continuum.record import Context, FlushChanges, TableChanges, moved_along
from async_continuum.write import (
    Ledger,
    Ledgers,
    Place,
    Rows,
    Target,
    drop_if_empty,
    new_transaction,
    settle,
    write_followers,
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
        "gaps",
        "ledgers",
        "session",
        "signatures",
    )

    def __init__(self, session: Session, coverage: Coverage) -> None:
        self.session = session
        self.changes = FlushChanges(coverage.waiting)
        self.ledgers = Ledgers()
        self.signatures: dict[Any, Signature] = {}
        self.gaps = Gaps(session)
        self.announcement = Announcement(session, coverage, self._context, self.signatures)
        self._sharing = Sharing(coverage, self.announcement)
        self._coverage = coverage
        self._seen: dict[Place, frozenset[TableHistory]] = {}
        self._moved: list[tuple[Any, int, int]] = []

    def before_flush(self) -> None:
        """Send changes of the transaction's own row now: in the flush it may move to a later id."""
        for (connection, transaction_class), ledger in self.ledgers:
            if ledger.transaction_id is not None:
                send_changes(self.session, connection, transaction_class, ledger.transaction_id)

    def expect_later_ids(self, connection: Connection) -> None:
        """Before one more statement that triggers see: learn the id that what is loaded may bear, to see it change."""
        for place, ledger in self._sharing.unknown(self.session, connection, self.ledgers):
            self._put(place, self.ledgers.at(place), ledger)

    def record_doomed(self, connection: Connection) -> None:
        """Version the rows that the statement to come takes away, and what the database takes away with them."""
        self.record_going(self.changes.take_doomed(connection))

    def record_going(self, going: Iterable[TableChanges]) -> None:
        """Version rows while they are still there, and what the database takes away with them."""
        waiting = list(going)
        # Rows may refer to one another in a circle; None where it is not known here which of them have been told of.
        told = {each.history: None if isinstance(each.gone, MarkedKeys) else each.gone for each in waiting}
        for changes in waiting:
            if not records(changes.history, connection := changes.connection):
                place, ledger = self._begin(changes)
                perhaps = told.get(changes.history, ()) is None and not isinstance(changes.gone, MarkedKeys)
                again = changes.history in self._seen[place] or perhaps
                written, missing = write_gone(self._target(changes), ledger, changes.gone, again=again)
                ledger = self._put(place, ledger, written)
                if missing:
                    self.changes.missing.append(changes)
                self._follow(changes, place, ledger, changes.gone, gone=True)
            histories = (changes.history, *changes.followers)
            for cascade in (each for history in histories for each in self._coverage.cascades_from(history)):
                if cascade.on_update if changes.moved else cascade.on_delete:
                    keys = set(children(connection, cascade, changes.gone, lock=True))
                    keys.difference_update(told.get(cascade.child.history) or ())
                    waiting += self.changes.cascaded(connection, cascade, keys, moved=changes.moved)

    def record_flush(self) -> None:
        """Version what the flush has written, and what the database has changed in consequence."""
        self.announcement.complete()
        self._record_all(self.changes.take())

    def record_statement(self, changes: TableChanges) -> None:
        """Version what a statement has written, and what the database has changed in consequence."""
        self.before_flush()
        self._record_all([changes, *self.changes.take()])
        self.flushed()

    def record_rows(self, changes: Iterable[TableChanges]) -> None:
        """Version rows as they are, part by part; no row is in two of them. No trigger sees what nobody writes."""
        self.before_flush()
        self._record_all(changes, unseen=True)
        self.flushed()

    def record_within_flush(self, changes: TableChanges) -> None:
        """Version what a statement within a flush has written; the consequences belong to the flush."""
        # The flush itself may have versioned the same rows, or will.
        self._seen = {}
        self._record(changes)
        self._seen = {}

    def _record_all(self, written: Iterable[TableChanges], *, unseen: bool = False) -> None:
        moved, arrived = self.changes.take_moved(), dict[TableHistory, AnyKeys]()
        for changes in written:
            if changes.live or changes.gone:
                self._record(changes, unseen=unseen)
            if not moved:
                continue
            fresh = changes.fresh if isinstance(changes.fresh, MarkedKeys) else tuple(changes.fresh)
            before = arrived.get(changes.history, ())
            if not isinstance(before, MarkedKeys) and not isinstance(fresh, MarkedKeys):
                fresh = (*before, *fresh)
            arrived[changes.history] = fresh
        for connection, cascade in moved:
            parent, child = cascade.parent.leader or cascade.parent, cascade.child.history
            keys = children(connection, cascade, arrived.get(parent, ()), lock=False)
            arrived[child] = keys
            if keys:
                self._record(moved_along(connection, cascade, keys))
        self._seen = {}

    def _record(self, changes: TableChanges, *, unseen: bool = False) -> None:
        if not unseen and records(changes.history, changes.connection):
            return
        place, ledger = self._begin(changes)
        target = self._target(changes)
        again = changes.moved or changes.history in self._seen[place]
        if changes.live:
            ledger = self._put(place, ledger, write_live(target, ledger, changes.live, changes.fresh, again=again))
            ledger = self._follow(changes, place, ledger, changes.live, gone=False)
        if again:
            # What was deleted before may have come again as another class.
            followers = tuple(changes.history.followers) if changes.fresh else changes.followers
            for keys in each_once(changes.live, changes.gone):
                ledger = self._put(place, ledger, settle(replace(target, followers=followers), ledger, keys))

    def _follow(self, changes: TableChanges, place: Place, ledger: Ledger, keys: AnyKeys, *, gone: bool) -> Ledger:
        """Version the rest of these rows, in the tables below."""
        for follower in changes.followers:
            ledger = self._put(place, ledger, write_followers(self._target(changes), ledger, follower, keys, gone=gone))
        return ledger

    def flushed(self) -> None:
        """Let the objects in the session follow what was written, now that the flush has let go of them."""
        for transaction_class, signature in self.signatures.items():
            self.learn(transaction_class, signature.values)
        if self._coverage.plugins.sees_flushes or self._sharing.watches:
            for place, ledger in self.ledgers:
                self._put(place, ledger, self._sharing.follow(place, ledger))
        self._sign()

    def learn(self, transaction_class: Any, values: Mapping[str, Any]) -> int | None:
        """Give the id of the running transaction, which triggers may have taken; its row was asked for, and stays."""
        ledger = self.ledgers.at(place := self._place(transaction_class))
        if self._sharing.is_at(place):
            self._put(place, ledger, self._sharing.learn(place, ledger, values, at_last=False))
        return self.ledgers.at(place).transaction_id

    def finish(self) -> None:
        """Before the commit: write the rows that were asked for, and take away those that sign nothing."""
        self.announcement.complete()
        for transaction_class, signature in self.signatures.items():
            place = self._place(transaction_class)
            ledger = self.ledgers.at(place)
            if self._sharing.is_at(place):
                self._put(place, ledger, self._sharing.learn(place, ledger, signature.values, at_last=True))
            elif ledger.transaction_id is None:
                self.sign(place)
        for place, ledger in self.ledgers:
            connection, transaction_class = place
            if transaction_class not in self.signatures:
                ledger = self._put(place, ledger, self._sharing.follow(place, ledger))
            if ledger.transaction_id is None or ledger.certain or transaction_class in self.signatures:
                continue
            tables = self._sharing.tables(place, ledger)
            empty = drop_if_empty(connection, transaction_class.__mapper__.local_table, ledger.transaction_id, tables)
            self.ledgers.put(place, Ledger() if empty else replace(ledger, certain=True))
        self._sign()

    def sign(self, place: Place) -> int:
        """Give the id of this session's transaction, taking one where it has none yet."""
        ledger = self.ledgers.at(place)
        if self._sharing.is_at(place):
            ledger = self._put(place, ledger, self._sharing.take(place, ledger))
        elif ledger.transaction_id is None:
            transaction_id = new_transaction(place[0], place[1].__mapper__.local_table, *self._signed(place))
            ledger = replace(ledger, transaction_id=transaction_id)
            self.ledgers.put(place, ledger)
        assert ledger.transaction_id is not None
        return ledger.transaction_id

    def renumber(self, place: Place) -> None:
        """Take a later id for all that was written at a place."""
        self._put(place, ledger := self.ledgers.at(place), self._sharing.take_later(place, ledger))
        self._sign()

    def rolled_back(self, transaction: SessionTransaction | None) -> None:
        """Forget what a rollback has undone."""
        self.changes.clear()
        self._seen = {}
        self.gaps.rolled_back(transaction)
        self.announcement.rolled_back()
        self._restore(transaction)

    def savepoint_rolled_back(self, connection: Connection) -> None:
        """Forget what went with a savepoint, of which no session is told where it is the connection's own."""
        self.announcement.rolled_back()
        self._restore(connection)

    def _restore(self, undone: SessionTransaction | Connection | None) -> None:
        before, self._moved = dict(self.ledgers), []
        self.ledgers.rolled_back(undone)
        self._sharing.look_again()
        move_back(self.session, before, self.ledgers)
        self._sign()

    def _sign(self) -> None:
        for transaction_class, old, new in self._moved:
            move_loaded(self.session, transaction_class, old, new)
        self._moved = []
        for transaction_class, signature in self.signatures.items():
            signature.follow(self.session, self.ledgers.id_of(transaction_class))

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
            self._coverage.plugins.renumbered(place[0], place[1], before.transaction_id, after.transaction_id)
            self._moved.append((place[1], before.transaction_id, after.transaction_id))
        self.ledgers.put(place, after)
        return after

    def show_flush(self) -> None:
        """Let plugins look at what was flushed."""

        def sign(transaction_class: Any) -> tuple[Connection, int]:
            return (place := self._place(transaction_class))[0], self.sign(place)

        self._coverage.plugins.flushed(Flushed(self.session, sign))

    def _place(self, transaction_class: Any) -> Place:
        return self.session.connection(bind_arguments={"mapper": transaction_class.__mapper__}), transaction_class

    def _target(self, changes: TableChanges) -> Target:
        place, table = (changes.connection, changes.blueprint.transaction_class), changes.blueprint.transaction_table
        entity = changes.blueprint.model.__name__ if isinstance(changes.blueprint, Blueprint) else None
        target = Target(
            changes.connection, changes.history, table, lambda: self._signed(place), entity, changes.followers
        )
        return replace(target, renumber=self._sharing.renumber) if self._sharing.is_at(place) else target

    def _context(self) -> Context:
        return context_in(self.session, self._coverage.plugins)

    def _signed(self, place: Place) -> tuple[Mapping[str, Any], list[Rows]]:
        """Ask who and why, once: the values of a new transaction row, and the rows that come with it."""
        return signed_values(self.session, self._coverage.plugins, place[1], self.signatures.get(place[1]))

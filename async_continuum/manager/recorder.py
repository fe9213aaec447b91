"""Carry the changes of a session's flush to the version tables, and answer for its transaction row."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Table, Update, event
from sqlalchemy.exc import SAWarning
from sqlalchemy.orm import Session, SessionTransaction

from async_continuum.build import LinkBlueprint, TableHistory
from async_continuum.errors import UnrecordedStatement
from async_continuum.manager.links import changed_link, keys_inserted, keys_matched
from async_continuum.manager.signature import Signature, move_loaded
from async_continuum.record import FlushChanges, TableChanges, context_of, is_disabled, transaction_values
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
        "_links",
        "_moved",
        "_seen",
        "_watched",
        "changes",
        "flushing",
        "ledgers",
        "session",
        "signatures",
    )

    def __init__(self, session: Session, links: Mapping[Table, LinkBlueprint]) -> None:
        self.session = session
        self.flushing = False
        self._links = links
        self.changes = FlushChanges()
        self.ledgers = Ledgers()
        self.signatures: dict[Any, Signature] = {}
        self._seen: dict[Place, frozenset[TableHistory]] = {}
        self._moved: list[tuple[Any, int, int]] = []
        self._watched: list[Connection] = []

    def watch(self, connection: Connection) -> None:
        """See the statement that takes rows away before it is sent: the ORM tells of objects one by one."""
        if connection not in self._watched:
            event.listen(connection, "before_execute", self._before_execute)
            if self._links:
                event.listen(connection, "after_execute", self._after_execute)
            self._watched.append(connection)

    def unwatch(self) -> None:
        """Stop seeing statements; the flush is over, or the transaction where there are links to see."""
        while self._watched:
            connection = self._watched.pop()
            event.remove(connection, "before_execute", self._before_execute)
            if event.contains(connection, "after_execute", self._after_execute):
                event.remove(connection, "after_execute", self._after_execute)

    def _before_execute(
        self, connection: Connection, statement: Any, many: Sequence[Any], one: Mapping[str, Any], _: Any
    ) -> None:
        if not isinstance(statement, (Delete, Update)):
            return
        if self.changes.has_doomed():
            self.record_doomed(connection)
        link = changed_link(statement, self._links)
        if link is not None and not is_disabled(None):
            keys = keys_matched(link, connection, statement, many or ([one] if one else []))
            if isinstance(statement, Update):
                self.changes.linked(connection, link, keys)
            else:
                for key in keys:
                    self.changes.will_go(connection, link, key)
                self.record_doomed(connection)

    def _after_execute(
        self, connection: Connection, statement: Any, many: Sequence[Any], one: Mapping[str, Any], _: Any, result: Any
    ) -> None:
        link = changed_link(statement, self._links)
        if link is None or is_disabled(None):
            return
        if isinstance(statement, Insert):
            keys = keys_inserted(link, many or ([one] if one else []), result)
            if keys is None:
                warnings.warn(f"{UnrecordedStatement(statement)}", SAWarning, stacklevel=2)
                return
            self.changes.linked(connection, link, keys)
        if not self.flushing:
            self.record_flush()

    def record_doomed(self, connection: Connection) -> None:
        """Version the rows that the statement to come takes away, while they are there."""
        for changes in list(self.changes.take_doomed(connection)):
            place, ledger = self._begin(changes)
            again = changes.history in self._seen[place]
            self._put(place, ledger, write_gone(self._target(changes), ledger, changes.gone, again=again))

    def record_flush(self) -> None:
        """Version what the flush has written."""
        self.flushing = False
        if not self._links:
            self.unwatch()
        for changes in self.changes.take():
            if not changes.live and not changes.gone:
                continue
            place, ledger = self._begin(changes)
            target = self._target(changes)
            again = changes.moved or changes.history in self._seen[place]
            if changes.live:
                ledger = self._put(place, ledger, write_live(target, ledger, changes.live, changes.fresh, again=again))
            if again:
                keys = tuple(dict.fromkeys((*changes.live, *changes.gone)))
                self._put(place, ledger, settle(target, ledger, keys))
        self._seen = {}

    def flushed(self) -> None:
        """Let the objects in the session follow what was written, now that the flush has let go of them."""
        for transaction_class, old, new in self._moved:
            move_loaded(self.session, transaction_class, old, new)
        self._moved = []
        self._sign()

    def finish(self) -> None:
        """Before the commit: write the rows that were asked for, and take away those that sign nothing."""
        for transaction_class, signature in self.signatures.items():
            mapper = transaction_class.__mapper__
            place = (self.session.connection(bind_arguments={"mapper": mapper}), transaction_class)
            ledger = self.ledgers.at(place)
            if ledger.transaction_id is None:
                values = self._values(place)
                transaction_id = new_transaction(place[0], mapper.local_table, {**values, **signature.values})
                self.ledgers.put(place, replace(ledger, transaction_id=transaction_id))
        for place, ledger in self.ledgers:
            connection, transaction_class = place
            if ledger.transaction_id is None or ledger.certain or transaction_class in self.signatures:
                continue
            table = transaction_class.__mapper__.local_table
            if drop_if_empty(connection, table, ledger.transaction_id, ledger.tables):
                self.ledgers.put(place, Ledger())
            else:
                self.ledgers.put(place, replace(ledger, certain=True))
        self._sign()

    def sign(self, place: Place) -> int:
        """Give the id of this session's transaction, taking one where it has none yet."""
        ledger = self.ledgers.at(place)
        if ledger.transaction_id is None:
            table = place[1].__mapper__.local_table
            ledger = replace(ledger, transaction_id=new_transaction(place[0], table, self._values(place)))
            self.ledgers.put(place, ledger)
        assert ledger.transaction_id is not None
        return ledger.transaction_id

    def rolled_back(self, transaction: SessionTransaction) -> None:
        """Forget what a rollback has undone."""
        self.flushing = False
        self.changes.clear()
        self._seen = {}
        self._moved = []
        self.ledgers.rolled_back(transaction)
        self._sign()

    def _sign(self) -> None:
        for transaction_class, signature in self.signatures.items():
            ids = [ledger.transaction_id for (_, cls), ledger in self.ledgers if cls is transaction_class]
            signature.follow(self.session, next((i for i in ids if i is not None), None))

    def _begin(self, changes: TableChanges) -> tuple[Place, Ledger]:
        place = (changes.connection, changes.blueprint.transaction_class)
        ledger = self.ledgers.at(place)
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
        return Target(
            changes.connection, changes.history, changes.blueprint.transaction_table, lambda: self._values(place)
        )

    def _values(self, place: Place) -> Mapping[str, Any]:
        transaction_class = place[1]
        values = transaction_values(context_of(self.session), transaction_class.__mapper__.local_table)
        signature = self.signatures.get(transaction_class)
        return values if signature is None else {**values, **signature.values}

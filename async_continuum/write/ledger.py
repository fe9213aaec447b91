"""Remember, for one session's transaction, under which id its history is written; savepoints take it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, NestedTransaction
from sqlalchemy.orm import SessionTransaction

from async_continuum.build import TableHistory


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a transaction has written on one connection. A value: a savepoint's rollback restores an earlier one."""

    transaction_id: int | None = None
    tables: frozenset[TableHistory] = field(default=frozenset())
    """Version tables that may hold rows of this transaction."""
    noted: frozenset[Any] = field(default=frozenset())
    """Tables and entities whose first versions plugins have been told of."""
    certain: bool = False
    """Whether a version was written that nothing has taken away since: then the transaction row must stay."""

    def wrote(self, history: TableHistory, *, rows: int, transaction_id: int | None = None) -> Ledger:
        """Count versions written for a table, under this id or the one that is known."""
        signed = self.transaction_id if transaction_id is None else transaction_id
        return Ledger(signed, self.tables | {history}, self.noted, self.certain or rows > 0)

    def took_away(self, rows: int) -> Ledger:
        """Count versions taken away again: perhaps none is left."""
        return replace(self, certain=self.certain and rows == 0)


_BLANK = Ledger()

Place = tuple[Connection, Any]
"""A connection and the transaction class whose rows sign what is written on it."""


class Ledgers:
    """The ledgers of one session. Lives in ``session.info`` until the session's outermost transaction ends."""

    __slots__ = ("_ledgers", "_savepoints", "_within")

    def __init__(self) -> None:
        self._ledgers: dict[Place, Ledger] = {}
        # Made for the first savepoint: most transactions have none.
        self._savepoints: WeakKeyDictionary[SessionTransaction, dict[Place, Ledger]] | None = None
        # The open savepoints of each connection, outermost first: what each is within, and the ledgers as it began.
        self._within: dict[Connection, list[tuple[NestedTransaction | None, dict[Place, Ledger]]]] = {}

    def __iter__(self) -> Iterator[tuple[Place, Ledger]]:
        return iter(list(self._ledgers.items()))

    def id_of(self, transaction_class: Any) -> int | None:
        """Give the id of the running transaction of a class, on whichever connection; None where none is taken."""
        ids = (ledger.transaction_id for (_, signing), ledger in self if signing is transaction_class)
        return next((found for found in ids if found is not None), None)

    def at(self, place: Place) -> Ledger:
        """Give what was written at a place so far."""
        return self._ledgers.get(place, _BLANK)

    def put(self, place: Place, ledger: Ledger) -> None:
        """Replace what was written at a place."""
        self._ledgers[place] = ledger

    def savepoint(self, transaction: SessionTransaction) -> None:
        """Remember the ledgers as they are when a savepoint begins."""
        if self._savepoints is None:
            self._savepoints = WeakKeyDictionary()
        self._savepoints[transaction] = dict(self._ledgers)

    def savepoint_on(self, connection: Connection) -> None:
        """Remember the ledgers of a connection on which a savepoint is about to begin."""
        outer, open_ones = connection.get_nested_transaction(), self._within.setdefault(connection, [])
        del open_ones[_within(open_ones, outer) :]
        open_ones.append((outer, {place: ledger for place, ledger in self if place[0] is connection}))

    def rolled_back(self, undone: SessionTransaction | Connection | None) -> None:
        """Restore the ledgers of the innermost savepoint that is undone; of none, start anew."""
        if isinstance(undone, Connection):
            self._rolled_back_on(undone)
        else:
            self._rolled_back(undone)

    def _rolled_back_on(self, connection: Connection) -> None:
        open_ones = self._within.get(connection, [])
        del open_ones[_within(open_ones, connection.get_nested_transaction()) :]
        # Nothing was written yet when a savepoint began that is not known here.
        _, then = open_ones.pop() if open_ones else (None, {})
        self._ledgers = {**{place: ledger for place, ledger in self if place[0] is not connection}, **then}

    def _rolled_back(self, transaction: SessionTransaction | None) -> None:
        while transaction is not None and self._savepoints is not None:
            if transaction in self._savepoints:
                self._ledgers = dict(self._savepoints[transaction])
                return
            transaction = transaction.parent
        self._ledgers = {}


def _within(savepoints: Sequence[tuple[NestedTransaction | None, Any]], outer: NestedTransaction | None) -> int:
    """Give the place of the savepoint that is within ``outer``, or the end where none is."""
    return next((place for place, (around, _) in enumerate(savepoints) if around is outer), len(savepoints))

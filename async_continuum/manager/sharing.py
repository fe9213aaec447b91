"""Share one transaction row between what triggers record and what this session records, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Table, update
from sqlalchemy.orm import Session

from async_continuum.build import TableHistory
from async_continuum.manager.announcement import Announcement
from async_continuum.manager.coverage import Coverage
from async_continuum.manager.signature import bears_ids
from async_continuum.manager.triggers import translation
from async_continuum.native import TransactionPlan, give_way, signed_as, take, transaction_plan_of
from async_continuum.write import Ledger, Ledgers, Place, logger, move_versions, overtaken


class Sharing:
    """Hands the id of a session's transaction to triggers, and takes theirs. Lives as long as the recorder."""

    __slots__ = ("_announcement", "_coverage", "_looked_through", "watches")

    def __init__(self, coverage: Coverage, announcement: Announcement) -> None:
        self._coverage = coverage
        self._announcement = announcement
        self._looked_through = 0
        self.watches = False
        """Whether the session holds what bears an id that triggers may change."""

    def unknown(self, session: Session, connection: Connection, ledgers: Ledgers) -> Iterator[tuple[Place, Ledger]]:
        """Ask under which ids triggers have signed, where objects in the session may bear them and it does not know."""
        # Before each statement: what has been loaded meanwhile has made the session hold more.
        if len(session.identity_map) == self._looked_through:
            return
        self._looked_through = len(session.identity_map)
        for transaction_class in self._coverage.native:
            place = (connection, transaction_class)
            if ledgers.at(place).transaction_id is None and bears_ids(session, transaction_class):
                found = signed_as(connection, _plan(*place), stays=False)
                if found is not None:
                    self.watches = True
                    yield place, replace(ledgers.at(place), transaction_id=found)

    def look_again(self) -> None:
        """Take nothing for known any more: a rollback to a savepoint may have undone it."""
        self._looked_through = 0

    def is_at(self, place: Place) -> bool:
        """Say whether triggers sign with the same transaction table at this place."""
        return place[1] in self._coverage.native and self._coverage.has_triggers(place[0])

    def take(self, place: Place, ledger: Ledger) -> Ledger:
        """Give the ledger the id that triggers use, a new one where there is none yet; what it wrote follows."""
        self._announcement.tell(place[0])
        return _moved(place, ledger, take(place[0], _plan(*place)))

    def follow(self, place: Place, ledger: Ledger) -> Ledger:
        """Learn of a later id for a transaction that this session has taken part in: triggers tell nobody."""
        if ledger.transaction_id is None or not self.is_at(place):
            return ledger
        return self.take(place, ledger)

    def tables(self, place: Place, ledger: Ledger) -> frozenset[TableHistory]:
        """List the tables in which this transaction may have versions."""
        return ledger.tables.union(self._coverage.native.get(place[1], ()) if self.is_at(place) else ())

    def learn(self, place: Place, ledger: Ledger, values: Mapping[str, Any], *, at_last: bool) -> Ledger:
        """Give the ledger the id that triggers use, and the row what was set on its object meanwhile.

        Where they have used none, one is taken ``at_last``: the row was asked for.
        """
        connection, transaction_class = place
        plan = _plan(connection, transaction_class)
        found = signed_as(connection, plan)
        if found is None and at_last:
            self._announcement.tell(connection)
            found = take(connection, plan)
        if found is None:
            return ledger
        if ledger.transaction_id is None and values != self._announcement.has_told(connection, transaction_class):
            table = transaction_class.__mapper__.local_table
            connection.execute(update(table).where(table.c.id == found).values(values))
        return replace(_moved(place, ledger, found), certain=True)

    def take_later(self, place: Place, ledger: Ledger) -> Ledger:
        """Give the ledger a later id, and all that was written under the one before."""
        assert ledger.transaction_id is not None
        renumber = self.renumber if self.is_at(place) else overtaken
        connection, table = place[0], place[1].__mapper__.local_table
        new = renumber(connection, table, ledger.transaction_id, self.tables(place, ledger))
        return replace(ledger, transaction_id=new)

    def renumber(self, connection: Connection, table: Table, old: int, histories: Iterable[TableHistory]) -> int:
        """Give an overtaken transaction a later id, with all that triggers and this session have written."""
        new = give_way(connection, transaction_plan_of(table).translated(translation(connection)), old)
        move_versions(connection, old, new, histories)
        logger.debug("transaction %s was overtaken by a younger one and is now %s", old, new)
        return new


def _plan(connection: Connection, transaction_class: Any) -> TransactionPlan:
    return transaction_plan_of(transaction_class.__mapper__.local_table).translated(translation(connection))


def _moved(place: Place, ledger: Ledger, transaction_id: int) -> Ledger:
    if ledger.transaction_id is not None and ledger.transaction_id != transaction_id:
        move_versions(place[0], ledger.transaction_id, transaction_id, ledger.tables)
    return replace(ledger, transaction_id=transaction_id)

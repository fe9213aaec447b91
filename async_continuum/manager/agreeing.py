"""Have the rows of one transaction in several transaction tables say one moment: each is found from another by it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, Table, inspect, select, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.util import identity_key

from async_continuum.manager.recorder import Recorder
from async_continuum.write import Place

# Look-ups of moments reckon with the order of ids and that of moments differing by twice that, see `shortly_before`.
_AT_ONCE = timedelta(seconds=5)


class _Signed(NamedTuple):
    """A transaction row of this session's transaction. Lives for one commit."""

    recorder: Recorder
    place: Place
    table: Table

    @property
    def id(self) -> int | None:
        return self.recorder.ledgers.at(self.place).transaction_id

    @property
    def attribute(self) -> str:
        name: str = self.place[1].__mapper__.get_property_by_column(self.table.c.issued_at).key
        return name


def agree(session: Session) -> None:
    """Date all transaction rows of a session's transaction in one database by the last of them.

    The managers of a session have a recorder each. A row that is much older takes a later id, since ids and moments
    are in one order. One that was given its moment by the user keeps it.
    """
    by_connection: dict[Connection, list[_Signed]] = {}
    for recorder in [each for each in session.info.values() if isinstance(each, Recorder)]:
        for place, ledger in recorder.ledgers:
            signature = recorder.signatures.get(place[1])
            if ledger.transaction_id is not None and (signature is None or "issued_at" not in signature.values):
                signed = _Signed(recorder, place, place[1].__mapper__.local_table)
                by_connection.setdefault(place[0], []).append(signed)
    for connection, rows in by_connection.items():
        if len(rows) > 1:
            _date(session, connection, rows)


def _date(session: Session, connection: Connection, rows: Sequence[_Signed]) -> None:
    moments = _moments(connection, rows)
    old = [row for row, moment in zip(rows, moments, strict=True) if max(moments) - moment > _AT_ONCE]
    for row in old:
        row.recorder.renumber(row.place)
    if old:
        moments = _moments(connection, rows)
    last = max(moments)
    for row, moment in zip(rows, moments, strict=True):
        if moment != last:
            connection.execute(update(row.table).where(row.table.c.id == row.id).values(issued_at=last))
        loaded, name = session.identity_map.get(identity_key(row.place[1], row.id)), row.attribute
        if loaded is not None and name in inspect(loaded).dict:
            set_committed_value(loaded, name, last)


def _moments(connection: Connection, rows: Sequence[_Signed]) -> list[datetime]:
    issued = [select(row.table.c.issued_at).where(row.table.c.id == row.id).scalar_subquery() for row in rows]
    return list(connection.execute(select(*issued)).one())

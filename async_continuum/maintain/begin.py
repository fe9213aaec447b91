"""Begin the history of a range of rows where nothing else goes with a version: copied straight into the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Executable, Select, exists, func, insert, literal_column, null, select, update

from async_continuum.build import TableHistory, may_have_twins
from async_continuum.declare import NOTHING
from async_continuum.maintain.backfill import Range, is_newest, pieces_of
from async_continuum.operation import Operation
from async_continuum.write import TX, Pieces


def is_plain(connection: Connection, history: TableHistory) -> bool:
    """Say whether `begin` can begin the history of a table: a version is a copy of its row, and nothing more."""
    plain = history.extras is NOTHING and history.record_if is None and not history.followers
    return plain and not may_have_twins(history) and connection.dialect.name in ("postgresql", "sqlite")


@dataclass(frozen=True, slots=True)
class _Statements:
    """The statements of one kind of range, built once. Lives as long as the table's history."""

    lock: Executable | None
    missing: Executable
    held: Executable | None
    """Whether history knows any row of the range; None where another writer may come before the next statement."""
    younger: Executable
    close: Executable | None
    copy: Executable
    copy_all: Executable


def lacks(connection: Connection, rows: Range) -> bool:
    """Wait for the writers of a range and hold them off, where they do not wait anyway; say whether history lacks any.

    Whoever has written a row before has recorded it as well once he has committed.
    """
    statements = _statements(connection, rows)
    if statements.lock is not None:
        connection.execute(statements.lock, rows.parameters)
    return bool(connection.execute(statements.missing, rows.parameters).scalar_one())


def begin(connection: Connection, rows: Range, transaction_id: int) -> int | None:
    """Copy what `lacks` has found; returns how many rows, or None where a younger transaction has been here."""
    statements = _statements(connection, rows)
    parameters = {"ac_tx": transaction_id, **rows.parameters}
    if statements.held is not None and not connection.execute(statements.held, parameters).scalar_one():
        # SQLite has one writer. There a statement that also reads what it writes is copied to a table of its own first.
        return connection.execute(statements.copy_all, parameters).rowcount
    if connection.execute(statements.younger, parameters).scalar_one():
        return None
    if statements.close is not None:
        connection.execute(statements.close, parameters)
    return connection.execute(statements.copy, parameters).rowcount


def _statements(connection: Connection, rows: Range) -> _Statements:
    place = ("begin", connection.dialect.name, rows.above is None, rows.upto is None)
    known: dict[Any, Any] = rows.history.statements
    if place not in known:
        known[place] = _built(pieces_of(connection, rows.history), rows)
    built: _Statements = known[place]
    return built


def _built(p: Pieces, rows: Range) -> _Statements:
    versions = p.history.version_table
    copied = p.copy(TX, literal_column(str(int(Operation.INSERT))))
    into = insert(versions)
    missing = select(exists(select(null()).select_from(p.live).where(*_lacking(p, rows), *p.kept)))
    held = select(null()).select_from(versions).where(*_held(p, rows))
    younger = select(exists(held.where(p.begins(versions) > TX)))
    return _Statements(
        _lock(p, rows) if p.dialect.name == "postgresql" else None,
        missing,
        select(exists(held)) if p.dialect.name == "sqlite" else None,
        younger,
        _close(p, rows),
        into.from_select(p.target, copied.where(*_lacking(p, rows)), include_defaults=False),
        into.from_select(p.target, copied.where(*rows.holds(_key(p, p.live))), include_defaults=False),
    )


def _lock(p: Pieces, rows: Range) -> Executable:
    live = p.history.table
    locked: Select[Any] = select(literal_column("1").label("one")).select_from(live).where(*rows.holds(_key(p, live)))
    locked = locked.order_by(*_key(p, live)).with_for_update(key_share=True)
    return select(func.count()).select_from(locked.subquery("ac_locked"))


def _lacking(p: Pieces, rows: Range) -> list[Any]:
    newest = p.history.version_table.alias("ac_newest")
    # Said of the versions as well, or PostgreSQL would go through all of them for each range.
    alive = select(null()).select_from(newest).where(p.same(newest, p.live), *rows.holds(_key(p, newest)))
    alive = alive.where(is_newest(p, newest), newest.c[p.history.operation] != Operation.DELETE)
    return [*rows.holds(_key(p, p.live)), ~exists(alive.correlate(p.live))]


def _close(p: Pieces, rows: Range) -> Executable | None:
    """End the versions that say of a live row that it is gone."""
    if p.history.ends is None:
        return None
    versions = p.history.version_table
    lives = exists(select(null()).select_from(p.live).where(p.same(p.live, versions), *p.kept).correlate(versions))
    gone = versions.c[p.history.operation] == Operation.DELETE
    closing = update(versions).where(*_held(p, rows), p.is_open(versions, TX), gone, lives)
    return closing.values({p.history.ends: TX})


def _held(p: Pieces, rows: Range) -> list[Any]:
    return rows.holds(_key(p, p.history.version_table))


def _key(p: Pieces, rows: Any) -> list[Any]:
    return list(p.history.key_of(rows))

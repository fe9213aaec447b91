"""Begin the history of rows that are older than it: go through a table range by range, and mark what history lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, bindparam, exists, func, null, or_, select, tuple_
from sqlalchemy.sql import ColumnElement

from async_continuum.build import TableHistory, kept_rows, may_have_twins
from async_continuum.dialects import AnyKeys, Key, keys_for, marks_for
from async_continuum.operation import Operation
from async_continuum.write import Pieces


def pieces_of(connection: Connection, history: TableHistory) -> Pieces:
    """Give the SQL of a table's history for statements that go over all of it, and so are given no keys."""
    followers = tuple(history.followers)
    return Pieces(history, connection.dialect, keys_for(history.key_types, [], connection.dialect), followers)


@dataclass(frozen=True, slots=True)
class Range:
    """The rows of a table between two keys. Lives for one batch."""

    history: TableHistory
    above: Key | None
    upto: Key | None

    @property
    def parameters(self) -> dict[str, Any]:
        """The keys that it lies between."""
        ends = (("above", self.above), ("upto", self.upto))
        return {f"{name}_{i}": part for name, key in ends if key is not None for i, part in enumerate(key)}

    def holds(self, columns: list[ColumnElement[Any]]) -> list[ColumnElement[bool]]:
        """Restrict rows to the range, by the columns of their key."""
        table = self.history.table
        nullable = [each for each, name in zip(columns, self.history.key, strict=True) if table.c[name].nullable]
        # A link of which one end is NULL links nothing.
        found: list[ColumnElement[bool]] = [each.is_not(None) for each in nullable]
        if self.above is not None:
            found.append(_row(columns) > self._bound("above"))
        if self.upto is not None:
            found.append(_row(columns) <= self._bound("upto"))
        return found

    def _bound(self, name: str) -> Any:
        return _row([bindparam(f"{name}_{i}", type_=type_) for i, type_ in enumerate(self.history.key_types)])


def ranges(connection: Callable[[], Connection], history: TableHistory, *, batch: int) -> Iterator[Range]:
    """Go through a table in the order of its keys, so many rows at a time."""
    above: Key | None = None
    while True:
        upto = _last(connection(), Range(history, above, None), batch)
        yield Range(history, above, upto)
        if upto is None:
            return
        above = upto


def claim(connection: Connection, rows: Range, *, repair: bool) -> tuple[AnyKeys, int]:
    """Mark the rows that history lacks, with ``repair`` also those that it tells otherwise; gives how many they are.

    Their writers are held off until the transaction ends. Whoever has written them before has recorded them as well
    once he has committed, and that is waited for.
    """
    history = rows.history
    place = ("backfill", connection.dialect.name, rows.above is None, rows.upto is None, repair)
    if place not in history.statements:
        history.statements[place] = _unaccounted(connection, rows, repair=repair)
    found = history.statements[place]
    marks = marks_for(history.key_types, connection.dialect)
    if marks is None:
        keys = [tuple(row) for row in connection.execute(found, rows.parameters)]
        return keys, len(keys)
    marks.begin(connection, many=False)
    return marks.keys(), marks.claim(connection, found, [rows.parameters]) or 0


def count_rows(connection: Connection, history: TableHistory) -> int:
    """Count the live rows."""
    return int(connection.execute(select(func.count()).select_from(history.table)).scalar_one())


def _unaccounted(connection: Connection, rows: Range, *, repair: bool) -> Select[Any]:
    p = pieces_of(connection, rows.history)
    history, versions = p.history, p.history.version_table
    # Twins are one link, and cannot be held off one by one.
    twins = may_have_twins(history)
    live = p.live if twins else history.table
    keys = history.key_of(live)
    newest = versions.alias("ac_newest")
    same = [a == b for a, b in zip(history.key_of(newest), keys, strict=True)]
    # Said of the versions as well, or PostgreSQL would go through all of them for each range.
    alive = select(null()).select_from(newest).where(*same, *rows.holds(history.key_of(newest)))
    alive = alive.where(is_newest(p, newest), newest.c[history.operation] != Operation.DELETE)
    if repair:
        # What history does tell of as it is.
        alive = alive.where(~or_(p.differs(live, newest), *(~holds for holds in p.rest_holds(newest))))
    found = select(*(key.label(f"k{i}") for i, key in enumerate(keys))).select_from(live)
    found = found.where(*rows.holds(keys), *kept_rows(history, live), ~exists(alive.correlate(live)))
    return found if twins else found.with_for_update(of=history.table, key_share=True)


def is_newest(p: Pieces, versions: Any) -> ColumnElement[bool]:
    """The newest version of its entity."""
    later = p.history.version_table.alias("ac_later")
    return ~exists(
        select(null())
        .select_from(later)
        .where(p.same(later, versions), p.begins(later) > p.begins(versions))
        .correlate(versions)
    )


def _last(connection: Connection, rows: Range, batch: int) -> Key | None:
    keys = rows.history.key_of(rows.history.table)
    found = select(*keys).where(*rows.holds(keys)).order_by(*keys).offset(batch - 1).limit(1)
    row = connection.execute(found, rows.parameters).first()
    return None if row is None else tuple(row)


def _row(columns: Any) -> Any:
    return columns[0] if len(columns) == 1 else tuple_(*columns)

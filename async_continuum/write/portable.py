"""Write versions with plain statements, one after the other: SQLite, and every dialect without a better way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import (
    Connection,
    Executable,
    Select,
    Table,
    and_,
    exists,
    insert,
    literal,
    null,
    select,
)
from sqlalchemy.sql import ColumnElement

from async_continuum.build import may_have_twins
from async_continuum.dialects import AnyKeys, Fresh, MarkedKeys, fresh_part
from async_continuum.errors import ImproperlyConfigured
from async_continuum.write.beside import beside, written_by
from async_continuum.write.compiled import Compiled
from async_continuum.write.folded import can_fold, fold
from async_continuum.write.pieces import (
    TX,
    Pieces,
    close_all,
    close_changed,
    copy_changed,
    copy_gone,
    merged_operation,
    remove_futile,
    reopen,
)


@dataclass(frozen=True, eq=False)
class Settlement:
    """The statements that tidy up after a transaction has recorded an entity more than once. Lives with its table."""

    pieces: Pieces

    @cached_property
    def _beside(self) -> dict[Table, list[Compiled]]:
        return {}

    @cached_property
    def futile(self) -> Executable:
        return remove_futile(self.pieces, TX)

    @cached_property
    def reopened(self) -> Executable | None:
        return reopen(self.pieces, TX) if self.pieces.history.ends is not None else None

    def run(self, connection: Connection, keys: AnyKeys, transaction_id: int) -> int:
        """Take away what says nothing any more; returns how many versions that were."""
        removed = 0
        for batch in self.pieces.keys.batches(keys):
            parameters = {"ac_tx": transaction_id, **self.pieces.keys.bind(batch, "keys")}
            taken = connection.execute(self.futile, parameters).rowcount
            if taken and self.reopened is not None:
                connection.execute(self.reopened, parameters)
            removed += taken
        return removed

    def beside(self, transactions: Table) -> list[Compiled]:
        """Give what plugins do after versions were taken away."""
        if transactions not in self._beside:
            writing = written_by(self.pieces, transactions, removed=True)
            self._beside[transactions] = list(map(Compiled, self.pieces.history.extras.versions_removed(writing)))
        return self._beside[transactions]


@dataclass(frozen=True, eq=False)
class PortableStatements:
    """The statements of one table on one dialect, built once. Lives as long as the table's history."""

    pieces: Pieces

    @cached_property
    def settlement(self) -> Settlement:
        return Settlement(self.pieces)

    @cached_property
    def _built(self) -> dict[tuple[Any, ...], list[Compiled]]:
        return {}

    @cached_property
    def _beside(self) -> dict[tuple[Any, ...], list[Compiled]]:
        return {}

    @cached_property
    def _lock(self) -> Compiled:
        return Compiled(locked_rows(self.pieces))

    @cached_property
    def _younger(self) -> Compiled:
        p, younger = self.pieces, self.pieces.history.version_table.alias("ac_younger")
        found = select(literal(1)).select_from(younger).where(p.among(younger), p.begins(younger) > TX)
        # Locking, because what is read without a lock is as old as the transaction's first look.
        return Compiled(found.with_for_update(read=True))

    def lock(self, connection: Connection, keys: AnyKeys) -> int:
        """Wait for the writers of rows that go; returns how many there are."""
        twins = may_have_twins(self.pieces.history)
        return sum(len(set(rows) if twins else rows) for rows in self._each(connection, self._lock, keys))

    def is_overtaken(self, connection: Connection, keys: AnyKeys, transaction_id: int) -> bool:
        """Say whether a younger transaction has committed a version of one of these entities."""
        return any(self._each(connection, self._younger, keys, ac_tx=transaction_id))

    def _each(
        self, connection: Connection, statement: Compiled, keys: AnyKeys, **given: Any
    ) -> Iterator[Sequence[Any]]:
        for batch in self.pieces.keys.batches(keys):
            yield statement.execute(connection, {**given, **self.pieces.keys.bind(batch, "keys")}).all()

    def live(
        self,
        connection: Connection,
        keys: AnyKeys,
        fresh: Fresh,
        transaction_id: int,
        *,
        again: bool,
    ) -> int:
        """Version the rows that were written; returns how many versions that made."""
        if isinstance(keys, MarkedKeys) or not self.pieces.keys.chunked:
            return self._live(connection, keys, fresh, transaction_id, again=again)
        _, inserted = fresh_part(keys, fresh)
        new = set(inserted)
        updated = [key for key in keys if key not in new]
        return sum(
            self._live(connection, batch, fresh, transaction_id, again=again)
            for part in (inserted, updated)
            for batch in self.pieces.keys.batches(part)
        )

    def _live(
        self,
        connection: Connection,
        keys: AnyKeys,
        fresh: Fresh,
        transaction_id: int,
        *,
        again: bool,
    ) -> int:
        hint, new = fresh_part(keys, fresh)
        parameters = {"ac_tx": transaction_id, **self.pieces.keys.bind(keys, "keys")}
        if hint == "some":
            parameters |= self.pieces.keys.bind(new, "fresh")
        place = ("live", hint, again)
        if place not in self._built:
            self._built[place] = list(map(Compiled, self._live_statements(hint, again=again)))
        return _run(connection, self._built[place], parameters)

    def gone(self, connection: Connection, keys: AnyKeys, transaction_id: int, *, again: bool) -> int:
        """Version the rows that are about to go; returns how many versions that made."""
        place = ("gone", again)
        if place not in self._built:
            self._built[place] = list(map(Compiled, self._gone_statements(again=again)))
        return sum(
            _run(connection, self._built[place], {"ac_tx": transaction_id, **self.pieces.keys.bind(batch, "keys")})
            for batch in self.pieces.keys.batches(keys)
        )

    def beside(self, transactions: Table, *, first: bool) -> list[Compiled]:
        """Give what plugins write with versions; ``first``: with the first ones of an entity in a transaction."""
        place = (transactions, first)
        if place not in self._beside:
            self._beside[place] = list(map(Compiled, beside(written_by(self.pieces, transactions), first=first)))
        return self._beside[place]

    def _live_statements(self, hint: str, *, again: bool) -> list[Executable]:
        p = self.pieces
        if not again and can_fold(p, hint, gone=False):
            return [fold(p, TX, hint, gone=False)]
        statements: list[Executable] = [] if p.history.ends is None else [close_changed(p, TX)]
        return statements + self._merge(copy_changed(p, TX, fresh=hint), again=again, gone=False)

    def _gone_statements(self, *, again: bool) -> list[Executable]:
        p = self.pieces
        if not again and can_fold(p, "none", gone=True):
            return [fold(p, TX, "none", gone=True)]
        statements: list[Executable] = [] if p.history.ends is None else [close_all(p, TX)]
        return statements + self._merge(copy_gone(p, TX), again=again, gone=True)

    def _merge(self, copied: Any, *, again: bool, gone: bool) -> list[Executable]:
        p = self.pieces
        versions = p.history.version_table
        if not again:
            return [insert(versions).from_select(p.target, copied, include_defaults=False)]
        if p.dialect.name == "sqlite":
            from sqlalchemy.dialects import sqlite

            upsert = sqlite.insert(versions).from_select(p.target, copied, include_defaults=False)
            values: dict[str, Any] = {name: upsert.excluded[name] for name in p.contents}
            values[p.history.operation] = merged_operation(p, p.operation(versions), gone=gone)
            return [upsert.on_conflict_do_update(index_elements=list(versions.primary_key), set_=values)]
        if p.dialect.name in ("mariadb", "mysql"):
            from sqlalchemy.dialects import mysql

            taken = mysql.insert(versions).from_select(p.target, copied, include_defaults=False)
            values = {name: taken.inserted[name] for name in p.contents}
            values[p.history.operation] = merged_operation(p, p.operation(versions), gone=gone)
            return [taken.on_duplicate_key_update(values)]
        own = versions.alias("ac_own")
        recorded = exists(select(null()).select_from(own).where(p.same(own, p.live), p.begins(own) == TX))
        missing = copied.where(~recorded.correlate(p.live))
        return [self._refresh(gone=gone), insert(versions).from_select(p.target, missing, include_defaults=False)]

    def _refresh(self, *, gone: bool) -> Executable:
        p = self.pieces
        versions = p.history.version_table
        if p.history.added:
            # Not every database reads a table that the same UPDATE changes, and the version before is in that table.
            raise ImproperlyConfigured(
                f"plugins that add columns to version tables are not available on {p.dialect.name}.", option="plugins"
            )
        live = p.live_as("ac_live")
        values: dict[str, ColumnElement[Any]] = {
            name: select(live.c[name]).where(p.same(live, versions)).correlate(versions).scalar_subquery()
            for name in p.history.columns
            if name not in p.history.key
        }
        for name in values.keys() - p.history.class_columns if gone else ():
            value = p.history.extras.deleted_value(p.history, p.history.table.c[name])
            values[name] = values[name] if value is None else value
        values[p.history.operation] = merged_operation(p, p.operation(versions), gone=gone)
        alive = exists(select(null()).select_from(live).where(p.same(live, versions)).correlate(versions))
        return versions.update().where(p.among(versions), and_(p.begins(versions) == TX, alive)).values(values)


def _run(connection: Connection, statements: Sequence[Compiled], parameters: dict[str, Any]) -> int:
    result = 0
    for statement in statements:
        result = statement.execute(connection, parameters).rowcount
    return result


def locked_rows(p: Pieces, *, stay: bool = False) -> Select[Any]:
    """Wait for the writers of these rows, in the order of their keys, so that what is read next is final.

    Gives a row for each of them: of twins, which are one link, its key.
    """
    live = p.history.table
    keys = [column.label(f"k{i}") for i, column in enumerate(p.history.key_of(live))]
    columns = keys if may_have_twins(p.history) else [literal(1).label("one")]
    locked = select(*columns).select_from(live).where(p.among(live)).order_by(*p.history.key_of(live))
    return locked.with_for_update(key_share=stay)

"""Write the versions of a flush in one statement: PostgreSQL takes data-modifying CTEs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    BigInteger,
    Connection,
    Executable,
    Table,
    and_,
    bindparam,
    case,
    distinct,
    exists,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    true,
    tuple_,
    type_coerce,
)
from sqlalchemy.sql import ColumnElement
from sqlalchemy.types import NullType

from async_continuum.build import may_have_twins
from async_continuum.dialects import AnyKeys, Fresh, MarkedKeys, clock, fresh_part
from async_continuum.operation import Operation
from async_continuum.write.beside import ENTITY, Rows, Writing, rows_parameters, rows_statement
from async_continuum.write.beside import beside as statements_beside
from async_continuum.write.compiled import Compiled
from async_continuum.write.pieces import (
    TX,
    Id,
    Pieces,
    close_all,
    close_changed,
    constant,
    copy_changed,
    copy_gone,
    merged_operation,
)
from async_continuum.write.portable import Settlement, locked_rows
from async_continuum.write.usual import has_usual_case, left_of_usual, usual_case

Given = tuple[tuple[Table, tuple[str, ...]], ...]
"""Companions of which a new transaction gets rows, each with the columns that are given."""


@dataclass(frozen=True, eq=False, slots=True)
class Written:
    """What one statement wrote. Lives until the ledger has counted it."""

    transaction_id: int
    overtaken: bool
    rows: int
    left: int | None
    """How many of the keys are not accounted for, where the statement says so."""
    missing: bool = False
    """Whether there was no row under some of the keys of rows that go."""


class _Kind(NamedTuple):
    """Which statement of a table: what the flush did, and whether this transaction may have versions already."""

    hint: str
    gone: bool
    again: bool
    beside: bool
    """Whether plugins have statements that go with it."""
    first: bool
    """Whether they are told of this model for the first time in this transaction."""
    usual: bool = False


@dataclass(frozen=True, eq=False)
class PostgresqlStatements:
    """The statements of one table on PostgreSQL, built once. Lives as long as the table's history."""

    pieces: Pieces

    @cached_property
    def settlement(self) -> Settlement:
        return Settlement(self.pieces)

    @cached_property
    def lock(self) -> Executable:
        return _counted(self.pieces)

    @cached_property
    def lock_those_that_stay(self) -> Executable:
        return _counted(self.pieces, stay=True)

    @cached_property
    def _built(self) -> dict[tuple[Any, ...], Compiled]:
        return {}

    def write(
        self,
        connection: Connection,
        keys: AnyKeys,
        fresh: Fresh,
        transaction_id: int | None,
        *,
        table: Table,
        values: Mapping[str, Any],
        rows: Sequence[Rows] = (),
        entity: str | None = None,
        first: bool = False,
        gone: bool,
        again: bool,
    ) -> Written:
        """Write versions, and the transaction row with them where there is none yet.

        Writes nothing where the transaction was overtaken, and says so.
        """
        hint, new = fresh_part(keys, fresh)
        parameters = self.pieces.keys.bind(keys, "keys")
        if hint == "some":
            parameters |= self.pieces.keys.bind(new, "fresh")
        beside = entity is not None and self.pieces.history.extras.writes
        if beside:
            parameters["ac_entity"] = entity
        kind = _Kind(hint, gone, again, bool(beside), bool(beside) and first)
        counted = None if isinstance(keys, MarkedKeys) else len(keys)
        if not again and has_usual_case(self.pieces, hint, gone=gone):
            usual = kind._replace(usual=True)
            written = self._run(connection, usual, parameters, transaction_id, table, values, rows)
            if written.overtaken or written.rows == counted or written.left == 0:
                return written
            transaction_id, kind, rows = written.transaction_id, kind._replace(again=True), ()
        missing = False
        if counted is not None and gone and not self.pieces.followers:
            # A snapshot taken before the wait for another writer would not show what that writer recorded; and the
            # row that is there now need not be the one that the usual case has waited for.
            missing = connection.execute(self.lock, parameters).scalar_one() < counted
        written = self._run(connection, kind, parameters, transaction_id, table, values, rows)
        return replace(written, missing=missing)

    def _run(
        self,
        connection: Connection,
        kind: _Kind,
        parameters: Mapping[str, Any],
        transaction_id: int | None,
        table: Table,
        values: Mapping[str, Any],
        rows: Sequence[Rows],
    ) -> Written:
        names = tuple(values) if transaction_id is None else None
        signed = (
            {"ac_tx": transaction_id} if names is None else {f"ac_tx_{name}": value for name, value in values.items()}
        )
        # What plugins add: rows of the new transaction, and statements that go with versions of an entity.
        given = tuple((companion, tuple(each[0])) for companion, each in rows)
        place = (kind, names, table, given)
        if place not in self._built:
            self._built[place] = Compiled(self._statement(kind, names, table, given))
        parameters = {**parameters, **signed, **(rows_parameters(rows) if given else {})}
        row: Any = self._built[place].execute(connection, parameters).one()
        tx, overtaken, count, *left = row
        return Written(tx, bool(overtaken), count, left[0] if left else None)

    def _statement(self, kind: _Kind, names: tuple[str, ...] | None, table: Table, given: Given) -> Executable:
        p = self.pieces
        if names is None:
            tx: Id = TX
            overtaken: ColumnElement[Any] = select(p.newer(TX).label("overtaken")).cte("ac_guard").c.overtaken
            guard = select(overtaken).scalar_subquery()
            allowed: ColumnElement[bool] = type_coerce(guard, NullType()).is_(literal_column("false"))
        else:
            taken = self._transaction_row(table, names)
            tx = select(taken.c.id).scalar_subquery()
            guard = select(literal_column("false")).scalar_subquery()
            allowed = true()
        if kind.usual:
            inserted = usual_case(p, tx, kind.hint, allowed, gone=kind.gone)
        else:
            copied = self._copied(tx, kind.hint, allowed, gone=kind.gone)
            inserted = self._insert(copied, again=kind.again, gone=kind.gone)
        returned = p.returned(*p.history.key, p.history.operation) if kind.beside else []
        written = inserted.returning(*returned or [literal_column("1").label("one")]).cte("ac_written")
        counted = select(func.count()).select_from(written).scalar_subquery()
        result = select(type_coerce(tx, BigInteger()).label("tx"), guard.label("overtaken"), counted.label("rows"))
        if kind.usual and p.keys.count is not None:
            result = result.add_columns(left_of_usual(p, p.keys.count - counted, kind.hint, gone=kind.gone))
        for companion, columns in given:
            result = result.add_cte(rows_statement(companion, columns, tx).cte(f"ac_rows_of_{companion.name}"))
        if kind.beside:
            writing = Writing(p.history, table, p.dialect, tx, ENTITY, written)
            for number, statement in enumerate(statements_beside(writing, first=kind.first)):
                # Named, so that an error of the database names the plugin too.
                name = f"{statement.get_execution_options().get('plugin')}_{number}"
                result = result.add_cte(statement.cte(name))  # type: ignore[attr-defined]
        return result

    def _transaction_row(self, table: Table, names: tuple[str, ...]) -> CTE:
        given = {name: bindparam(f"ac_tx_{name}", type_=table.c[name].type) for name in names}
        values = {"issued_at": clock(self.pieces.dialect), **given}
        return insert(table).values(values).returning(table.c.id).cte("ac_taken")

    def _copied(self, tx: Id, hint: str, allowed: ColumnElement[bool], *, gone: bool) -> Any:
        p = self.pieces
        if p.history.ends is None:
            copied = copy_gone(p, tx) if gone else copy_changed(p, tx, fresh=hint)
            return copied.where(allowed)
        closing = close_all(p, tx) if gone else close_changed(p, tx)
        versions = p.history.version_table
        closed = closing.where(allowed).returning(*p.returned(*p.history.key, p.history.operation)).cte("ac_closed")
        # Reading what was closed orders the two: a version is inserted only after its predecessor has ended. Not by a
        # join: for a prepared statement PostgreSQL expects ten keys, and would go through what was closed row by row.
        if gone:
            ended = select(func.count()).select_from(closed).scalar_subquery().is_not(None)
            return p.copy(tx, constant(Operation.DELETE), gone=True).where(p.among(p.live), ended, allowed)
        reborn = self._closed(closed, p.operation(closed) == constant(Operation.DELETE))
        changed = self._closed(closed, true())
        operation = case(
            (reborn, constant(Operation.INSERT)), (changed, constant(Operation.UPDATE)), else_=p.hint(hint)
        )
        unchanged = versions.alias("ac_unchanged")
        holds = and_(p.same(unchanged, p.live), p.is_open(unchanged, tx))
        untouched = ~exists(select(null()).select_from(unchanged).where(holds).correlate(p.live))
        return p.copy(tx, operation).where(p.among(p.live), or_(changed, untouched), allowed)

    def _closed(self, closed: CTE, which: ColumnElement[bool]) -> ColumnElement[bool]:
        keys = select(*self.pieces.history.key_of(closed)).where(which)
        live = self.pieces.history.key_of(self.pieces.live)
        return live[0].in_(keys) if len(live) == 1 else tuple_(*live).in_(keys)

    def _insert(self, copied: Any, *, again: bool, gone: bool) -> Any:
        p = self.pieces
        versions = p.history.version_table
        if not again:
            return insert(versions).from_select(p.target, copied, include_defaults=False)
        # Here, because importing a dialect takes longer than importing all of this package.
        from sqlalchemy.dialects import postgresql

        upsert = postgresql.insert(versions).from_select(p.target, copied, include_defaults=False)
        values: dict[str, Any] = {name: upsert.excluded[name] for name in p.contents}
        values[p.history.operation] = merged_operation(p, p.operation(versions), gone=gone)
        return upsert.on_conflict_do_update(index_elements=list(versions.primary_key), set_=values)


def _counted(p: Pieces, *, stay: bool = False) -> Executable:
    found = locked_rows(p, stay=stay).subquery("ac_locked")
    count = func.count(distinct(tuple_(*found.c))) if may_have_twins(p.history) else func.count()
    return select(count).select_from(found)

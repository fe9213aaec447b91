"""Write the versions of the tables below, under joined inheritance: where the topmost table has one, so have they."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Executable, and_, case, exists, func, insert, null, or_, select, type_coerce
from sqlalchemy.sql import ColumnElement, FromClause
from sqlalchemy.sql.dml import Update
from sqlalchemy.types import NullType

from async_continuum.build import TableHistory
from async_continuum.dialects import AnyKeys
from async_continuum.operation import Operation
from async_continuum.write.pieces import TX, Flag, Pieces, constant


@dataclass(frozen=True, eq=False)
class FollowerStatements:
    """The statements of one table that follows another, built once. Lives as long as the table's history.

    Whether an entity has changed, and how, the topmost table says for all of its rows.
    """

    pieces: Pieces
    leader: TableHistory

    def write(self, connection: Connection, keys: AnyKeys, transaction_id: int, *, gone: bool) -> int:
        """Version the rows of entities that the transaction has a version of; returns how many that were."""
        rows = 0
        for batch in self.pieces.keys.batches(keys):
            for statement in self._gone if gone else self._live:
                rows = connection.execute(statement, self._parameters(batch, transaction_id)).rowcount
        return rows

    def settle(self, connection: Connection, keys: AnyKeys, transaction_id: int) -> int:
        """Take away what the topmost table does not say any more; returns how many versions that were."""
        removed = 0
        for batch in self.pieces.keys.batches(keys):
            parameters = self._parameters(batch, transaction_id)
            removed += connection.execute(self._futile, parameters).rowcount
            if self._reopened is not None:
                connection.execute(self._reopened, parameters)
        return removed

    def _parameters(self, keys: AnyKeys, transaction_id: int) -> dict[str, Any]:
        return {"ac_tx": transaction_id, **self.pieces.keys.bind(keys, "keys")}

    def _of_leader(self, rows: FromClause, *wanted: Flag) -> ColumnElement[Any]:
        """The operation of the version that this transaction has of the entity in ``rows``, or NULL.

        The newest one, if it is the transaction's: PostgreSQL, whose statistics end before this transaction, would
        look for its id alone, and go over all that it has written, for each row.
        """
        led = self._led
        same = (a == b for a, b in zip(self.leader.key_of(led), self.pieces.history.key_of(rows), strict=True))
        mine = case((and_(led.c[self.leader.begins] == TX, *wanted), led.c[self.leader.operation]))
        newest = select(mine).where(*same).order_by(led.c[self.leader.begins].desc()).limit(1)
        return newest.correlate(rows).scalar_subquery()

    @cached_property
    def _led(self) -> FromClause:
        return self.leader.version_table.alias("ac_led")

    def _leads(self, rows: FromClause) -> Flag:
        return self._of_leader(rows).is_not(None)

    @cached_property
    def _live(self) -> list[Executable]:
        return self._written(gone=False)

    @cached_property
    def _gone(self) -> list[Executable]:
        return self._written(gone=True)

    def _written(self, *, gone: bool) -> list[Executable]:
        p = self.pieces
        versions = p.history.version_table
        operation = self._of_leader(p.live)
        copied = p.copy(TX, operation, gone=gone).where(p.among(p.live), self._leads(p.live))
        if p.dialect.name == "postgresql":
            return [self._upsert(copied if p.history.ends is None else copied.where(self._after_closing()))]
        closing: list[Executable] = [] if p.history.ends is None else [self._closing()]
        if p.dialect.name == "sqlite":
            return [*closing, self._upsert(copied)]
        # Of a row that the database has taken along meanwhile, the version stays that was written before it went.
        own = versions.delete().where(p.among(versions), p.begins(versions) == TX, self._alive)
        return [*closing, own, insert(versions).from_select(p.target, copied, include_defaults=False)]

    def _closing(self) -> Update:
        p = self.pieces
        versions = p.history.version_table
        # Where the row of this table has gone before, by a statement on it alone, nothing follows what is open.
        update = versions.update().where(p.among(versions), p.is_open(versions, TX), self._leads(versions), self._alive)
        return update.values({p.history.ends: TX})

    @property
    def _alive(self) -> Flag:
        p = self.pieces
        live, versions = p.live_as("ac_live"), p.history.version_table
        return exists(select(null()).select_from(live).where(p.same(live, versions)).correlate(versions))

    def _after_closing(self) -> ColumnElement[bool]:
        # Reading what was closed orders the two: a version is inserted only after its predecessor has ended.
        closed = self._closing().returning(*self.pieces.history.key_of(self.pieces.versions)).cte("ac_closed")
        return select(func.count()).select_from(closed).scalar_subquery().is_not(None)

    def _upsert(self, copied: Any) -> Executable:
        # Here, because importing a dialect takes longer than importing all of this package.
        from sqlalchemy.dialects import postgresql, sqlite

        p = self.pieces
        versions = p.history.version_table
        upsert: Any = (postgresql if p.dialect.name == "postgresql" else sqlite).insert(versions)
        upsert = upsert.from_select(p.target, copied, include_defaults=False)
        values = {name: upsert.excluded[name] for name in (*p.contents, p.history.operation)}
        return upsert.on_conflict_do_update(  # type: ignore[no-any-return]
            index_elements=list(versions.primary_key), set_=values
        )

    @cached_property
    def _futile(self) -> Executable:
        p = self.pieces
        versions = p.history.version_table
        futile = ~self._leads(versions)
        if self.leader.names_class is not None:
            # One deleted and inserted again as another class has no rows here any more, and lives.
            futile = or_(futile, and_(~self._alive, self._has_another_class(versions)))
        return versions.delete().where(p.among(versions), p.begins(versions) == TX, futile)

    def _has_another_class(self, rows: FromClause) -> Flag:
        leader, named = self.leader, self.leader.names_class
        assert named is not None
        before, led = leader.version_table.alias("ac_before"), self._led
        same = [a == b for a, b in zip(leader.key_of(before), leader.key_of(led), strict=True)]
        class_before = select(before.c[named]).where(*same, before.c[leader.begins] < TX).correlate(led)
        class_before = class_before.order_by(before.c[leader.begins].desc()).limit(1)
        another = led.c[named].is_distinct_from(class_before.scalar_subquery())
        alive = type_coerce(led.c[leader.operation], NullType()) != constant(Operation.DELETE)
        return self._of_leader(rows, alive, another).is_not(None)

    @cached_property
    def _reopened(self) -> Executable | None:
        p = self.pieces
        if p.history.ends is None:
            return None
        versions = p.history.version_table
        update = versions.update().where(p.among(versions), p.ends(versions) == TX, ~self._leads(versions))
        return update.values({p.history.ends: null()})

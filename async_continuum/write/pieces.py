"""Say in SQL what writing history needs to know: which version came before, what changed, what is copied."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    BigInteger,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ColumnElement, FromClause
from sqlalchemy.sql.dml import Delete, Update
from sqlalchemy.types import NullType

from async_continuum.build import TableHistory, kept_rows, live_rows
from async_continuum.declare import NOTHING
from async_continuum.dialects import Keys, differs
from async_continuum.operation import Operation
from async_continuum.write.chosen import recorded
from async_continuum.write.copying import copied, copying_of

Flag = ColumnElement[bool]
Id = ColumnElement[int]

# Called as no column is: SQLAlchemy would take a parameter of a column's name for its new value.
TX: Id = bindparam("ac_tx", type_=BigInteger())


def constant(operation: Operation) -> ColumnElement[Any]:
    """Write an operation into the statement's text: it never changes."""
    return literal_column(str(int(operation)))


@dataclass(frozen=True, eq=False, slots=True)
class Pieces:
    """The SQL of one table's history for one dialect. Lives as long as the statements made of it."""

    history: TableHistory
    dialect: Dialect
    keys: Keys
    followers: tuple[TableHistory, ...] = ()
    """The tables below, under joined inheritance: what differs in one of them differs."""
    live: FromClause = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "live", live_rows(self.history, self.dialect))

    def live_as(self, name: str) -> FromClause:
        """The live rows once more in a statement, under another name."""
        return live_rows(self.history, self.dialect, name=name)

    @property
    def versions(self) -> FromClause:
        return self.history.version_table

    def among(self, rows: FromClause, name: str = "keys") -> Flag:
        """Restrict ``rows`` to the keys that the statement is given."""
        return self.keys.among(self.history.key_of(rows), name)

    def same(self, a: FromClause, b: FromClause) -> Flag:
        """Two rows of one entity."""
        return and_(*(x == y for x, y in zip(self.history.key_of(a), self.history.key_of(b), strict=True)))

    def differs(self, a: FromClause, b: FromClause) -> Flag:
        """Two rows that are stored differently in a column that history keeps."""
        return differs([(a.c[name], b.c[name]) for name in self.history.columns], self.dialect)

    def rest_holds(self, versions: FromClause) -> list[Flag]:
        """The rows of the entity in the tables below are stored as when the version in ``versions`` was made."""
        flags = []
        for place, below in enumerate(self.followers):
            live, then = below.table.alias(f"ac_live_{place}"), below.version_table.alias(f"ac_then_{place}")
            here = [a == b for a, b in zip(below.key_of(live), self.history.key_of(versions), strict=True)]
            same = [a == b for a, b in zip(below.key_of(then), below.key_of(live), strict=True)]
            differing = differs([(live.c[name], then.c[name]) for name in below.columns], self.dialect)
            held = select(null()).select_from(then).where(*same, then.c[below.begins] == self.begins(versions))
            alike = exists(held.where(not_(differing)).correlate(live, versions))
            flags.append(~exists(select(null()).select_from(live).where(*here, ~alike).correlate(versions)))
            was = [a == b for a, b in zip(below.key_of(then), self.history.key_of(versions), strict=True)]
            lived = select(null()).select_from(then).where(*was, then.c[below.begins] == self.begins(versions))
            lived = lived.where(type_coerce(then.c[below.operation], NullType()) != constant(Operation.DELETE))
            gone = ~exists(select(null()).select_from(live).where(*same).correlate(then))
            flags.append(~exists(lived.where(gone).correlate(versions)))
        return flags

    def begins(self, versions: FromClause) -> Id:
        return versions.c[self.history.begins]

    def ends(self, versions: FromClause) -> ColumnElement[Any]:
        assert self.history.ends is not None
        return versions.c[self.history.ends]

    def operation(self, versions: FromClause) -> ColumnElement[Any]:
        return type_coerce(versions.c[self.history.operation], NullType())

    def is_open(self, versions: FromClause, tx: Id) -> Flag:
        """The version that held when this transaction began, not closed yet (strategy 'validity')."""
        return and_(self.ends(versions).is_(None), self.begins(versions) != tx)

    def is_predecessor(self, versions: FromClause, tx: Id) -> Flag:
        """The version that held when this transaction began: one look-up in the primary key, however long history."""
        earlier = self.history.version_table.alias("ac_earlier")
        newest = select(func.max(self.begins(earlier))).where(self.same(earlier, versions), self.begins(earlier) < tx)
        return self.begins(versions) == newest.correlate(versions).scalar_subquery()

    def operation_before(self, rows: FromClause, tx: Id) -> ColumnElement[Any]:
        """The operation of the version that held when this transaction began, for the entity in ``rows``; or NULL."""
        before = self.history.version_table.alias("ac_predecessor")
        found = select(self.operation(before)).where(self.same(before, rows), self.begins(before) < tx)
        return found.order_by(self.begins(before).desc()).limit(1).correlate(rows).scalar_subquery()

    def predecessor(self, rows: FromClause, tx: Id, *, name: str = "ac_predecessor") -> tuple[FromClause, Flag]:
        """The version before this transaction's of the entity in ``rows``."""
        before = self.history.version_table.alias(name)
        return before, and_(self.same(before, rows), self.is_predecessor(before, tx))

    def hint(self, fresh: str) -> ColumnElement[Any]:
        """What the flush did to a row that has no version yet: all inserted, none, or those among ``fresh``."""
        match fresh:
            case "all":
                return constant(Operation.INSERT)
            case "none":
                return constant(Operation.UPDATE)
            case _:
                inserted = self.among(self.live, "fresh")
                return case((inserted, constant(Operation.INSERT)), else_=constant(Operation.UPDATE))

    def net(self, before: ColumnElement[Any], fresh: str) -> ColumnElement[Any]:
        """The operation of a live row, given that of the version before this transaction."""
        return case(
            (constant(Operation.DELETE), constant(Operation.INSERT)),
            (constant(Operation.INSERT), constant(Operation.UPDATE)),
            (constant(Operation.UPDATE), constant(Operation.UPDATE)),
            value=before,
            else_=self.hint(fresh),
        )

    @property
    def contents(self) -> list[str]:
        """The columns of the version table that say what a version holds."""
        return [*self.history.columns, *(each.column.key for each in self.history.added)]

    @property
    def target(self) -> list[str]:
        """The columns of the version table that a copy fills."""
        return [*self.contents, self.history.begins, self.history.operation]

    def returned(self, *names: str) -> list[ColumnElement[Any]]:
        """List columns of the version table for a RETURNING that is read as a CTE."""
        # SQLAlchemy shortens a long name where it reads a CTE's column, and not where RETURNING gives it.
        longest = (self.dialect.label_length or self.dialect.max_identifier_length) - 6
        columns = (self.versions.c[name] for name in names)
        return [column if len(column.name) <= longest else column.label(column.key) for column in columns]

    def copy(self, tx: Id, operation: ColumnElement[Any], *, gone: bool = False) -> Select[Any]:
        """Copy live rows as they are stored."""
        values = {name: stored(self.live.c[name]) for name in self.history.columns}
        if self.history.extras is NOTHING:
            copy = select(*values.values(), tx, operation)
        else:
            copying, newest = copying_of(self.history, self.dialect, self.live, tx, operation, gone=gone)
            copy = copied(copying, values, newest=newest)
        return copy.where(*self.kept, *recorded(self, self.live, gone=gone))

    @property
    def kept(self) -> list[Flag]:
        """The live row is of a class whose history is kept; others may stand in the same table."""
        return kept_rows(self.history, self.live)

    def newer(self, tx: Id) -> Flag:
        """A younger transaction has committed a version of one of these entities: ours was overtaken."""
        younger = self.history.version_table.alias("ac_younger")
        return exists(select(null()).select_from(younger).where(self.among(younger), self.begins(younger) > tx))


def stored(column: ColumnElement[Any]) -> ColumnElement[Any]:
    # A type that wraps its column when it is selected would copy what is shown instead of what is stored.
    return column if column.type.column_expression(column) is None else type_coerce(column, NullType())


def close_changed(p: Pieces, tx: Id) -> Update:
    """Close the open versions of live rows that are stored differently now, and of entities that live again."""
    live = p.live_as("ac_live")
    changed = exists(
        select(null())
        .select_from(live)
        .where(
            p.same(live, p.versions),
            or_(
                p.operation(p.versions) == constant(Operation.DELETE),
                p.differs(live, p.versions),
                *(not_(holds) for holds in p.rest_holds(p.versions)),
            ),
        )
    )
    changed = changed.where(*recorded(p, live))
    update = p.history.version_table.update().where(p.among(p.versions), p.is_open(p.versions, tx), changed)
    return update.values({p.history.ends: tx})


def close_all(p: Pieces, tx: Id) -> Update:
    """Close the open versions of rows that go, and of none that somebody else has deleted before."""
    live = p.live_as("ac_live")
    going = select(null()).select_from(live).where(p.same(live, p.versions))
    if p.history.record_if is not None:
        going = going.where(or_(*recorded(p, live), p.operation(p.versions) != constant(Operation.DELETE)))
    alive = exists(going.correlate(p.versions))
    update = p.history.version_table.update().where(p.among(p.versions), p.is_open(p.versions, tx), alive)
    return update.values({p.history.ends: tx})


def copy_changed(p: Pieces, tx: Id, *, fresh: str) -> Select[Any]:
    """Copy the live rows whose state no earlier version holds; what was to be closed has been closed."""
    if p.history.ends is not None:
        unchanged: FromClause = p.history.version_table.alias("ac_unchanged")
        holds = and_(p.same(unchanged, p.live), p.is_open(unchanged, tx))
    else:
        unchanged, holds = p.predecessor(p.live, tx, name="ac_unchanged")
        holds = and_(
            holds,
            p.operation(unchanged) != constant(Operation.DELETE),
            not_(p.differs(p.live, unchanged)),
            *p.rest_holds(unchanged),
        )
    operation = p.operation_before(p.live, tx)
    return p.copy(tx, p.net(operation, fresh)).where(
        p.among(p.live), ~exists(select(null()).select_from(unchanged).where(holds).correlate(p.live))
    )


def copy_gone(p: Pieces, tx: Id) -> Select[Any]:
    """Copy the rows that are about to go."""
    return p.copy(tx, constant(Operation.DELETE), gone=True).where(p.among(p.live))


def merged_operation(p: Pieces, own: ColumnElement[Any], *, gone: bool) -> ColumnElement[Any]:
    """The operation of an entity that this transaction has recorded before, when it changes again.

    One that it inserted stays an INSERT; one that it found alive is updated, or deleted.
    """
    after = constant(Operation.DELETE if gone else Operation.UPDATE)
    return case((own == constant(Operation.INSERT), constant(Operation.INSERT)), else_=after)


def remove_futile(p: Pieces, tx: Id) -> Delete:
    """Take away versions of this transaction that say nothing: inserted and gone, or back where it began."""
    versions = p.history.version_table
    live = p.live_as("ac_live")
    before, is_before = p.predecessor(versions, tx)
    alive = exists(select(null()).select_from(live).where(p.same(live, versions)).correlate(versions))
    unchanged = exists(
        select(null())
        .select_from(before.join(live, p.same(before, live)))
        .where(
            is_before,
            p.operation(before) != constant(Operation.DELETE),
            not_(p.differs(live, before)),
            *p.rest_holds(before),
        )
        .correlate(versions)
    )
    return versions.delete().where(
        p.among(versions),
        p.begins(versions) == tx,
        or_(
            and_(p.operation(versions) == constant(Operation.INSERT), ~alive),
            and_(p.operation(versions) != constant(Operation.INSERT), unchanged),
        ),
    )


def reopen(p: Pieces, tx: Id) -> Update:
    """Open again the versions that this transaction closed and has no version after any more."""
    versions = p.history.version_table
    later = versions.alias("ac_later")
    # What comes after is this transaction's; by its id alone PostgreSQL would go over all that it has written.
    superseded = exists(
        select(null())
        .select_from(later)
        .where(p.same(later, versions), p.begins(later) > p.begins(versions))
        .correlate(versions)
    )
    update = versions.update().where(p.among(versions), p.ends(versions) == tx, ~superseded)
    return update.values({p.history.ends: null()})

"""Compare live rows with their newest versions, and name what history does not account for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Select, Table, case, exists, func, literal_column, null, select

from async_continuum.build import TableHistory
from async_continuum.dialects import differs
from async_continuum.maintain.backfill import Range, is_newest, pieces_of
from async_continuum.maintain.leaving import ends_at, left_at
from async_continuum.operation import Operation
from async_continuum.write import Pieces

Kind = Literal["changed", "missing", "orphaned", "broken"]


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """Something that history does not account for.

    ``changed``: the live row differs from its newest version, in ``columns``. ``missing``: a live row whose history
    says nothing, or that it is gone. ``orphaned``: history says alive, the row is gone. ``broken``: an entity whose
    versions do not follow one another without a gap. In a table that an entity has left by becoming one of another
    class, its versions end there.
    """

    model: type | Table
    """The model; of a link, its association table."""
    key: tuple[Any, ...]
    kind: Kind
    columns: tuple[str, ...] = ()


def verify_table(connection: Connection, history: TableHistory, model: type | Table) -> Iterator[Discrepancy]:
    """Report every discrepancy of a table, in four statements."""
    p = pieces_of(connection, history)
    for row in connection.execute(_changed(p)):
        columns = tuple(name for name, flag in zip(history.columns, row[len(history.key) :], strict=True) if flag)
        yield Discrepancy(model, tuple(row[: len(history.key)]), "changed", columns)
    statements: list[tuple[Kind, Select[Any]]] = [("missing", _missing(p)), ("orphaned", _orphaned(p))]
    if history.ends is not None:
        statements.append(("broken", _broken(p)))
    for kind, statement in statements:
        for row in connection.execute(statement):
            yield Discrepancy(model, tuple(row), kind)


def _changed(p: Pieces) -> Select[Any]:
    history, versions = p.history, p.history.version_table
    flags = [
        case((differs([(p.live.c[name], versions.c[name])], p.dialect), literal_column("1")), else_=literal_column("0"))
        for name in history.columns
    ]
    return (
        select(*history.key_of(p.live), *(flag.label(f"differs_{i}") for i, flag in enumerate(flags)))
        .select_from(p.live.join(versions, p.same(p.live, versions)))
        .where(is_newest(p, versions), versions.c[history.operation] != Operation.DELETE, p.differs(p.live, versions))
        .order_by(*history.key_of(p.live))
    )


def _missing(p: Pieces) -> Select[Any]:
    history, versions = p.history, p.history.version_table
    alive = (
        select(null())
        .select_from(versions)
        .where(p.same(versions, p.live), is_newest(p, versions), versions.c[history.operation] != Operation.DELETE)
        .correlate(p.live)
    )
    rows = Range(history, None, None).holds(history.key_of(p.live))
    return select(*history.key_of(p.live)).where(~exists(alive), *p.kept, *rows).order_by(*history.key_of(p.live))


def _orphaned(p: Pieces) -> Select[Any]:
    history, versions = p.history, p.history.version_table
    live = select(null()).select_from(p.live).where(p.same(p.live, versions)).correlate(versions)
    stayed = [] if history.leader is None else [left_at(history, versions).is_(None)]
    return (
        select(*history.key_of(versions))
        .where(is_newest(p, versions), versions.c[history.operation] != Operation.DELETE, ~exists(live), *stayed)
        .order_by(*history.key_of(versions))
    )


def _broken(p: Pieces) -> Select[Any]:
    history, versions = p.history, p.history.version_table
    following = versions.alias("ac_following")
    next_begins = (
        select(func.min(p.begins(following)))
        .where(p.same(following, versions), p.begins(following) > p.begins(versions))
        .correlate(versions)
        .scalar_subquery()
    )
    gap = p.ends(versions).is_distinct_from(ends_at(history, versions, next_begins))
    # Not DISTINCT: a type that wraps columns in SQL would have the order by another expression than the one selected.
    key = history.key_of(versions)
    return select(*key).where(gap).group_by(*key).order_by(*key)

"""Bring links back with the other columns of their rows, of which the ORM's relation knows nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, FromClause, Insert, Table, bindparam, event, inspect, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper, RelationshipProperty

from async_continuum.build import TableHistory, alive_in, find_history
from async_continuum.dialects import keys_for
from async_continuum.read import same_stored

Pair = tuple[Any, ...]
"""The values by which a link names its two ends."""


@dataclass(frozen=True, eq=False, slots=True)
class LinkTable:
    """An association table whose rows say more than which two ends they link. A value, of one relation."""

    history: TableHistory
    parent: tuple[tuple[str, Column[Any]], ...]
    """The attributes of the relation's own class by which links name it, each with the link's column."""
    target: tuple[tuple[str, Column[Any]], ...]
    others: tuple[Column[Any], ...]

    def pair(self, parent: Any, target: Any) -> Pair:
        """Name a link by the objects, or versions, of its two ends."""
        ends = ((parent, self.parent), (target, self.target))
        return tuple(getattr(end, name) for end, columns in ends for name, _ in columns)


@dataclass(eq=False, slots=True)
class LinkRows:
    """What the links of one relation said then, and those that say something else now. Lives for one revert."""

    table: LinkTable
    then: dict[Pair, dict[str, Any]] = field(default_factory=dict)
    changed: set[Pair] = field(default_factory=set)


def link_table(prop: RelationshipProperty[Any]) -> LinkTable | None:
    """Describe the association table of a relation; None where its rows hold nothing but the two ends."""
    table = prop.secondary
    history = find_history(table) if isinstance(table, Table) else None
    if not isinstance(table, Table) or history is None:
        return None
    parent = tuple(_named(prop.parent, pairs) for pairs in prop.synchronize_pairs)
    target = tuple(_named(prop.mapper, pairs) for pairs in prop.secondary_synchronize_pairs or ())
    ends = {column for _, column in (*parent, *target)}
    # A key of the row's own is the database's to give.
    own = [table.c[name] for name in history.columns if table.c[name] is not table.autoincrement_column]
    others = tuple(column for column in own if column not in ends and column.computed is None)
    return LinkTable(history, parent, target, others) if others else None


def _named(mapper: Mapper[Any], pair: tuple[Any, Any]) -> tuple[str, Column[Any]]:
    return mapper.get_property_by_column(pair[0]).key, pair[1]


async def link_rows(session: AsyncSession, table: LinkTable, parents: Sequence[Any], moment: int) -> LinkRows:
    """Read what the links of these parents, versions, said at a moment, and which of them say something else now."""
    history, live = table.history, table.history.table
    versions = history.version_table
    rows = LinkRows(table)
    rows.then = await _read(session, table, versions, parents, [alive_in(history, versions, literal(moment))])
    for pair, now in (await _read(session, table, live, parents, [])).items():
        then = rows.then.get(pair, now)
        if not all(same_stored(now[each.key], then[each.key], each.type) for each in table.others):
            rows.changed.add(pair)
    return rows


async def _read(
    session: AsyncSession, table: LinkTable, source: FromClause, parents: Sequence[Any], conditions: Iterable[Any]
) -> dict[Pair, dict[str, Any]]:
    named = [source.c[column.key] for _, column in table.parent]
    keys = list(dict.fromkeys(tuple(getattr(parent, name) for name, _ in table.parent) for parent in parents))
    dialect = session.sync_session.get_bind(inspect(type(parents[0]))).dialect
    way = keys_for([column.type for column in named], keys, dialect)
    ends = [source.c[column.key] for _, column in (*table.parent, *table.target)]
    statement = select(*ends, *(source.c[each.key] for each in table.others)).where(
        way.among(named, "keys"), *conditions
    )
    found: dict[Pair, dict[str, Any]] = {}
    for batch in way.batches(keys):
        for row in await session.execute(statement, way.bind(batch, "keys")):
            others = row[len(ends) :]
            found[tuple(row[: len(ends)])] = {c.key: value for c, value in zip(table.others, others, strict=True)}
    return found


@asynccontextmanager
async def with_their_columns(session: AsyncSession, links: Iterable[LinkRows]) -> AsyncIterator[None]:
    """Let the flush in this block insert links with the values that they had, and set back those that have changed."""
    known = [each for each in links if each.then]
    if not known:
        yield
        return
    tables: dict[Any, LinkRows] = {each.table.history.table: each for each in known}
    connection = (await session.connection(bind_arguments={"clause": next(iter(tables))})).sync_connection

    def fill(_: Any, statement: Any, many: Any, one: Any, __: Any) -> tuple[Any, Any, Any]:
        rows = tables.get(statement.table) if isinstance(statement, Insert) else None
        if rows is not None:
            many, one = [_filled(rows, each) for each in many], _filled(rows, one)
        return statement, many, one

    assert connection is not None
    event.listen(connection, "before_execute", fill, retval=True)
    try:
        yield
    finally:
        event.remove(connection, "before_execute", fill)
    for rows in known:
        await _set_back(session, rows)


def _filled(rows: LinkRows, given: Mapping[str, Any]) -> dict[str, Any]:
    ends = [column.key for _, column in (*rows.table.parent, *rows.table.target)]
    if not all(name in given for name in ends):
        return dict(given)
    return {**rows.then.get(tuple(given[name] for name in ends), {}), **given}


async def _set_back(session: AsyncSession, rows: LinkRows) -> None:
    if not rows.changed:
        return
    table, ends = rows.table.history.table, [column for _, column in (*rows.table.parent, *rows.table.target)]
    same = [column == bindparam(f"end_{place}", type_=column.type) for place, column in enumerate(ends)]
    values = {each: bindparam(f"value_{place}", type_=each.type) for place, each in enumerate(rows.table.others)}
    given = [
        {f"end_{place}": value for place, value in enumerate(pair)}
        | {f"value_{place}": rows.then[pair][each.key] for place, each in enumerate(rows.table.others)}
        for pair in sorted(rows.changed, key=repr)
    ]
    await session.execute(update(table).where(*same).values(values), given)

"""Load the version that came before each of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, func, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from async_continuum.build import Blueprint, own_rows
from async_continuum.read.held import refreshing
from async_continuum.read.places import Place, identity, way_to


async def load_predecessors(session: AsyncSession, blueprint: Blueprint, places: Sequence[Place]) -> dict[Place, Any]:
    """Load the version before each of those at ``places``, all of one class."""
    version_class = topmost(blueprint).version_class
    if own_rows(version_class, blueprint):
        return await _load_from_its_table(session, blueprint, places)
    this, earlier = aliased(version_class), aliased(version_class)
    names = (*blueprint.key, blueprint.begins)
    way = way_to(session, blueprint, places)
    newest = (
        select(func.max(getattr(earlier, blueprint.begins)))
        .where(*(getattr(earlier, name) == getattr(this, name) for name in blueprint.key))
        .where(getattr(earlier, blueprint.begins) < getattr(this, blueprint.begins))
        .correlate(this)
        .scalar_subquery()
    )
    statement = (
        select(version_class, *(getattr(this, name) for name in names))
        .join_from(this, version_class, _same(version_class, this, blueprint))
        .where(
            getattr(version_class, blueprint.begins) == newest,
            way.among([getattr(this, name) for name in names], "places"),
        )
    )
    found: dict[Place, Any] = {}
    async with refreshing(session, blueprint) as options:
        for batch in way.batches(places):
            result = await session.execute(statement, way.bind(batch, "places"), execution_options=options)
            found |= {tuple(place): predecessor for predecessor, *place in result}
    return found


async def _load_from_its_table(
    session: AsyncSession, blueprint: Blueprint, places: Sequence[Place]
) -> dict[Place, Any]:
    """Find first what precedes, and load it then, for a class that is read from a union of tables.

    In one statement SQLAlchemy would take any other reference to the class's own table for one to the union.
    """
    history, version_class = blueprint.own, blueprint.version_class
    this, earlier = history.version_table.alias(), history.version_table.alias()
    place, before = ([*history.key_of(each), each.c[history.begins]] for each in (this, earlier))
    same = [a == b for a, b in zip(place[:-1], before[:-1], strict=True)]
    way = way_to(session, blueprint, places)
    preceding = (
        select(*place, func.max(before[-1]))
        .join_from(this, earlier, and_(*same, before[-1] < place[-1]))
        .where(way.among(place, "places"))
        .group_by(*place)
    )
    bind: dict[str, Any] = {"mapper": inspect(blueprint.model)}
    found: dict[Place, Place] = {}
    for batch in way.batches(places):
        for row in await session.execute(preceding, way.bind(batch, "places"), bind_arguments=bind):
            found[tuple(row[:-1])] = (*row[:-2], row[-1])
    wanted = list(dict.fromkeys(found.values()))
    way = way_to(session, blueprint, wanted)
    columns = [getattr(version_class, name) for name in (*blueprint.key, blueprint.begins)]
    statement = select(version_class).where(way.among(columns, "places"), *own_rows(version_class, blueprint))
    loaded: dict[Place, Any] = {}
    async with refreshing(session, blueprint) as options:
        for batch in way.batches(wanted):
            for version in await session.scalars(statement, way.bind(batch, "places"), execution_options=options):
                loaded[tuple(identity(version, blueprint))] = version
    return {each: loaded[preceded] for each, preceded in found.items()}


def topmost(blueprint: Blueprint) -> Blueprint:
    """Give the class whose versions, of any class below it, may precede one of this class."""
    above = blueprint.above
    while above is not None and not above.hidden and inspect(blueprint.version_class).polymorphic_on is not None:
        blueprint, above = above, above.above
    return blueprint


def _same(a: Any, b: Any, blueprint: Blueprint) -> Any:
    same = [getattr(a, name) == getattr(b, name) for name in blueprint.key]
    return same[0] if len(same) == 1 else same[0] & _all(same[1:])


def _all(clauses: list[Any]) -> Any:
    joined = clauses[0]
    for clause in clauses[1:]:
        joined = joined & clause
    return joined

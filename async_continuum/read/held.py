"""Give what a query loads the values that are stored, also in versions that its session holds already.

A flush may have closed one since. SQLAlchemy's ``populate_existing`` would reset each relation that the user has loaded
of them as well, and those that the query itself has just loaded of a version that another path of it comes by.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_dict, set_committed_value

from async_continuum.build import Blueprint, blueprint_of, find_blueprint
from async_continuum.read.places import identity, way_to

_FEW = 1_000
"""Up to so many versions are refreshed one by one: of more it would take longer than to load them."""
_MANY = 10_000
"""In a session with more objects none is looked at."""

POPULATE = {"populate_existing": True}


@asynccontextmanager
async def refreshing(
    session: AsyncSession, blueprint: Blueprint | None, key: tuple[Any, ...] | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Let the query in this block overwrite the columns of the versions that its session holds, and nothing else.

    Of those of one hierarchy, of one entity if its ``key`` is given, or, without a ``blueprint``, of all. Gives the
    execution options of the query. What the query does not load has the values that it had.
    """
    versions = _held(session, blueprint, key)
    if versions is None:
        yield POPULATE
        return
    if versions and session.autoflush:
        # Now, and not by the query: a flush may give a version that is held another transaction id.
        await session.flush()
    kept = [(version, _columns(version)) for version in versions]
    for version, values in kept:
        session.sync_session.expire(version, values)
    try:
        yield {}
    finally:
        for version, values in kept:
            unloaded = values.keys() - instance_dict(version).keys()
            for name in unloaded:
                set_committed_value(version, name, values[name])


async def refresh_held(
    session: AsyncSession, blueprint: Blueprint, key: tuple[Any, ...] | None = None, *, loads_relations: bool = False
) -> dict[str, Any]:
    """Refresh the versions that a session holds before a stream, in whose midst nothing can be put back.

    One query more, where there are relations that might be reset. Gives the execution options of the stream.
    """
    versions = _held(session, blueprint, key)
    if versions is None or (versions and not loads_relations and not any(map(_has_relations, versions))):
        return {} if loads_relations else POPULATE
    if versions:
        version_class = blueprint.version_class
        places = [tuple(identity(version, blueprint)) for version in versions]
        way = way_to(session, blueprint, places)
        columns = [getattr(version_class, name) for name in (*blueprint.key, blueprint.begins)]
        statement = select(version_class).where(way.among(columns, "places"))
        async with refreshing(session, blueprint, key) as options:
            for batch in way.batches(places):
                (await session.scalars(statement, way.bind(batch, "places"), execution_options=options)).all()
    return {}


def _held(session: AsyncSession, blueprint: Blueprint | None, key: tuple[Any, ...] | None) -> list[Any] | None:
    """List the versions that a session holds; None where they are too many."""
    held = session.identity_map
    if len(held) > _MANY:
        return None
    top: Mapper[Any] | None = None if blueprint is None else inspect(blueprint.version_class).base_mapper
    wanted: dict[type, bool] = {}
    found = []
    # A list, because an object may go while the keys are looked at, and its key with it.
    for place in list(held.keys()):
        cls = place[0]
        if cls not in wanted:
            wanted[cls] = _is_version(cls) if top is None else inspect(cls).base_mapper is top
        if wanted[cls]:
            version = held.get(place)
            if version is not None and (key is None or tuple(identity(version, blueprint_of(version))[:-1]) == key):
                found.append(version)
    return found if len(found) <= _FEW else None


def _is_version(cls: type) -> bool:
    blueprint = find_blueprint(cls)
    return blueprint is not None and blueprint.model is not cls


def _columns(version: Any) -> dict[str, Any]:
    loaded, mapper = instance_dict(version), inspect(type(version))
    return {name: loaded[name] for name in mapper.column_attrs.keys() if name in loaded}  # noqa: SIM118


def _has_relations(version: Any) -> bool:
    loaded, mapper = instance_dict(version), inspect(type(version))
    return any(name in loaded for name in mapper.relationships.keys())  # noqa: SIM118

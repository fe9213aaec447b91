"""Find what differs in that one is NULL and the other the null of JSON: both are None to Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, inspect, null, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper

from async_continuum.build import Blueprint, find_history
from async_continuum.dialects import keys_for
from async_continuum.revert.objects import settable
from async_continuum.revert.plan import Entity


async def unlike_nulls(
    session: AsyncSession, blueprint: Blueprint, stored: Mapping[Entity, Any], live: Mapping[Entity, Any]
) -> list[tuple[Entity, str]]:
    """List the attributes, None then and now, of which one is stored as NULL and the other is not.

    One statement for a column of JSON, and only where it is None in both.
    """
    mapper: Mapper[Any] = inspect(blueprint.model)
    found: list[tuple[Entity, str]] = []
    for name, type_ in settable(blueprint).items():
        if not type_.should_evaluate_none:
            continue
        versions = {
            entity: getattr(version, blueprint.begins)
            for entity, version in stored.items()
            if getattr(version, name) is None and getattr(live[entity], name) is None
        }
        if versions:
            by_key = {entity.key: entity for entity in versions}
            chosen = [(*entity.key, begins) for entity, begins in versions.items()]
            keys = await _unlike(session, mapper.columns[name], chosen)
            found += [(by_key[key], name) for key in keys]
    return found


async def _unlike(session: AsyncSession, column: Column[Any], chosen: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    table: Any = column.table
    history = find_history(table)
    assert history is not None
    versions, live = history.version_table, history.key_of(table)
    named = [*history.key_of(versions), versions.c[history.begins]]
    then = versions.c[column.key]
    same = [a == b for a, b in zip(history.key_of(versions), live, strict=True)]
    is_null_in_one = column.is_(null()) & then.is_not(null()) | column.is_not(null()) & then.is_(null())
    way = keys_for([each.type for each in named], chosen, session.sync_session.get_bind(clause=table).dialect)
    statement = select(*live).where(*same, is_null_in_one, way.among(named, "then"))
    keys: list[tuple[Any, ...]] = []
    for batch in way.batches(chosen):
        keys += [tuple(row) for row in await session.execute(statement, way.bind(batch, "then"))]
    return keys

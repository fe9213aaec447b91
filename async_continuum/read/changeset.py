"""Compare a version with the one before it, or with any other: what changed, from what, to what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import func, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstanceState, Mapper, aliased
from sqlalchemy.orm.base import PASSIVE_NO_INITIALIZE

from async_continuum.build import Blueprint, blueprint_of
from async_continuum.dialects import keys_for
from async_continuum.operation import Change, Operation
from async_continuum.read.neighbours import identity_in_order
from async_continuum.read.source import require_async, session_of

Changeset = dict[str, Change]

_EXACT = (bool, int, float, Decimal, dict, list, tuple)


def same_stored(a: Any, b: Any, type_: Any) -> bool:
    """Say whether two values are stored alike: 1.0 and 1.00 are equal to Python and not the same value."""
    if a is b:
        return True
    if a is None or b is None or type(a) is not type(b):
        return False
    if isinstance(a, _EXACT):
        return repr(a) == repr(b)
    return bool(type_.compare_values(a, b))


async def changesets(session: AsyncSession, versions: Iterable[Any]) -> dict[Any, Changeset]:
    """Give the changeset of each version, in a number of queries that depends on their classes alone."""
    source = require_async(session)
    by_class: dict[type, list[Any]] = {}
    found = list(versions)
    for version in found:
        blueprint_of(version)
        by_class.setdefault(type(version), []).append(version)
    before: dict[Any, Any] = {}
    for of_class in by_class.values():
        before |= await _predecessors(source, of_class)
    return {version: _changeset(before.get(version), version) for version in found}


async def changeset_of(version: Any) -> Changeset:
    """Give what this version changed. Raises `NoSession`."""
    session = session_of(version)
    return (await changesets(session, [version]))[version]


async def diff(version: Any, other: Any) -> Changeset:
    """Give what differs between two versions of one entity: old is ``version``'s value, new is ``other``'s.

    Raises `ValueError` for versions of two entities.
    """
    blueprint = blueprint_of(version)
    if blueprint_of(other) is not blueprint or _identity(version, blueprint)[:-1] != _identity(other, blueprint)[:-1]:
        raise ValueError(f"{version!r} and {other!r} are not versions of one entity")
    for each in (version, other):
        await _loaded(each, blueprint)
    old, new = _values(version, blueprint), _values(other, blueprint)
    return _differences(old, new, blueprint)


def pending_changeset(instance: Any) -> Changeset:
    """Give what has been set on a live object and not flushed yet; no IO.

    The old value of an attribute that was not loaded is unknown and given as None.
    """
    blueprint = blueprint_of(instance)
    state: InstanceState[Any] = inspect(instance)
    changes = {}
    for name in blueprint.attributes:
        history = state.get_history(name, PASSIVE_NO_INITIALIZE)
        if history.has_changes():
            old = history.deleted[0] if history.deleted else None
            new = history.added[0] if history.added else None
            changes[name] = Change(old, new)
    return changes


async def _predecessors(session: AsyncSession, versions: Sequence[Any]) -> dict[Any, Any]:
    blueprint = blueprint_of(versions[0])
    for version in versions:
        await _loaded(version, blueprint)
    by_place = {tuple(_identity(version, blueprint)): version for version in versions}
    by_end = {(*_identity(v, blueprint)[:-1], getattr(v, blueprint.ends)): v for v in versions}
    before, missing = {}, []
    for place, version in by_place.items():
        if getattr(version, blueprint.operation) is Operation.INSERT:
            continue
        if place in by_end:
            before[version] = by_end[place]
        else:
            missing.append(place)
    if missing:
        found = await _load_predecessors(session, blueprint, missing)
        before |= {by_place[place]: predecessor for place, predecessor in found.items()}
    return before


async def _load_predecessors(
    session: AsyncSession, blueprint: Blueprint, places: Sequence[tuple[Any, ...]]
) -> dict[tuple[Any, ...], Any]:
    version_class = blueprint.version_class
    this, earlier = aliased(version_class), aliased(version_class)
    names = (*blueprint.key, blueprint.begins)
    mapper: Mapper[Any] = inspect(version_class)
    types = [mapper.columns[name].type for name in names]
    dialect = session.sync_session.get_bind(mapper).dialect
    way = keys_for(types, places, dialect)
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
    found: dict[tuple[Any, ...], Any] = {}
    for batch in way.batches(places):
        result = await session.execute(
            statement, way.bind(batch, "places"), execution_options={"populate_existing": True}
        )
        found |= {tuple(place): predecessor for predecessor, *place in result}
    return found


def _same(a: Any, b: Any, blueprint: Blueprint) -> Any:
    same = [getattr(a, name) == getattr(b, name) for name in blueprint.key]
    return same[0] if len(same) == 1 else same[0] & _all(same[1:])


def _all(clauses: list[Any]) -> Any:
    joined = clauses[0]
    for clause in clauses[1:]:
        joined = joined & clause
    return joined


def _identity(version: Any, blueprint: Blueprint) -> list[Any]:
    return identity_in_order(inspect(version).identity, blueprint)


async def _loaded(version: Any, blueprint: Blueprint) -> None:
    wanted = {*blueprint.attributes, blueprint.ends, blueprint.operation}
    missing = wanted & set(inspect(version).unloaded)
    if missing:
        await session_of(version).refresh(version, attribute_names=sorted(missing))


def _values(version: Any, blueprint: Blueprint) -> dict[str, Any]:
    if getattr(version, blueprint.operation) is Operation.DELETE:
        return {}
    return {name: getattr(version, name) for name in blueprint.attributes}


def _changeset(before: Any | None, version: Any) -> Changeset:
    blueprint = blueprint_of(version)
    stored = {name: getattr(version, name) for name in blueprint.attributes}
    match getattr(version, blueprint.operation):
        case Operation.INSERT:
            return _differences({}, stored, blueprint)
        case Operation.DELETE:
            return _differences(stored, {}, blueprint)
    # An entity older than its history has no earlier state to compare with.
    return _differences(_values(before, blueprint) if before is not None else {}, stored, blueprint)


def _differences(old: dict[str, Any], new: dict[str, Any], blueprint: Blueprint) -> Changeset:
    columns = inspect(blueprint.version_class).columns
    return {
        name: Change(old.get(name), new.get(name))
        for name in blueprint.attributes
        if not same_stored(old.get(name), new.get(name), columns[name].type)
    }

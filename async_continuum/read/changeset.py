"""Compare a version with the one before it, or with any other: what changed, from what, to what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import inspect, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.base import PASSIVE_NO_INITIALIZE, instance_dict, instance_state
from sqlalchemy.orm.exc import ObjectDeletedError

from async_continuum.build import Blueprint, blueprint_of, blueprint_of_object, find_blueprint, own_rows
from async_continuum.operation import Change, Operation
from async_continuum.read.held import refreshing
from async_continuum.read.places import Place, identity, way_to
from async_continuum.read.predecessors import load_predecessors
from async_continuum.read.source import AnySession, require_async, session_of

Changeset = dict[str, Change]
# What Change(old, new) does, without a call of a Python function for each of many.
_change: Callable[[tuple[Any, Any]], Change] = partial(tuple.__new__, Change)

Values = tuple[Any, ...]
"""What a version holds, in the order of its blueprint's attributes; then where it ends, and its operation."""
_ENDS, _OPERATION = -2, -1

# Of these, what is equal is stored alike.
_PLAIN = frozenset({str, int, bool, bytes, datetime, date, UUID})
_EXACT = (bool, int, float, Decimal, dict, list, tuple)


def same_stored(a: Any, b: Any, type_: Any) -> bool:
    """Say whether two values are stored alike: 1.0 and 1.00 are equal to Python and not the same value."""
    if a is b:
        return True
    if a is None or b is None or type(a) is not type(b):
        return False
    if type(a) in _PLAIN:
        return bool(a == b)
    if isinstance(a, _EXACT):
        return repr(a) == repr(b)
    return bool(type_.compare_values(a, b))


async def changesets(session: AnySession, versions: Iterable[Any]) -> dict[Any, Changeset]:
    """Give the changeset of each version, in a number of queries that depends on their classes alone."""
    source = require_async(session)
    by_class: dict[type, list[Any]] = {}
    if not isinstance(versions, Iterable):
        raise TypeError(f"changesets() takes a list of versions, not {versions!r}")
    found = list(versions)
    for version in found:
        if type(version) not in by_class:
            blueprint = blueprint_of(version)
            if type(version) is not blueprint.version_class:
                raise TypeError(f"changesets() takes versions of {blueprint.model.__name__}, not {version!r}")
            by_class[type(version)] = []
        by_class[type(version)].append(version)
    made: dict[Any, Changeset] = {}
    for of_class in by_class.values():
        made.update(zip(of_class, await _changesets_of(source, of_class), strict=True))
    return {version: made[version] for version in found}


async def changeset_of(version: Any) -> Changeset:
    """Give what this version changed. Raises `NoSession`."""
    session = session_of(version)
    return (await changesets(session, [version]))[version]


async def diff(version: Any, other: Any) -> Changeset:
    """Give what differs between two versions of one entity: old is ``version``'s value, new is ``other``'s.

    Raises `ValueError` for versions of two entities.
    """
    blueprint, another = blueprint_of(version), find_blueprint(other)
    # Under one key may have lived an object of another class of the hierarchy.
    one_table = (
        another is not None and another.history is blueprint.history and isinstance(other, another.version_class)
    )
    if not one_table or another is None or identity(version, blueprint)[:-1] != identity(other, another)[:-1]:
        raise ValueError(f"{version!r} and {other!r} are not versions of one entity")
    old, new = [(await _stored(None, [each]))[0] for each in (version, other)]
    types = dict([*_types(blueprint), *_types(another)])
    return _differences_by_name(_values(old, blueprint), _values(new, another), types)


def difference(before: Any | None, after: Any | None) -> Changeset:
    """Give what differs between two loaded versions of one entity, or between one and nothing; no IO."""
    values = [{} if version is None else instance_dict(version) for version in (before, after)]
    # Under one key may have lived an object of another class of the hierarchy.
    types = {name: type_ for each in (before, after) if each is not None for name, type_ in _types(blueprint_of(each))}
    return _differences_by_name(values[0], values[1], types)


def pending_changeset(instance: Any) -> Changeset:
    """Give what has been set on a live object and not flushed yet; no IO.

    The old value of an attribute that was not loaded is unknown and given as None.
    """
    blueprint = blueprint_of_object(instance)
    state: InstanceState[Any] = inspect(instance)
    changes = {}
    for name in blueprint.attributes:
        history = state.get_history(name, PASSIVE_NO_INITIALIZE)
        if history.has_changes():
            old = history.deleted[0] if history.deleted else None
            new = history.added[0] if history.added else None
            # What is None before it is stored is no change; in a stored row it may end a value that is not loaded.
            if new is not None or state.key is not None:
                changes[name] = Change(old, new)
    return changes


async def _changesets_of(session: AsyncSession, versions: Sequence[Any]) -> list[Changeset]:
    """Compare versions of one class with those before them.

    There may be thousands, so that what each costs are a few look-ups, and comparisons without a call.
    """
    blueprint = blueprint_of(versions[0])
    types = _types(blueprint)
    nothing: Values = (None,) * len(types)
    places, values = await _stored_values(session, versions)
    earlier = await _earlier(session, blueprint, places, values)
    changes = []
    for place, now in zip(places, values, strict=True):
        match now[_OPERATION]:
            case Operation.UPDATE:
                # An entity older than its history has no earlier state to compare with.
                changes.append(_differences(earlier.get(place, nothing), now, types))
            case Operation.INSERT:
                changes.append(_differences(nothing, now, types))
            case Operation.DELETE:
                changes.append(_differences(now, nothing, types))
    return changes


async def _earlier(
    session: AsyncSession, blueprint: Blueprint, places: Sequence[Place], values: Sequence[Values]
) -> dict[Place, Values]:
    """Give what the entity was before each version that is an UPDATE: by that version's place."""
    nothing: Values = (None,) * len(blueprint.attributes)
    found = {
        (*place[:-1], held[_ENDS]): nothing if held[_OPERATION] is Operation.DELETE else held
        for place, held in zip(places, values, strict=True)
    }
    update = Operation.UPDATE
    changed = [place for place, held in zip(places, values, strict=True) if held[_OPERATION] is update]
    missing = list(dict.fromkeys(place for place in changed if place not in found))
    if missing:
        for place, version in (await load_predecessors(session, blueprint, missing)).items():
            # It may be of another class of the hierarchy, which has other attributes.
            found[place] = tuple(map(_values(version, blueprint).get, blueprint.attributes))
    return found


def _places(versions: Sequence[Any], blueprint: Blueprint) -> list[Place]:
    """Read the key and transaction id of each version, in the model's order."""
    mapper: Mapper[Any] = inspect(blueprint.version_class)
    names = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    order = [names.index(name) for name in (*blueprint.key, blueprint.begins)]
    identities: list[Place] = [state.key[1] for state in map(instance_state, versions)]  # type: ignore[index]
    return identities if order == list(range(len(order))) else list(map(itemgetter(*order), identities))


async def _stored_values(session: AsyncSession, versions: Sequence[Any]) -> tuple[list[Place], list[Values]]:
    blueprint = blueprint_of(versions[0])
    read: Callable[[Any], Values] = itemgetter(*blueprint.attributes, blueprint.ends, blueprint.operation)
    try:
        values = list(map(read, map(instance_dict, versions)))
    except KeyError:
        values = [read(instance_dict(version)) for version in await _stored(session, versions)]
    return _places(versions, blueprint), values


async def _stored(session: AsyncSession | None, versions: Sequence[Any]) -> list[Any]:
    # What is expired is loaded at once for all, in the session given; versions of another session are left alone.
    blueprint = blueprint_of(versions[0])
    wanted = {*blueprint.attributes, blueprint.ends, blueprint.operation}
    unloaded = [version for version in versions if not instance_dict(version).keys() >= wanted]
    if not unloaded:
        return list(versions)
    places = dict(zip(unloaded, _places(unloaded, blueprint), strict=True))
    source = session_of(versions[0]) if session is None else session
    version_class = blueprint.version_class
    columns = [getattr(version_class, name) for name in (*blueprint.key, blueprint.begins)]
    way = way_to(source, blueprint, list(places.values()))
    statement = select(version_class).where(way.among(columns, "places"), *own_rows(version_class, blueprint))
    rows: dict[Place, Any] = {}
    async with refreshing(source, blueprint) as options:
        for batch in way.batches(list(places.values())):
            result = await source.scalars(statement, way.bind(batch, "places"), execution_options=options)
            rows |= {tuple(identity(row, blueprint)): row for row in result}
    for version, place in places.items():
        if place not in rows:
            raise ObjectDeletedError(inspect(version))
    return [rows[places[version]] if version in places else version for version in versions]


def _values(version: Any, blueprint: Blueprint) -> dict[str, Any]:
    values: dict[str, Any] = instance_dict(version)
    return {} if values[blueprint.operation] is Operation.DELETE else values


def _types(blueprint: Blueprint) -> list[tuple[str, Any]]:
    columns = inspect(blueprint.version_class).columns
    return [(name, columns[name].type) for name in blueprint.attributes]


def _differences_by_name(old: dict[str, Any], new: dict[str, Any], types: dict[str, Any]) -> Changeset:
    return _differences([old.get(name) for name in types], [new.get(name) for name in types], list(types.items()))


def _differences(old: Sequence[Any], new: Sequence[Any], types: Sequence[tuple[str, Any]]) -> Changeset:
    changes = {}
    for (name, type_), before, after in zip(types, old, new):  # noqa: B905 - what is beyond the types is not compared
        if before is after:
            continue
        kind = type(before)
        # What most values are is compared here: a call for each would take longer than the comparison.
        if kind is type(after) and (before == after if kind in _PLAIN else same_stored(before, after, type_)):
            continue
        changes[name] = _change((before, after))
    return changes

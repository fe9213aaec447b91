"""Name an object of any class by its class and key, and find many of them again, live or as they were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, func, inspect, or_, select
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstanceState, Mapper, registry
from sqlalchemy.types import TypeEngine

from async_continuum.build import Blueprint, find_blueprint, key_after_flush, mappers_of
from async_continuum.dialects import keys_for
from async_continuum.plugins.keys import from_json, to_json

Place = tuple[str, tuple[Any, ...]]
"""The name of a class and a key."""

# Terms in one WHERE clause: SQLite takes an expression of a thousand levels.
_AT_ONCE = 200


class Related(NamedTuple):
    """What an activity is about, now and then."""

    activity: Any
    object: Any
    object_version: Any
    target: Any
    target_version: Any


@dataclass(frozen=True, slots=True)
class Reference:
    """An entity, as an activity names it. Lives for one flush."""

    type: str
    values: tuple[Any, ...]
    key: list[Any]
    blueprint: Blueprint | None

    @property
    def place(self) -> Place:
        return self.type, self.values

    @property
    def number(self) -> int | None:
        """The key where it is one integer, which is all that Continuum stores of it."""
        alone = self.values[0] if len(self.values) == 1 else None
        return alone if isinstance(alone, int) and not isinstance(alone, bool) else None

    def columns(self, role: str, newest: int | None) -> dict[str, Any]:
        """Give what is stored of it; ``newest`` is the transaction of its newest version."""
        parts = {"type": self.type, "id": self.number, "key": self.key, "tx_id": newest}
        return {f"{role}_{name}": value for name, value in parts.items()}


def to_reference(state: InstanceState[Any], known: registry, dialect: Dialect | None = None) -> Reference:
    """Name an entity by its object, also in the flush that stores, moves or deletes it.

    Raises `ValueError` for one that was never stored.
    """
    mapper: Mapper[Any] = state.mapper
    names = tuple(mapper.get_property_by_column(column).key for column in mapper.primary_key)
    if state.key is None and any(state.dict.get(name) is None for name in names):
        raise ValueError(f"{state.obj()!r} was never stored, so no activity can name it: add it to the session as well")
    values = key_after_flush(state, names)
    key = to_json(values, _types(mapper), dialect or DefaultDialect(), model=mapper.class_)
    return Reference(_name(mapper, known), values, key, find_blueprint(mapper.class_))


def newest_ids(connection: Connection, references: Iterable[Reference]) -> dict[Place, int]:
    """Find the transactions of the newest versions of entities, with one statement for each class."""
    by_type: dict[str, list[Reference]] = {}
    for reference in references:
        if reference.blueprint is not None:
            by_type.setdefault(reference.type, []).append(reference)
    newest: dict[Place, int] = {}
    for name, same in by_type.items():
        assert same[0].blueprint is not None
        history = same[0].blueprint.history
        keys = list(dict.fromkeys(reference.values for reference in same))
        way = keys_for(history.key_types, keys, connection.dialect)
        columns = history.key_of(history.version_table)
        begins = history.version_table.c[history.begins]
        statement = select(*columns, func.max(begins)).where(way.among(columns, "keys")).group_by(*columns)
        for batch in way.batches(keys):
            for *key, transaction_id in connection.execute(statement, way.bind(batch, "keys")):
                newest[name, tuple(key)] = transaction_id
    return newest


async def related(session: AsyncSession, activities: Sequence[Any], *, live: bool | None = None) -> list[Related]:
    """Find what activities are about: the live objects, the versions of that time, or (None) both."""
    if not activities:
        return []
    stored = await _stored(session, activities)
    mapper: Mapper[Any] = inspect(type(activities[0]))
    classes = {_name(each, mapper.registry): each for each in mappers_of(mapper.registry)}
    dialect = session.sync_session.get_bind(mapper).dialect
    wanted: dict[str, dict[tuple[Any, ...], set[int]]] = {}
    places: dict[tuple[int, str], tuple[Place, int]] = {}
    for number, row in enumerate(stored):
        for role in ("object", "target"):
            name, key = getattr(row, f"{role}_type"), getattr(row, f"{role}_key")
            if name is not None and key is None and getattr(row, f"{role}_id") is not None:
                # Written by SQLAlchemy-Continuum, which stores integers only.
                key = [getattr(row, f"{role}_id")]
            if name in classes and key is not None:
                place = name, from_json(key, _types(classes[name]), dialect)
                places[number, role] = place, row.transaction_id
                wanted.setdefault(name, {}).setdefault(place[1], set()).add(row.transaction_id)
    now: dict[Any, Any] = {}
    then: dict[Any, Any] = {}
    for name, keys in wanted.items():
        if live is not False:
            found = await _live(session, classes[name], list(keys))
            now |= {(name, key): instance for key, instance in found.items()}
        blueprint = find_blueprint(classes[name].class_)
        if live is not True and blueprint is not None and blueprint.version_class is not None:
            pairs = [(key, moment) for key, moments in keys.items() for moment in moments]
            past = await _past(session, blueprint, pairs)
            then |= {((name, key), moment): version for (key, moment), version in past.items()}
    result = []
    for number, activity in enumerate(activities):
        of_object, of_target = places.get((number, "object")), places.get((number, "target"))
        objects = (now.get(of_object and of_object[0]), then.get(of_object))
        result.append(Related(activity, *objects, now.get(of_target and of_target[0]), then.get(of_target)))
    return result


async def _stored(session: AsyncSession, activities: Sequence[Any]) -> list[Any]:
    # What is expired is loaded at once for all, rather than one by one.
    columns = inspect(type(activities[0])).columns.keys()
    expired = {inspect(each).identity for each in activities if not inspect(each).dict.keys() >= set(columns)}
    if not expired:
        return list(activities)
    cls: Any = type(activities[0])
    ids = [identity[0] for identity in expired if identity is not None]
    found = await session.scalars(select(cls).where(cls.id.in_(ids)), execution_options={"populate_existing": True})
    loaded = {inspect(each).identity: each for each in found}
    return [loaded.get(inspect(each).identity, each) for each in activities]


async def _live(
    session: AsyncSession, mapper: Mapper[Any], keys: Sequence[tuple[Any, ...]]
) -> dict[tuple[Any, ...], Any]:
    way = keys_for(_types(mapper), keys, session.sync_session.get_bind(mapper).dialect)
    statement = select(mapper.class_).where(way.among(mapper.primary_key, "keys"))
    found: dict[tuple[Any, ...], Any] = {}
    for batch in way.batches(keys):
        for instance in await session.scalars(statement, way.bind(batch, "keys")):
            found[tuple(inspect(instance).identity)] = instance
    return found


async def _past(
    session: AsyncSession, blueprint: Blueprint, pairs: Sequence[tuple[tuple[Any, ...], int]]
) -> dict[tuple[tuple[Any, ...], int], Any]:
    """Find the version of each entity that its transaction left, or found: also one that says it is gone."""
    version: Any = blueprint.version_class
    columns = [getattr(version, name) for name in blueprint.key]
    begins, ends = getattr(version, blueprint.begins), getattr(version, blueprint.ends)
    found: dict[tuple[tuple[Any, ...], int], Any] = {}
    for start in range(0, len(pairs), _AT_ONCE):
        part = pairs[start : start + _AT_ONCE]
        held = (
            and_(*(c == v for c, v in zip(columns, key, strict=True)), begins <= at, or_(ends.is_(None), ends > at))
            for key, at in part
        )
        by_key: dict[tuple[Any, ...], list[Any]] = {}
        for each in await session.scalars(select(version).where(or_(*held))):
            by_key.setdefault(tuple(getattr(each, name) for name in blueprint.key), []).append(each)
        for key, at in part:
            mine = [each for each in by_key.get(key, ()) if getattr(each, blueprint.begins) <= at]
            if mine:
                found[key, at] = max(mine, key=lambda each: getattr(each, blueprint.begins))
    return found


def _types(mapper: Mapper[Any]) -> list[TypeEngine[Any]]:
    return [column.type for column in mapper.primary_key]


def _name(mapper: Mapper[Any], known: registry) -> str:
    """Name a class as SQLAlchemy-Continuum does, or by its module too where that would mean several."""
    cls = mapper.class_
    alike = [each for each in mappers_of(known) if each.class_.__name__ == cls.__name__]
    return cls.__name__ if len(alike) <= 1 else f"{cls.__module__}.{cls.__qualname__}"

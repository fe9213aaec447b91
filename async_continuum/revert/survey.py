"""Find what was and what is, level by level: a constant number of statements for each relation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import Column, Select, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper, RelationshipProperty, aliased, subqueryload, undefer
from sqlalchemy.orm.attributes import instance_state, set_committed_value
from sqlalchemy.sql import visitors

from async_continuum.build import Blueprint, blueprint_of, find_blueprint, past_targets
from async_continuum.dialects import keys_for
from async_continuum.revert.links import LinkRows, LinkTable, link_rows, link_table
from async_continuum.revert.objects import differences, settable
from async_continuum.revert.paths import Paths, owners_of
from async_continuum.revert.plan import Entity, Findings, Key, Link, Present, Relation
from async_continuum.revert.unlike import unlike_nulls

HELD = ("dynamic", "write_only")


class Survey:
    """The versions and the live objects of one revert, by entity. Lives until it is applied."""

    def __init__(self, session: AsyncSession, moment: int) -> None:
        self.session = session
        self.moment = moment
        self.found = Findings()
        self.stored: dict[Entity, Any] = {}
        self.live: dict[Entity, Any] = {}
        self.paths: dict[Entity, str] = {}
        """By which of the paths that are followed an entity of the past is reached first; not the one they start at."""
        self.links: list[LinkRows] = []
        self.differing: dict[Entity, list[str]] = {}
        """What a live object is to be given of its version."""

    def values_then(self, entity: Entity) -> dict[str, Any]:
        """Give what a live object holds once it has the values of its version."""
        then = {name: getattr(self.stored[entity], name) for name in self.differing[entity]}
        return {**instance_state(self.live[entity]).dict, **then}

    async def visit(self, versions: Sequence[Any], blueprint: Blueprint, tree: Paths, path: str = "") -> None:
        """Find the live objects of these versions, then follow their relations."""
        key = key_reader(blueprint)
        # Of the class that a version is of, which may be below the one that a relation leads to.
        stored = {Entity(blueprint_of(version).model, key(version)): version for version in versions}
        for model in dict.fromkeys(entity.model for entity in stored):
            of_model = {entity: version for entity, version in stored.items() if entity.model is model}
            await self._find_live(of_model, blueprint_of(model))
        if path:
            self.paths = {**dict.fromkeys(stored, path), **self.paths}
        for name, deeper in tree.items():
            for owner in owners_of(blueprint, name):
                parents = {entity: each for entity, each in stored.items() if issubclass(entity.model, owner.model)}
                if parents:
                    await self._follow(parents, owner, name, deeper, f"{path}.{name}" if path else name)

    async def _follow(
        self, parents: Mapping[Entity, Any], blueprint: Blueprint, name: str, deeper: Paths, path: str
    ) -> None:
        prop: RelationshipProperty[Any] = inspect(blueprint.model).relationships[name]
        target = blueprint_of(prop.mapper.class_)
        then = await self._then(list(parents), blueprint, target, name)
        now = await self._now(list(parents), blueprint, target, prop)
        for parent in parents:
            was, orphans = tuple(then.get(parent.key, ())), prop.cascade.delete_orphan
            self.found.relations.append(Relation(parent, name, was, now.get(parent, ()), orphans))
        reached = {entity: version for each in then.values() for entity, version in each.items()}
        table = link_table(prop)
        if table is not None:
            await self._compare_links(table, parents, name, reached)
        await self.visit(list(reached.values()), target, deeper, path)

    async def _compare_links(
        self, table: LinkTable, parents: Mapping[Entity, Any], name: str, targets: Mapping[Entity, Any]
    ) -> None:
        rows = await link_rows(self.session, table, list(parents.values()), self.moment)
        self.links.append(rows)
        self.found.relinked += [
            Link(relation.parent, name, target)
            for relation in self.found.relations
            if relation.name == name and relation.parent in parents
            for target in relation.then
            if table.pair(parents[relation.parent], targets[target]) in rows.changed
        ]

    async def _find_live(self, stored: dict[Entity, Any], blueprint: Blueprint) -> None:
        new = {entity: version for entity, version in stored.items() if entity not in self.stored}
        self.stored |= new
        names = [getattr(blueprint.model, name) for name in blueprint.key]
        types = settable(blueprint)
        unloaded = [entity for entity in new if not self._is_loaded(entity, types)]
        # A column that is deferred is compared as well, whatever its raiseload says to others.
        attributes: Any = inspect(blueprint.model).attrs
        undeferred = [undefer(getattr(blueprint.model, name)) for name in types if attributes[name].deferred]
        statement: Select[Any] = select(blueprint.model).options(*undeferred)
        for result in await self._among(statement, names, blueprint, [entity.key for entity in unloaded]):
            self.live[Entity(type(result[0]), _identity(result[0]))] = result[0]
        for entity, version in new.items():
            live = self.live.get(entity)
            self.differing[entity] = [] if live is None else differences(live, version, types)
        living = {entity: version for entity, version in new.items() if entity in self.live}
        for entity, name in await unlike_nulls(self.session, blueprint, living, self.live):
            self.differing[entity].append(name)
        for entity in new:
            self.found.entities[entity] = Present(live=entity in self.live, differs=bool(self.differing[entity]))

    def _is_loaded(self, entity: Entity, names: Iterable[str]) -> bool:
        if entity not in self.live:
            return False
        loaded = instance_state(self.live[entity]).dict
        return all(name in loaded for name in names)

    async def _then(
        self, parents: Sequence[Entity], blueprint: Blueprint, target: Blueprint, name: str
    ) -> dict[Key, dict[Entity, Any]]:
        built = blueprint.history.statements
        place = ("then", blueprint.model, name)
        if place not in built:
            above = blueprint.history.version_table.alias("ac_parent")
            built[place] = past_targets(blueprint, name, above), blueprint.history.key_of(above)
        statement, columns = built[place]
        keys, moment = [parent.key for parent in parents], {"moment": self.moment}
        key_of = key_reader(target)
        then: dict[Key, dict[Entity, Any]] = {}
        for *key, version in await self._among(statement, columns, blueprint, keys, moment):
            then.setdefault(tuple(key), {})[Entity(blueprint_of(version).model, key_of(version))] = version
        return then

    async def _now(
        self, parents: Sequence[Entity], blueprint: Blueprint, target: Blueprint, prop: RelationshipProperty[Any]
    ) -> dict[Entity, tuple[Entity, ...]]:
        living = {parent: self.live[parent] for parent in parents if parent in self.live}
        if prop.lazy not in HELD and _is_ordered_by_links(prop):
            await self._load(living, blueprint, prop)
        unloaded = {p: o for p, o in living.items() if prop.lazy in HELD or prop.key not in inspect(o).dict}
        built = blueprint.history.statements
        place = ("now", blueprint.model, prop.key)
        if place not in built:
            built[place] = _present_targets(blueprint, target, prop)
        statement, columns = built[place]
        loaded: dict[Entity, list[Any]] = {parent: [] for parent in unloaded}
        by_key = {parent.key: parent for parent in unloaded}
        for *key, found in await self._among(statement, columns, blueprint, [parent.key for parent in unloaded]):
            loaded[by_key[tuple(key)]].append(found)
        now = {}
        for parent, instance in living.items():
            if parent in loaded and prop.lazy not in HELD:
                self._hand_over(instance, prop, loaded[parent])
            targets = loaded[parent] if parent in loaded else _held(instance, prop)
            members = {Entity(type(each), _identity(each)): each for each in targets}
            now[parent] = tuple(members)
            self.live |= members
        return now

    async def _load(self, living: Mapping[Entity, Any], blueprint: Blueprint, prop: RelationshipProperty[Any]) -> None:
        # By SQLAlchemy's own loader: a join of ours would not know under which name it puts the association table.
        model: Any = blueprint.model
        keys = [entity.key for entity, instance in living.items() if prop.key in inspect(instance).unloaded]
        statement = select(model).options(subqueryload(getattr(model, prop.key)))
        await self._among(statement, [getattr(model, name) for name in blueprint.key], blueprint, keys)

    async def swept_away(self, deleted: Sequence[Entity]) -> list[Entity]:
        """List what the ORM deletes with that which is deleted, by its cascades."""
        level, met = {entity: self.live[entity] for entity in deleted}, set(deleted)
        while level:
            reached: dict[Entity, Any] = {}
            for model in dict.fromkeys(entity.model for entity in level):
                reached |= await self._cascades(model, {e: live for e, live in level.items() if e.model is model})
            level = {entity: live for entity, live in reached.items() if entity not in met}
            met |= level.keys()
        states = [instance_state(self.live[entity]) for entity in deleted]
        found = await self.session.run_sync(
            lambda _: [each[0] for state in states for each in state.mapper.cascade_iterator("delete", state)]
        )
        swept = dict.fromkeys(Entity(type(each), _identity(each)) for each in found)
        return [entity for entity in swept if entity not in {*deleted} and entity not in self.stored]

    async def _cascades(self, model: type, living: Mapping[Entity, Any]) -> dict[Entity, Any]:
        """Load, for all at once, what a cascade would load for each; give what it leads to."""
        blueprint = find_blueprint(model)
        mapper: Mapper[Any] = inspect(model)
        reached: dict[Entity, Any] = {}
        for prop in mapper.relationships:
            if not prop.cascade.delete or prop.passive_deletes or prop.viewonly or prop.lazy in HELD:
                continue
            if blueprint is not None:
                await self._load(living, blueprint, prop)
            there = (_held(live, prop) for live in living.values() if prop.key in inspect(live).dict)
            reached |= {Entity(type(each), _identity(each)): each for some in there for each in some}
        return reached

    @staticmethod
    def _hand_over(instance: Any, prop: RelationshipProperty[Any], targets: list[Any]) -> None:
        # As a loader does: the relation counts as loaded, and nothing as changed.
        value: Any = targets if prop.uselist else (targets[0] if targets else None)
        set_committed_value(instance, prop.key, value)

    async def _among(
        self,
        statement: Select[Any],
        columns: Sequence[Any],
        blueprint: Blueprint,
        keys: Sequence[Key],
        parameters: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        if not keys:
            return []
        mapper: Mapper[Any] = inspect(blueprint.model)
        dialect = self.session.sync_session.get_bind(mapper).dialect
        way = keys_for(blueprint.history.key_types, keys, dialect)
        rows: list[Any] = []
        for batch in way.batches(keys):
            given = {**(parameters or {}), **way.bind(batch, "keys")}
            result = await self.session.execute(statement.where(way.among(columns, "keys")), given)
            rows += result.unique().all()
        return rows


def key_reader(blueprint: Blueprint) -> Callable[[Any], Key]:
    """Give what reads the key of an entity from one of its versions."""
    read = attrgetter(*blueprint.key)
    return read if len(blueprint.key) > 1 else lambda version: (read(version),)


def _identity(instance: Any) -> Key:
    state = instance_state(instance)
    if state.identity is not None:
        return tuple(state.identity)
    return tuple(state.dict.get(state.mapper.get_property_by_column(c).key) for c in state.mapper.primary_key)


def _present_targets(
    blueprint: Blueprint, target: Blueprint, prop: RelationshipProperty[Any]
) -> tuple[Select[Any], list[Any]]:
    above: Any = aliased(blueprint.model, name="ac_parent")
    columns = [getattr(above, name) for name in blueprint.key]
    statement: Select[Any] = select(*columns, target.model).select_from(above).join(getattr(above, prop.key))
    if prop.order_by and not _is_ordered_by_links(prop):
        statement = statement.order_by(*prop.order_by)
    return statement, columns


def _is_ordered_by_links(prop: RelationshipProperty[Any]) -> bool:
    elements = (element for clause in prop.order_by or () for element in visitors.iterate(clause))
    return any(isinstance(element, Column) and element.table is prop.secondary for element in elements)


def _held(instance: Any, prop: RelationshipProperty[Any]) -> Iterable[Any]:
    value = inspect(instance).dict[prop.key]
    if not prop.uselist:
        return [] if value is None else [value]
    return list(value.values()) if isinstance(value, dict) else list(value)

"""Take a version back: make the live objects what they were then, changed but not committed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from sqlalchemy import UniqueConstraint, inspect
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper, RelationshipDirection, RelationshipProperty
from sqlalchemy.orm.attributes import set_attribute
from sqlalchemy.orm.exc import FlushError

from async_continuum.build import Blueprint, blueprint_of
from async_continuum.dialects import begin_now
from async_continuum.errors import RevertError
from async_continuum.operation import Operation
from async_continuum.read import AnySession, require_async
from async_continuum.revert.called import another_class
from async_continuum.revert.circles import arrange_births
from async_continuum.revert.identity import has_generated_always, overriding_identity
from async_continuum.revert.kept import Kept
from async_continuum.revert.links import with_their_columns
from async_continuum.revert.nulls import store_nulls
from async_continuum.revert.objects import born_again, reconstruct, set_back, settable
from async_continuum.revert.obstacles import Obstacle, obstacles, put_off, told
from async_continuum.revert.paths import read_paths
from async_continuum.revert.plan import Entity, Relation, RevertPlan, make_plan
from async_continuum.revert.relink import let_go, relink
from async_continuum.revert.survey import Survey, key_reader
from async_continuum.revert.turns import hand_on, take_turns
from async_continuum.revert.uniform import make_uniform
from async_continuum.revert.values import copied, missing_column


async def revert(version: Any, session: AnySession, relations: Sequence[str] = ()) -> Any | None:
    """Make the entity of ``version``, and its relations, what they were then; give the live object, or None.

    Raises `RevertError`, and then nothing is changed: what the session was asked for before, it has flushed.
    """
    taken_back: list[Any] = []
    try:
        return await _revert(version, session, relations, taken_back)
    except RevertError:
        for live in taken_back:
            await session.delete(live)
        raise


async def _revert(version: Any, session: AnySession, relations: Sequence[str], taken_back: list[Any]) -> Any | None:
    survey, plan, root = await _prepare(version, session, relations, taken_back)
    if not plan:
        return survey.live.get(root)
    connection = await survey.session.connection(bind_arguments={"mapper": inspect(root.model)})
    await connection.run_sync(begin_now)
    kept = Kept(survey.session)
    try:
        async with survey.session.begin_nested():
            async with with_their_columns(survey.session, survey.links):
                await _apply(survey, plan)
                await survey.session.flush()
            await store_nulls(survey, plan)
            late = await put_off(survey, plan)
            if late:
                raise _refusal("the database would refuse it at the commit.", version, survey, late)
    except BaseException as error:
        kept.give_back()
        # An AssertionError is the ORM's word for a key that an unlinking would set to NULL.
        if isinstance(error, (IntegrityError, FlushError, AssertionError)):
            says = f"the database refuses it: {str(getattr(error, 'orig', None) or error).rstrip('.')}."
            raise _refusal(says, version, survey, await obstacles(survey, plan)) from error
        raise
    return None if survey.found.deleted else survey.live[root]


def _refusal(says: str, version: Any, survey: Survey, found: Sequence[Obstacle]) -> RevertError:
    path = next((survey.paths[each.entity] for each in found if each.entity in survey.paths), None)
    return RevertError(f"{says} {told(found)}" if found else says, version=version, path=path)


async def plan_revert(version: Any, session: AnySession, relations: Sequence[str] = ()) -> RevertPlan:
    """Say what `revert` would do, and touch nothing. Raises `RevertError` where it would, before anything is sent."""
    survey, plan, _ = await _prepare(version, session, relations, None)
    return replace(plan, deleted=(*plan.deleted, *await survey.swept_away(plan.deleted)))


# With a list, it prepares to apply: the list is given the objects that were to be deleted, and now are not.
async def _prepare(
    version: Any, session: AnySession, relations: Sequence[str], taken_back: list[Any] | None
) -> tuple[Survey, RevertPlan, Entity]:
    source = require_async(session)
    blueprint = blueprint_of(version)
    tree = read_paths(version, blueprint, relations)
    stored = await _stored(version, blueprint, source)
    survey = Survey(source, getattr(stored, blueprint.begins))
    root = Entity(blueprint.model, key_reader(blueprint)(stored))
    model: Any = blueprint.model
    live = await source.get(model, root.key)
    if getattr(stored, blueprint.operation) is Operation.DELETE:
        if live is not None:
            survey.live[root] = live
            survey.found.deleted.append(root)
        return survey, make_plan(survey.found), root
    if taken_back is not None and live in source.deleted:
        # Not flushed yet: adding it takes the deletion back, and with it those of what it leads to.
        deleted = list(source.deleted)
        source.add(live)
        taken_back += [each for each in deleted if each not in source.deleted]
    if taken_back is not None or source.autoflush:
        # Now, because what the database changes of itself meanwhile is part of the present that is surveyed.
        await source.flush()
        live = None if live is not None and live not in source else live
    if live is not None:
        survey.live[root] = live
    if live is not None:
        unloaded = inspect(live).unloaded.intersection(settable(blueprint))
        if unloaded:
            await source.refresh(live, attribute_names=sorted(unloaded))
    await survey.visit([stored], blueprint, tree)
    plan = make_plan(survey.found)
    for entity in survey.found.entities:
        _require_own_key(version, entity, survey)
    for entity in {entity.model: entity for entity in plan.inserted}.values():
        _require_complete(version, entity)
    return survey, plan, root


async def _stored(version: Any, blueprint: Blueprint, source: AsyncSession) -> Any:
    # A version that is detached or lives in another session is left alone; what is not loaded is read in ours.
    state = inspect(version)
    if state.identity is None:
        raise RevertError("it was made by hand, and is no version that history holds.", version=version)
    if not {*blueprint.attributes, blueprint.operation, blueprint.begins} & set(state.unloaded):
        return version
    found = await source.get(blueprint.version_class, state.identity, populate_existing=True)
    if found is None:
        raise RevertError("its row is not stored any more.", version=version)
    return found


def _require_complete(version: Any, entity: Entity) -> None:
    missing = missing_column(blueprint_of(entity.model))
    if missing is not None:
        column: Any = inspect(entity.model).columns[missing]
        raise RevertError(
            f"{entity} is gone, and its column {column.name!r} is excluded from history but must not be NULL: "
            "there is no value to bring back.",
            version=version,
            path=missing,
        )


def _require_own_key(version: Any, entity: Entity, survey: Survey) -> None:
    """Refuse what another class of the hierarchy lives in the place of, as far as the session knows.

    The ORM would only warn. Of what the session has not loaded the database says it.
    """
    mapper: Mapper[Any] = inspect(entity.model)
    session = survey.session.sync_session
    there = session.identity_map.get(mapper.identity_key_from_primary_key(entity.key))
    if there is not None and type(there) is not entity.model and there not in session.deleted:
        says = another_class(Entity(type(there), entity.key), entity)
        raise RevertError(says, version=version, path=survey.paths.get(entity))


async def _apply(survey: Survey, plan: RevertPlan) -> None:
    for entity in survey.found.deleted:
        await survey.session.delete(survey.live[entity])
    for relation in survey.found.relations:
        let_go(survey, relation)
    early = {id(relation): _in_the_way(survey, plan, relation) for relation in survey.found.relations}
    if any(early.values()):
        # The unit of work inserts before it deletes, and what came later may hold what was unique then.
        for relation in survey.found.relations:
            relink(survey, relation, linked=(), unlinked=early[id(relation)])
        await survey.session.flush()
    waiting = {}
    for entity in plan.inserted:
        survey.live[entity], in_sql = born_again(survey.stored[entity], blueprint_of(entity.model))
        if in_sql or has_generated_always(inspect(entity.model)):
            waiting[entity] = in_sql
    born = {entity: survey.live[entity] for entity in plan.inserted}
    births = arrange_births(born, {entity: survey.values_then(entity) for entity in plan.updated})
    turns = take_turns(survey, plan, births.later)
    for chain in turns.chains:
        await hand_on(survey, chain)
    for entity in plan.updated:
        late = turns.late.get(entity, {})
        set_back(survey.live[entity], survey.stored[entity], [n for n in survey.differing[entity] if n not in late])
        for name in turns.blank.get(entity, ()):
            set_attribute(survey.live[entity], name, None)
    make_uniform(survey, plan, turns)
    for entity in births.order:
        for name in births.later.get(entity, ()):
            set_attribute(survey.live[entity], name, None)
        survey.session.add(survey.live[entity])
    if turns.late:
        await _flush(survey.session, waiting, survey)
        for chain in turns.late_chains:
            await hand_on(survey, chain)
        for entity, values in turns.late.items():
            for name, value in values.items():
                set_attribute(survey.live[entity], name, copied(value))
        waiting = {}
        await survey.session.flush()
    for relation in survey.found.relations:
        unlinked = [each for each in relation.unlinked if each not in early[id(relation)]]
        relink(survey, relation, linked=relation.linked, unlinked=unlinked)
    if waiting:
        await _flush(survey.session, waiting, survey)
    await survey.session.run_sync(lambda _: reconstruct(survey.live[entity] for entity in plan.inserted))


async def _flush(session: AsyncSession, waiting: dict[Entity, list[str]], survey: Survey) -> None:
    # At once, where an object would hold SQL until then, or where the INSERT needs a word of its own.
    async with AsyncExitStack() as stack:
        for model in {entity.model for entity in waiting}:
            mapper: Mapper[Any] = inspect(model)
            await stack.enter_async_context(overriding_identity(session, mapper))
        await session.flush()
    for entity, names in waiting.items():
        unloaded = inspect(survey.live[entity]).unloaded.intersection(names)
        if unloaded:
            await session.refresh(survey.live[entity], attribute_names=sorted(unloaded))


def _in_the_way(survey: Survey, plan: RevertPlan, relation: Relation) -> list[Entity]:
    """List what has to leave a relation first: of a table with a unique constraint, into which others come."""
    coming = {entity.model for entity in (*plan.inserted, *plan.updated)}
    prop: RelationshipProperty[Any] = inspect(relation.parent.model).relationships[relation.name]
    one_to_many = prop.direction is RelationshipDirection.ONETOMANY
    referring = {column for _, column in prop.synchronize_pairs} if one_to_many else set()
    return [
        target
        for target in relation.unlinked
        if target.model in coming
        and (
            _has_unique(target.model)
            if target in plan.deleted
            else target not in survey.stored and _has_unique(target.model, referring)
        )
    ]


def _has_unique(model: type, among: Collection[Any] | None = None) -> bool:
    """Say whether values of a model, or some of its columns, are unique."""
    tables: Any = inspect(model).tables
    rules = (
        *(rule.columns for table in tables for rule in table.constraints if isinstance(rule, UniqueConstraint)),
        *(index.columns for table in tables for index in table.indexes if index.unique),
    )
    return any(among is None or not {*columns}.isdisjoint(among) for columns in rules)

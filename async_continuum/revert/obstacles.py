"""Say what stands in the way of a revert that the database has refused: which object, by which column, and whose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Column, PrimaryKeyConstraint, Table, inspect, select
from sqlalchemy.orm import Mapper, RelationshipDirection, RelationshipProperty

from async_continuum.build import blueprint_of
from async_continuum.declare import lineage
from async_continuum.dialects import keys_for
from async_continuum.revert.plan import Entity, Key, RevertPlan
from async_continuum.revert.survey import Survey
from async_continuum.revert.turns import unique_columns

_NAMED = 5
"""How many obstacles an error names."""

_Among = Callable[[Any], bool]
_Values = Mapping[Any, Any]
"""What a row is to hold, by column."""


class Obstacle(NamedTuple):
    """One reason why an object cannot be what it was. Lives as long as the error is made."""

    entity: Entity
    says: str


async def obstacles(survey: Survey, plan: RevertPlan) -> list[Obstacle]:
    """Find what cannot hold any more, once a revert has been rolled back. Reads, and changes nothing.

    A statement for each constraint of each class that comes back or changes: the price of a refusal, not of a revert.
    """
    return await _broken(survey, plan, lambda _: True) or list(_unlinkable(survey))


async def put_off(survey: Survey, plan: RevertPlan) -> list[Obstacle]:
    """Find what the database would say at the commit only, once a revert has been flushed."""
    models = dict.fromkeys(entity.model for entity in (*plan.inserted, *plan.updated, *plan.deleted))
    every = {table.metadata: None for model in models for table in _tables(model)}
    tables = (table for metadata in every for table in metadata.tables.values())
    if not any(_is_deferred(rule) for table in tables for rule in table.constraints):
        return []
    return await _broken(survey, plan, _is_deferred)


async def _broken(survey: Survey, plan: RevertPlan, among: _Among) -> list[Obstacle]:
    coming = {entity: _values(survey, entity) for entity in (*plan.inserted, *plan.updated)}
    found = []
    for model in dict.fromkeys(entity.model for entity in coming):
        rows = {entity: values for entity, values in coming.items() if entity.model is model}
        found += [each async for each in _gone(survey, model, rows, coming, among)]
        found += [each async for each in _taken(survey, model, rows, plan, among)]
    found = found or [each async for each in _referred_to(survey, plan, among)]
    return list(dict.fromkeys(found))


def _is_deferred(rule: Any) -> bool:
    """Say whether a constraint is checked at the commit; of keys it is no matter, since each row has its own."""
    return not isinstance(rule, PrimaryKeyConstraint) and (getattr(rule, "initially", None) or "").upper() == "DEFERRED"


def told(found: Sequence[Obstacle]) -> str:
    """Put obstacles into words."""
    more = f" And {len(found) - _NAMED} more." if len(found) > _NAMED else ""
    return " ".join(each.says for each in islice(found, _NAMED)) + more


def another_class(there: Entity, entity: Entity) -> str:
    """Say that an object of another class of the hierarchy is where one was."""
    return f"{there} lives under the key of {entity} now. Delete it first."


def _values(survey: Survey, entity: Entity) -> _Values:
    mapper: Mapper[Any] = inspect(entity.model)
    stored = survey.stored[entity]
    return {
        column: getattr(stored, name)
        for name in blueprint_of(entity.model).attributes
        for column in mapper.attrs[name].columns
    }


def _unlinkable(survey: Survey) -> Iterator[Obstacle]:
    for relation in survey.found.relations:
        prop: RelationshipProperty[Any] = inspect(relation.parent.model).relationships[relation.name]
        if prop.direction is not RelationshipDirection.ONETOMANY or relation.deletes_orphans:
            continue
        fixed = [column for _, column in prop.synchronize_pairs if not column.nullable]
        for target in relation.unlinked:
            if fixed and target not in survey.stored:
                yield Obstacle(
                    target,
                    f"{target} is in {relation.parent}.{relation.name} now, and cannot be unlinked: "
                    f"its {_names(target.model, fixed)} must not be NULL.",
                )


async def _gone(
    survey: Survey, model: type, rows: Mapping[Entity, _Values], coming: Mapping[Entity, _Values], among: _Among
) -> AsyncIterator[Obstacle]:
    """Find what rows refer to and neither lives nor comes back with them."""
    for constraint in (each for table in _tables(model) for each in table.foreign_key_constraints if among(each)):
        referring = [element.parent for element in constraint.elements]
        referred = [element.column for element in constraint.elements]
        wanted = _keys(rows, referring)
        missing = set(wanted.values()) - set(_keys(coming, referred).values())
        if missing:
            missing -= {tuple(row) for row in await _ask(survey, model, referred, referred, missing)}
        for entity, key in wanted.items():
            if key in missing:
                yield Obstacle(
                    entity,
                    f"{entity} referred by its {_names(model, referring)} to "
                    f"{_row_called(model, constraint.referred_table, referred, key)}, which is gone.",
                )


async def _taken(
    survey: Survey, model: type, rows: Mapping[Entity, _Values], plan: RevertPlan, among: _Among
) -> AsyncIterator[Obstacle]:
    """Find who has now what only one may have."""
    mapper: Mapper[Any] = inspect(model)
    top, inserted, leaving = lineage(mapper)[0], set(plan.inserted), set(plan.deleted)
    for table in _tables(model):
        primary: Any = table.primary_key
        for rule, columns in ((primary, list(primary)), *unique_columns(table)):
            if not among(rule):
                continue
            wanted = _keys({e: v for e, v in rows.items() if e in inserted or rule is not primary}, columns)
            owners = {value: entity for entity, value in wanted.items()}
            for holder, value in await _holders(survey, model, table, columns, set(owners)):
                entity = owners.get(value)
                if entity is None or holder in leaving:
                    continue
                if rule is primary:
                    yield Obstacle(entity, another_class(holder, entity))
                elif holder.key != entity.key or lineage(inspect(holder.model))[0] is not top:
                    said = f"{_names(model, columns)} {(value[0] if len(value) == 1 else value)!r}"
                    yield Obstacle(entity, f"{entity} had the {said}, and {holder} has it now.")


async def _referred_to(survey: Survey, plan: RevertPlan, among: _Among) -> AsyncIterator[Obstacle]:
    """Find what refers to that which would be deleted, and would stay."""
    for model in dict.fromkeys(entity.model for entity in plan.deleted):
        mapper: Mapper[Any] = inspect(model)
        tables = set(_tables(model))
        every = (table for mapped in mapper.registry.mappers for table in _tables(mapped.class_))
        for constraint in {each: None for table in every for each in table.foreign_key_constraints}:
            if constraint.referred_table not in tables or constraint.ondelete or not among(constraint):
                continue
            referring = [element.parent for element in constraint.elements]
            referred = [element.column for element in constraint.elements]
            if {*referred} != {*constraint.referred_table.primary_key}:
                continue
            order = [list(constraint.referred_table.primary_key).index(column) for column in referred]
            owners = {tuple(e.key[i] for i in order): e for e in plan.deleted if e.model is model}
            for holder, key in await _holders(survey, model, constraint.table, referring, set(owners)):
                if key in owners and holder not in plan.deleted:
                    yield Obstacle(
                        owners[key], f"{holder} refers to {owners[key]} by its {_names(holder.model, referring)}."
                    )


async def _holders(
    survey: Survey, model: type, table: Any, columns: Sequence[Any], keys: Iterable[Key]
) -> list[tuple[Entity, Key]]:
    """List who holds one of these values, each with the value."""
    mapper = _mapper_of(model, table)
    primary, top = list(table.primary_key), lineage(mapper)[0] if mapper else None
    named = [top.polymorphic_on] if top is not None and isinstance(top.polymorphic_on, Column) else []
    if named and named[0].table is not table:
        named = []
    found = []
    for row in await _ask(survey, model, [*columns, *primary, *named], columns, set(keys)):
        of: Any = top.polymorphic_map.get(row[-1], mapper) if named and top is not None else mapper
        holder = Entity(of.class_ if of else type(table.name, (), {}), tuple(row[len(columns) :][: len(primary)]))
        found.append((holder, tuple(row[: len(columns)])))
    return found


async def _ask(
    survey: Survey, model: type, wanted: Sequence[Any], columns: Sequence[Any], keys: set[Key]
) -> list[Sequence[Any]]:
    if not keys:
        return []
    given = list(keys)
    mapper: Mapper[Any] = inspect(model)
    way = keys_for([column.type for column in columns], given, survey.session.sync_session.get_bind(mapper).dialect)
    rows: list[Any] = []
    for batch in way.batches(given):
        statement = select(*wanted).where(way.among(columns, "keys"))
        result = await survey.session.execute(
            statement, dict(way.bind(batch, "keys")), bind_arguments={"mapper": mapper}
        )
        rows += result.all()
    return rows


def _keys(rows: Mapping[Entity, _Values], columns: Sequence[Any]) -> dict[Entity, Key]:
    """Give the values of some columns, where a row has all of them: NULL refers to nothing, and is never taken."""
    found = {entity: tuple(values.get(column) for column in columns) for entity, values in rows.items()}
    return {entity: key for entity, key in found.items() if None not in key}


def _tables(model: type) -> list[Table]:
    mapper: Mapper[Any] = inspect(model)
    return [table for table in mapper.tables if isinstance(table, Table)]


def _names(model: type, columns: Iterable[Any]) -> str:
    mapper: Mapper[Any] = inspect(model)
    return ", ".join(
        mapper.get_property_by_column(each).key if each in mapper.columns.values() else each.name for each in columns
    )


def _mapper_of(model: type, table: Any) -> Mapper[Any] | None:
    mapper: Mapper[Any] = inspect(model)
    every = [each for each in mapper.registry.mappers if each.local_table is table]
    return next((each for each in every if each.inherits is None or each.inherits.local_table is not table), None)


def _row_called(model: type, table: Any, columns: Sequence[Any], key: Key) -> str:
    mapper = _mapper_of(model, table)
    primary = list(table.primary_key)
    if mapper is not None and {*columns} == {*primary}:
        return str(Entity(mapper.class_, tuple(key[columns.index(column)] for column in primary)))
    values = ", ".join(f"{column.name} {value!r}" for column, value in zip(columns, key, strict=True))
    return f"the row of {table.name!r} with {values}"

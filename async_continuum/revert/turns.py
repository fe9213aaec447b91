"""Let objects that are set back take their turns, so that a value that only one may have is free when it is taken."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, bindparam, inspect, select, update
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_state, set_committed_value

from async_continuum.build import blueprint_of
from async_continuum.declare import key_columns, lineage
from async_continuum.dialects import keys_for
from async_continuum.revert.plan import Entity, Key, RevertPlan
from async_continuum.revert.rows import tables_of
from async_continuum.revert.survey import Survey
from async_continuum.revert.unique import Rule, unique_rules

Values = dict[str, Any]


@dataclass(frozen=True, eq=False, slots=True)
class Chain:
    """Values of one table that are handed on from row to row. Lives until they are."""

    table: Table
    columns: Sequence[Any]
    rows: dict[Entity, Key]
    """What each row is to have in these columns, in an order in which it is free when it is taken."""


@dataclass(eq=False, slots=True)
class Turns:
    """What has to wait for its turn. Lives until the updates of a revert are sent."""

    blank: dict[Entity, list[str]] = field(default_factory=dict)
    """What is NULL meanwhile."""
    late: dict[Entity, Values] = field(default_factory=dict)
    """What is set after the first flush."""
    chains: list[Chain] = field(default_factory=list)
    """What is handed on before the first flush."""
    late_chains: list[Chain] = field(default_factory=list)
    """What is handed on after it, since it refers to what that one inserts."""

    def put_off(self, entity: Entity, values: Values) -> None:
        """Let an object wait with these values until all else is done."""
        self.late.setdefault(entity, {}).update(values)


def take_turns(survey: Survey, plan: RevertPlan, later: Mapping[Entity, Values]) -> Turns:
    """Find who would take what another, who is updated after it, still has.

    The unit of work updates rows in the order of their keys. What may be NULL is given up first by all; what may not
    is handed on from one to the next. Where it goes round, the database has to refuse it. ``later`` is what can be
    given only when something else is there.
    """
    turns = Turns()
    for entity, values in later.items():
        turns.put_off(entity, values)
    groups: dict[Table, list[Entity]] = {}
    born = {table for model in {entity.model for entity in plan.inserted} for table in tables_of(model)}
    for entity in plan.updated:
        for table in tables_of(entity.model):
            groups.setdefault(table, []).append(entity)
    for table, entities in groups.items():
        if len(entities) > 1:
            dialect = survey.session.sync_session.get_bind(inspect(entities[0].model)).dialect.name
            for rule in unique_rules(table, dialect):
                if not rule.is_primary:
                    _take_turns(survey, turns, entities, rule, born)
    return turns


def _take_turns(survey: Survey, turns: Turns, entities: Sequence[Entity], rule: Rule, born: Collection[Table]) -> None:
    names = {entity: _names(entity, rule.columns) for entity in entities}
    # Of what history does not hold, or the class does not map, the database knows alone.
    moving = {e: each for e, each in names.items() if each and not {*each}.isdisjoint(survey.differing[e])}
    if len(moving) < 2:
        return
    now = {tuple(instance_state(survey.live[e]).dict.get(name) for name in each): e for e, each in moving.items()}
    wanted = {entity: tuple(getattr(survey.stored[entity], name) for name in each) for entity, each in moving.items()}
    holders = {e: now[key] for e, key in wanted.items() if None not in key and now.get(key, e) is not e}
    # What an index over some rows or expressions looks at may be none of these: nobody gives up more than it must.
    nullable = [place for place, column in enumerate(rule.columns) if column.nullable] if rule.is_plain else []
    handed_on: dict[Entity, Entity] = {}
    for entity, holder in holders.items():
        can_be_null = [name for name in (names[entity][p] for p in nullable) if name in survey.differing[entity]]
        if not can_be_null:
            handed_on[entity] = holder
        elif _is_late(entity, holder):
            turns.blank.setdefault(entity, []).extend(can_be_null)
            turns.put_off(entity, {name: getattr(survey.stored[entity], name) for name in can_be_null})
    order = [entity for chain in _chains(handed_on) for entity in chain]
    if not any(_is_late(entity, handed_on[entity]) for entity in order if entity in handed_on):
        return
    chain = Chain(rule.table, rule.columns, {entity: wanted[entity] for entity in order})
    if not any(key.column.table in born for column in rule.columns for key in column.foreign_keys):
        turns.chains.append(chain)
        return
    turns.late_chains.append(chain)
    for entity in order:
        turns.put_off(entity, {n: getattr(survey.stored[entity], n) for n in names[entity]})


def _chains(holders: Mapping[Entity, Entity]) -> Iterator[list[Entity]]:
    """List who hands on to whom, each after the one who has its value; circles have no beginning, and are left out."""
    takers: dict[Entity, list[Entity]] = {}
    for entity, holder in holders.items():
        takers.setdefault(holder, []).append(entity)
    for first in (holder for holder in takers if holder not in holders):
        chain = [first]
        for entity in chain:
            chain += takers.get(entity, ())
        yield chain


async def hand_on(survey: Survey, chain: Chain) -> None:
    """Give each row of a chain its values, one after the other, in one statement.

    The objects are told of it by the flush that comes: to the ORM it is the one that changes them.
    """
    table, session = chain.table, survey.session
    model = next(iter(chain.rows)).model
    primary = [bindparam(f"ac_key_{n}", type_=column.type) for n, column in enumerate(table.primary_key)]
    given = {column: bindparam(f"ac_to_{n}", type_=column.type) for n, column in enumerate(chain.columns)}
    # It is no change of its own: what an UPDATE sets by itself is left as it is.
    kept = {column: column for column in table.c if column.onupdate is not None and column not in given}
    same = [column == bind for column, bind in zip(table.primary_key, primary, strict=True)]
    statement = update(table).where(*same).values({**kept, **given})
    names = [bind.key for bind in (*primary, *given.values())]
    sets = [dict(zip(names, (*_key_in(table, e), *values), strict=True)) for e, values in chain.rows.items()]
    await session.execute(statement, sets, bind_arguments={"mapper": inspect(model)})
    await _count_on(survey, chain)


def _key_in(table: Table, entity: Entity) -> Key:
    of = next(mapper for mapper in lineage(inspect(entity.model)) if mapper.local_table is table)
    key = dict(zip(key_columns(of), entity.key, strict=True))
    return tuple(key[column] for column in table.primary_key)


async def _count_on(survey: Survey, chain: Chain) -> None:
    """Read anew what the database counts for optimistic locking: the flush would take its own change for another's."""
    for model in dict.fromkeys(entity.model for entity in chain.rows):
        mapper: Mapper[Any] = inspect(model)
        counter = mapper.version_id_col
        if counter is None or mapper.version_id_generator is not False:
            continue
        keys = [entity.key for entity in chain.rows if entity.model is model]
        bind = survey.session.sync_session.get_bind(mapper)
        way = keys_for([column.type for column in mapper.primary_key], keys, bind.dialect)
        name = mapper.get_property_by_column(counter).key
        for batch in way.batches(keys):
            counted = select(*mapper.primary_key, counter).where(way.among(mapper.primary_key, "keys"))
            for *key, value in await survey.session.execute(counted, dict(way.bind(batch, "keys"))):
                set_committed_value(survey.live[Entity(model, tuple(key))], name, value)


def _is_late(entity: Entity, holder: Entity) -> bool:
    """Say whether the unit of work updates an object before the one that has what it is to be given."""
    order = _order(entity)
    return order(holder) > order(entity)


def _order(entity: Entity) -> Callable[[Entity], Key]:
    mapper: Mapper[Any] = lineage(inspect(entity.model))[0]
    ways = [column.type.sort_key_function for column in mapper.primary_key]
    return lambda each: tuple(value if way is None else way(value) for way, value in zip(ways, each.key, strict=True))


def _names(entity: Entity, columns: Sequence[Any]) -> list[str]:
    mapper: Mapper[Any] = inspect(entity.model)
    held = {column: name for name in blueprint_of(entity.model).attributes for column in mapper.attrs[name].columns}
    return [held[column] for column in columns] if all(column in held for column in columns) else []

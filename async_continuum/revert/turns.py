"""Let objects that are set back take their turns, so that a value that only one may have is free when it is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Table, UniqueConstraint, inspect
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_state

from async_continuum.build import blueprint_of
from async_continuum.declare import lineage
from async_continuum.revert.plan import Entity, Key
from async_continuum.revert.survey import Survey

Values = dict[str, Any]


@dataclass(eq=False, slots=True)
class Turns:
    """What has to wait for its turn. Lives until the updates of a revert are sent."""

    blank: dict[Entity, list[str]] = field(default_factory=dict)
    """What is NULL meanwhile."""
    rounds: list[dict[Entity, Values]] = field(default_factory=list)
    """What is set after the first flush, a flush for each."""

    def put(self, entity: Entity, turn: int, values: Values) -> None:
        """Let an object wait with these values for a turn, 1 being the first after all else."""
        while len(self.rounds) < turn:
            self.rounds.append({})
        self.rounds[turn - 1].setdefault(entity, {}).update(values)

    def waiting(self, entity: Entity) -> set[str]:
        """Name what an object is given later."""
        return {name for each in self.rounds for name in each.get(entity, ())}


def unique_columns(table: Table) -> Iterator[tuple[Any, list[Any]]]:
    """List each unique constraint and index, but for the key, with its columns."""
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield constraint, list(constraint.columns)
    for index in table.indexes:
        # What an index over expressions, or over some rows only, compares is the database's to say.
        plain = all(isinstance(each, Column) for each in index.expressions)
        if index.unique and plain and not any(name.endswith("_where") for name in index.dialect_kwargs):
            yield index, list(index.columns)


def take_turns(survey: Survey, updated: Sequence[Entity]) -> Turns:
    """Find who would take what another, who is updated after it, still has.

    The unit of work updates rows in the order of their keys. What may be NULL is given up first by all; what may not
    is handed on from one to the next. Where it goes round, the database has to refuse it.
    """
    turns = Turns()
    groups: dict[Table, list[Entity]] = {}
    for entity in updated:
        mapper: Mapper[Any] = inspect(entity.model)
        for table in (each for each in mapper.tables if isinstance(each, Table)):
            groups.setdefault(table, []).append(entity)
    for table, entities in groups.items():
        for _, columns in unique_columns(table) if len(entities) > 1 else ():
            _take_turns(survey, turns, entities, columns)
    return turns


def _take_turns(survey: Survey, turns: Turns, entities: Sequence[Entity], columns: Sequence[Any]) -> None:
    names = {entity: _names(entity, columns) for entity in entities}
    # Of what history does not hold, or the class does not map, the database knows alone.
    moving = {e: each for e, each in names.items() if each and not {*each}.isdisjoint(survey.differing[e])}
    if len(moving) < 2:
        return
    now = {tuple(instance_state(survey.live[e]).dict.get(name) for name in each): e for e, each in moving.items()}
    wanted = {entity: tuple(getattr(survey.stored[entity], name) for name in each) for entity, each in moving.items()}
    holders = {e: now[key] for e, key in wanted.items() if None not in key and now.get(key, e) is not e}
    nullable = [place for place, column in enumerate(columns) if column.nullable]
    for entity in holders:
        later = [name for name in names[entity] if name in survey.differing[entity]]
        can_be_null = [names[entity][place] for place in nullable if names[entity][place] in later]
        turn = _turn(entity, holders, _order(entity), single=bool(can_be_null))
        if turn and can_be_null:
            turns.blank.setdefault(entity, []).extend(can_be_null)
            later = can_be_null
        if turn:
            turns.put(entity, turn, {name: getattr(survey.stored[entity], name) for name in later})


def _turn(entity: Entity, holders: Mapping[Entity, Entity], order: Callable[[Entity], Key], *, single: bool) -> int:
    """Say how many flushes an object waits for the one that has its value, and that for another."""
    turn, at, met = 0, entity, {entity}
    while (holder := holders.get(at)) is not None:
        turn += order(holder) > order(at)
        if single or holder in met:
            return turn if single else 0
        met.add(holder)
        at = holder
    return turn


def _order(entity: Entity) -> Callable[[Entity], Key]:
    mapper: Mapper[Any] = lineage(inspect(entity.model))[0]
    ways = [column.type.sort_key_function for column in mapper.primary_key]
    return lambda each: tuple(value if way is None else way(value) for way, value in zip(ways, each.key, strict=True))


def _names(entity: Entity, columns: Sequence[Any]) -> list[str]:
    mapper: Mapper[Any] = inspect(entity.model)
    held = {column: name for name in blueprint_of(entity.model).attributes for column in mapper.attrs[name].columns}
    return [held[column] for column in columns] if all(column in held for column in columns) else []

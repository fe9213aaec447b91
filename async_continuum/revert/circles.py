"""Order the objects that live again so that each finds what it refers to; what no order satisfies is given later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ForeignKeyConstraint, inspect
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_state

from async_continuum.declare import lineage
from async_continuum.revert.plan import Entity

Values = dict[str, Any]
Row = tuple[Mapper[Any], tuple[Any, ...]]
"""The topmost mapper of a hierarchy, and a key."""


@dataclass(frozen=True, eq=False, slots=True)
class _Reference:
    """One foreign key from a model to another, or to itself. Lives as long as the order is sought."""

    target: Mapper[Any]
    """The topmost class of those whose rows it may refer to."""
    names: tuple[str, ...]
    """The attributes that refer, in the order of the target's key."""
    can_wait: bool

    def of(self, values: Mapping[str, Any]) -> Row:
        return self.target, tuple(values.get(name) for name in self.names)


@dataclass(eq=False, slots=True)
class Births:
    """In which order objects come back, and which values they and others are given only when they are there."""

    order: list[Entity] = field(default_factory=list)
    later: dict[Entity, Values] = field(default_factory=dict)


def arrange_births(born: Mapping[Entity, Any], changed: Mapping[Entity, Values]) -> Births:
    """Order new objects, whose values are set, and the new values of others, so that foreign keys hold.

    The unit of work orders tables by itself, and the rows of one table only where relationships have changed.
    """
    births = Births()
    models = list(dict.fromkeys(entity.model for entity in born))
    mappers: list[Mapper[Any]] = [inspect(model) for model in models]
    tables: dict[Any, Mapper[Any]] = {table: mapper for mapper in mappers for table in mapper.tables}
    rows = {_row(entity): entity for entity in born}
    references = {model: list(_references(model, tables)) for model in models}
    for entity, values in changed.items():
        for each in references.get(entity.model, ()):
            # Of one table, what is there is updated before anything is inserted.
            if each.target is _top(inspect(entity.model)) and each.of(values) in rows:
                births.later.setdefault(entity, {}).update({name: values[name] for name in each.names})
    waiting = {
        entity: [
            (each, target)
            for each in references[entity.model]
            if (target := rows.get(each.of(instance_state(live).dict))) is not None and target != entity
        ]
        for entity, live in born.items()
    }
    while waiting:
        free = [entity for entity, needs in waiting.items() if all(target not in waiting for _, target in needs)]
        if not free:
            free = [entity for entity, needs in waiting.items() if all(each.can_wait for each, _ in needs)]
            for entity in free:
                values = instance_state(born[entity]).dict
                names = [name for each, target in waiting[entity] if target in waiting for name in each.names]
                births.later.setdefault(entity, {}).update({name: values[name] for name in names})
        # Where nothing can wait, the database has to say so.
        for entity in free or list(waiting):
            births.order.append(entity)
            del waiting[entity]
    return births


def _row(entity: Entity) -> Row:
    return _top(inspect(entity.model)), entity.key


def _top(mapper: Mapper[Any]) -> Mapper[Any]:
    return lineage(mapper)[0]


def _references(model: type, tables: Mapping[Any, Mapper[Any]]) -> Iterator[_Reference]:
    mapper: Mapper[Any] = inspect(model)
    every: Any = mapper.tables
    for constraint in (each for table in every for each in table.foreign_key_constraints):
        target = tables.get(constraint.referred_table)
        if target is None:
            continue
        pairs = _pairs(constraint, mapper)
        top = _top(target)
        # A table below the topmost one repeats the key.
        primary: Any = top.primary_key if constraint.referred_table is top.local_table else None
        primary = primary or tuple(constraint.referred_table.primary_key)
        if set(pairs) == set(primary):
            columns = [pairs[column] for column in primary]
            can_wait = all(column.nullable for column, _ in columns)
            yield _Reference(top, tuple(name for _, name in columns), can_wait)


def _pairs(constraint: ForeignKeyConstraint, mapper: Mapper[Any]) -> dict[Any, tuple[Any, str]]:
    return {
        element.column: (element.parent, mapper.get_property_by_column(element.parent).key)
        for element in constraint.elements
    }

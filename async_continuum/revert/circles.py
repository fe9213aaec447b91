"""Find objects that refer to one another in a circle: no order of INSERTs satisfies all of their foreign keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import ForeignKeyConstraint, inspect
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import set_attribute

from async_continuum.revert.plan import Entity


def break_circles(born: Mapping[Entity, Any]) -> dict[Entity, dict[str, Any]]:
    """Let new objects refer to nothing for now, where they refer in a circle; give what they refer to afterwards."""
    models = list(dict.fromkeys(entity.model for entity in born))
    tables: dict[Any, type] = {inspect(model).local_table: model for model in models}
    columns = {model: list(_columns(model, tables)) for model in models}
    edges = {entity: list(_references(live, columns[entity.model], born)) for entity, live in born.items()}
    if not _is_circular({entity: [target for target, _ in found] for entity, found in edges.items()}):
        return {}
    later: dict[Entity, dict[str, Any]] = {}
    for entity, found in edges.items():
        state = inspect(born[entity])
        for _, names in found:
            for name in names:
                later.setdefault(entity, {})[name] = state.dict[name]
    for entity, values in later.items():
        for name in values:
            set_attribute(born[entity], name, None)
    return later


def _columns(model: type, tables: Mapping[Any, type]) -> Iterator[tuple[type, list[str]]]:
    """List what objects of a model may refer to among the others, each with the attributes that do, nullable ones."""
    mapper: Mapper[Any] = inspect(model)
    table: Any = mapper.local_table
    for constraint in table.foreign_key_constraints:
        target = tables.get(constraint.referred_table)
        pairs = _pairs(constraint, mapper)
        if target is None or any(not column.nullable for column, _ in pairs.values()):
            continue
        primary: Any = inspect(target).primary_key
        if set(pairs) == set(primary):
            yield target, [pairs[column][1] for column in primary]


def _references(
    live: Any, columns: Iterable[tuple[type, list[str]]], born: Mapping[Entity, Any]
) -> Iterator[tuple[Entity, list[str]]]:
    for model, names in columns:
        values = inspect(live).dict
        target = Entity(model, tuple(values.get(name) for name in names))
        if target in born:
            yield target, names


def _pairs(constraint: ForeignKeyConstraint, mapper: Mapper[Any]) -> dict[Any, tuple[Any, str]]:
    return {
        element.column: (element.parent, mapper.get_property_by_column(element.parent).key)
        for element in constraint.elements
    }


def _is_circular(edges: Mapping[Entity, Iterable[Entity]]) -> bool:
    waiting = {entity: set(targets) for entity, targets in edges.items()}
    while waiting:
        free = {entity for entity, targets in waiting.items() if targets.isdisjoint(waiting)}
        if not free:
            return True
        for entity in free:
            del waiting[entity]
    return False

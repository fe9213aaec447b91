"""Say in SQL which transactions touched a class, an entity, or an entity with its children."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Select, Table, exists, inspect, null, select, union
from sqlalchemy.orm import InstanceState, Mapper, RelationshipDirection, RelationshipProperty
from sqlalchemy.sql import ColumnElement

from async_continuum.build import (
    Blueprint,
    TableHistory,
    blueprint_of,
    blueprints_of,
    ends_of,
    find_blueprint,
    history_of,
    identity_of,
    united,
)
from async_continuum.errors import ClassNotVersioned


def touched_ids(transaction_class: Any, target: Any, children: Sequence[str]) -> Any:
    """Give the ids of the transactions that changed a class, or an entity, given as an object, and its children."""
    blueprint = blueprint_of(target)
    if blueprint.version_class is (target if isinstance(target, type) else type(target)):
        name, model = blueprint.version_class.__name__, blueprint.model.__name__
        raise TypeError(f"touched() takes {model}, or an object of it, not {name}")
    if isinstance(children, str):
        raise TypeError(f"children={children!r} is one name: give a list of them, children=[{children!r}]")
    if blueprint.transaction_class is not transaction_class:
        raise ClassNotVersioned(target if isinstance(target, type) else type(target))
    if isinstance(target, type):
        # Concrete classes below it have tables of their own.
        selects = [_touching_class(transaction_class, each) for each in united(blueprint)]
    else:
        selects = [_of_entity(blueprint, target)]
    for name in children:
        selects += _of_children(transaction_class, blueprint, target, name)
    return selects[0] if len(selects) == 1 else union(*selects)


def comes_with_above(blueprint: Blueprint) -> bool:
    """Say whether the versions of a class come with those of a class above it."""
    if blueprint.above is None or blueprint.above.hidden:
        return False
    return inspect(blueprint.version_class).polymorphic_on is not None


def of_class(blueprint: Blueprint, *, exactly: bool = False) -> list[ColumnElement[bool]]:
    """Restrict the versions of a table that several classes share to those of one, or of it and those below it."""
    mapper: Mapper[Any] | None = None if blueprint.version_class is None else inspect(blueprint.version_class)
    if mapper is None or not blueprint.history.shared:
        return []
    if mapper.polymorphic_on is None:
        return list(_of_no_class_below(blueprint)) if exactly else []
    of = (mapper,) if exactly else mapper.self_and_descendants
    top = blueprint.history.version_table
    names_class: Any = mapper.base_mapper.polymorphic_on
    named: ColumnElement[bool] = names_class.in_([each.polymorphic_identity for each in of])
    if blueprint.own is blueprint.history:
        return [named]
    own = blueprint.own
    same = [a == b for a, b in zip(own.key_of(own.version_table), blueprint.history.key_of(top), strict=True)]
    same.append(own.version_table.c[own.begins] == top.c[blueprint.begins])
    return [exists(select(null()).select_from(top).where(*same, named).correlate(own.version_table))]


def _of_no_class_below(blueprint: Blueprint) -> Iterator[ColumnElement[bool]]:
    """Where no column names the class, an entity is of the lowest one in whose table it has a row."""
    own = blueprint.own
    depth = len(blueprint.histories)
    for other in blueprints_of(blueprint.transaction_class):
        if other.histories[:depth] == blueprint.histories and len(other.histories) > depth:
            below = other.histories[depth]
            rows = below.version_table
            same = [a == b for a, b in zip(below.key_of(rows), own.key_of(own.version_table), strict=True)]
            same.append(rows.c[below.begins] == own.version_table.c[own.begins])
            yield ~exists(select(null()).select_from(rows).where(*same).correlate(own.version_table))


def _touching_class(transaction_class: Any, blueprint: Blueprint) -> Select[Any]:
    noted: Table | None = transaction_class.__entity_names__
    # A statement on one class of a hierarchy is noted under that one's name, whichever class the rows are of.
    if noted is not None and not blueprint.history.shared:
        return select(noted.c.transaction_id).where(noted.c.entity_name == blueprint.model.__name__)
    # A change makes a version in every table of the entity's class; only its own table tells it from others.
    return select(blueprint.own.version_table.c[blueprint.own.begins]).where(*of_class(blueprint))


def _of_entity(blueprint: Blueprint, target: Any) -> Select[Any]:
    history = blueprint.own
    identity = identity_of(target)
    if identity is None:
        raise ValueError(f"{target!r} was never stored, so no transaction touched it")
    versions = history.version_table
    # The identity is in the order of the primary key, which is that of the history's key.
    same = [column == value for column, value in zip(history.key_of(versions), identity, strict=True)]
    return select(versions.c[history.begins]).where(*same, *of_class(blueprint))


def _of_children(transaction_class: Any, blueprint: Blueprint, target: Any, name: str) -> Iterator[Select[Any]]:
    relations: Any = inspect(blueprint.model).relationships
    if name not in relations:
        raise ValueError(
            f"{blueprint.model.__name__} has no relation {name!r}. It has: {', '.join(relations.keys()) or 'none'}."
        )
    relation: RelationshipProperty[Any] = relations[name]
    if relation.direction is RelationshipDirection.MANYTOONE:
        raise ValueError(f"{blueprint.model.__name__}.{name} leads to a parent, and not to children")
    if isinstance(relation.secondary, Table):
        # What is linked is no part of it: the links are.
        yield from _referring(history_of(relation.secondary), _pairs(relation, relation.secondary), target)
        return
    child = find_blueprint(relation.mapper.class_)
    if child is None or child.transaction_class is not transaction_class:
        raise ClassNotVersioned(relation.mapper.class_)
    if isinstance(target, type):
        yield _touching_class(transaction_class, child)
        return
    history = next(each for each in child.histories if _pairs(relation, each.table))
    yield from _referring(history, _pairs(relation, history.table), target)


def _pairs(relation: RelationshipProperty[Any], table: Table) -> list[Any]:
    pairs: list[Any] = list(relation.synchronize_pairs)
    return [(local, remote) for local, remote in pairs if remote.table is table]


def _referring(
    history: TableHistory, pairs: Sequence[tuple[Column[Any], Column[Any]]], target: Any
) -> Iterator[Select[Any]]:
    """Give the transactions at which rows began or ceased to refer to an entity, or were changed while they did."""
    versions = history.version_table
    refers: list[ColumnElement[bool]] = []
    if not isinstance(target, type):
        state: InstanceState[Any] = inspect(target)
        for local, remote in pairs:
            refers.append(versions.c[remote.key] == _value(state, local))
    yield select(versions.c[history.begins]).where(*refers)
    ends = ends_of(history, versions)
    yield select(ends).where(*refers, ends.is_not(None))


def _value(state: InstanceState[Any], column: Column[Any]) -> Any:
    mapper = state.mapper
    if column in mapper.primary_key:
        identity = identity_of(state.obj())
        assert identity is not None
        # The identity, rather than the attribute: that may be expired.
        return identity[mapper.primary_key.index(column)]
    name = mapper.get_property_by_column(column).key
    if name not in state.dict:
        raise ValueError(f"{mapper.class_.__name__}.{name} is not loaded, and its children refer to it: refresh it")
    return state.dict[name]

"""Name rows as a user knows them: as objects, as links, and where no class has them, by their values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Column, Table, inspect
from sqlalchemy.orm import Mapper, RelationshipProperty

from async_continuum.declare import lineage
from async_continuum.revert.plan import Entity, Link
from async_continuum.revert.rows import relation_of

Called = Entity | Link | str


def another_class(there: Entity, entity: Entity) -> str:
    """Say that an object of another class of the hierarchy is where one was."""
    return f"{there} lives under the key of {entity} now. Delete it first."


def discriminator(model: type, table: Table) -> list[Any]:
    """List the column of a table that says which class its rows are of, where there is one."""
    mapper = _mapper_of(model, table)
    column = None if mapper is None else lineage(mapper)[0].polymorphic_on
    return [column] if isinstance(column, Column) and column.table is table else []


def called(
    model: type, table: Table, columns: Sequence[Any], values: Sequence[Any], *, kind: Any = None, link: Link | None
) -> Called:
    """Name the row of a table that has these values in these columns; ``kind`` is what its discriminator holds.

    Of an association table, ``link`` is one by the relation that its rows are to be named by.
    """
    held = dict(zip(columns, values, strict=True))
    mapper = _mapper_of(model, table)
    if mapper is not None and held.keys() == {*table.primary_key}:
        of = lineage(mapper)[0].polymorphic_map.get(kind, mapper) if discriminator(model, table) else mapper
        return Entity(of.class_, tuple(held[column] for column in table.primary_key))
    prop = None if link is None else relation_of(link)
    if prop is not None and prop.secondary is table:
        parent = _end(prop.parent, {one: held.get(other) for one, other in prop.synchronize_pairs})
        target = _end(prop.mapper, {one: held.get(other) for one, other in prop.secondary_synchronize_pairs or ()})
        if parent is not None and target is not None:
            return Link(parent, prop.key, target)
    return f"the row of {table.name!r} with " + ", ".join(f"{c.name} {v!r}" for c, v in held.items())


def names_of(model: type, columns: Iterable[Any]) -> str:
    """Name columns as their model does, or as their table where the model does not map them."""
    mapper: Mapper[Any] = inspect(model)
    mapped = mapper.columns.values()
    return ", ".join(mapper.get_property_by_column(each).key if each in mapped else each.name for each in columns)


def goes_along(model: type) -> set[Any]:
    """List the association tables whose rows the ORM takes away with an object of a model."""
    relations: Iterable[RelationshipProperty[Any]] = inspect(model).relationships
    return {each.secondary for each in relations if not each.viewonly and not each.passive_deletes}


def _end(mapper: Mapper[Any], values: dict[Any, Any]) -> Entity | None:
    primary = mapper.primary_key
    return Entity(mapper.class_, tuple(values[c] for c in primary)) if values.keys() == {*primary} else None


def _mapper_of(model: type, table: Any) -> Mapper[Any] | None:
    mapper: Mapper[Any] = inspect(model)
    every = [each for each in mapper.registry.mappers if each.local_table is table]
    return next((each for each in every if each.inherits is None or each.inherits.local_table is not table), None)

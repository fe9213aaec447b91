"""List the rows of a revert: what each would hold that it writes, and held that it takes away; links are rows, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, inspect
from sqlalchemy.orm import Mapper, RelationshipProperty
from sqlalchemy.orm.attributes import instance_state

from async_continuum.build import blueprint_of
from async_continuum.revert.plan import Entity, Key, Link, RevertPlan
from async_continuum.revert.survey import Survey

Values = Mapping[Any, Any]
"""What a row holds, by column."""


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """One row of one table that a revert writes or takes away. Lives as long as its error is made."""

    who: Entity | Link
    table: Table
    values: Values
    inserted: bool
    identity: tuple[Any, ...]
    """The columns that say which row it is: the primary key; of a link, those that refer to its two ends."""

    @property
    def link(self) -> Link | None:
        return self.who if isinstance(self.who, Link) else None

    @property
    def model(self) -> type:
        return self.who.parent.model if isinstance(self.who, Link) else self.who.model

    @property
    def entity(self) -> Entity:
        """What was to be what it was: of a link, the object at its other end."""
        return self.who.target if isinstance(self.who, Link) else self.who

    @property
    def place(self) -> tuple[Table, Key]:
        """Which row of which table it is."""
        return self.table, self.of(self.identity)

    def of(self, columns: Iterable[Any]) -> Key:
        return tuple(self.values.get(column) for column in columns)


def coming(survey: Survey, plan: RevertPlan) -> list[Row]:
    """List the rows that a revert inserts and updates, as they are to be."""
    inserted = {*plan.inserted}
    rows = [
        row
        for entity in (*plan.inserted, *plan.updated)
        for row in _rows(entity, _then(survey, entity), inserted=entity in inserted)
    ]
    links = (_linking(link, _then(survey, link.parent), _then(survey, link.target)) for link in plan.linked)
    # A link is in the relations of both of its ends.
    return [*rows, *{row.place: row for row in links if row is not None}.values()]


def leaving(survey: Survey, plan: RevertPlan) -> list[Row]:
    """List the rows that a revert takes away, as they are."""
    rows = [row for entity in plan.deleted for row in _rows(entity, _now(survey, entity), inserted=False)]
    links = (_linking(link, _now(survey, link.parent), _now(survey, link.target)) for link in plan.unlinked)
    return [*rows, *(row for row in links if row is not None)]


def tables_of(model: type) -> list[Table]:
    """List the tables of a model's rows."""
    mapper: Mapper[Any] = inspect(model)
    return [table for table in mapper.tables if isinstance(table, Table)]


def relation_of(link: Link) -> RelationshipProperty[Any]:
    """Give the relationship that a link is of."""
    prop: RelationshipProperty[Any] = inspect(link.parent.model).relationships[link.relation]
    return prop


def _rows(entity: Entity, values: Values, *, inserted: bool) -> Iterator[Row]:
    for table in tables_of(entity.model):
        held = {column: value for column, value in values.items() if column.table is table}
        yield Row(entity, table, held, inserted, tuple(table.primary_key))


def _linking(link: Link, parent: Values, target: Values) -> Row | None:
    prop = relation_of(link)
    if not isinstance(prop.secondary, Table):
        return None
    values = {column: parent.get(referred) for referred, column in prop.synchronize_pairs}
    values |= {column: target.get(referred) for referred, column in prop.secondary_synchronize_pairs or ()}
    return Row(link, prop.secondary, values, True, tuple(c for c in prop.secondary.c if c in values))


def _then(survey: Survey, entity: Entity) -> Values:
    stored = survey.stored[entity]
    return _by_column(entity, {name: getattr(stored, name) for name in blueprint_of(entity.model).attributes})


def _now(survey: Survey, entity: Entity) -> Values:
    mapper: Mapper[Any] = inspect(entity.model)
    key = {mapper.get_property_by_column(c).key: v for c, v in zip(mapper.primary_key, entity.key, strict=True)}
    held = instance_state(survey.live[entity]).dict
    return _by_column(entity, {**{n: held[n] for n in mapper.column_attrs.keys() if n in held}, **key})  # noqa: SIM118


def _by_column(entity: Entity, values: Mapping[str, Any]) -> Values:
    mapper: Mapper[Any] = inspect(entity.model)
    return {column: value for name, value in values.items() for column in mapper.attrs[name].columns}

"""Let the updates of a revert set the same columns: the ORM sends only those as one statement that are alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Boolean, Integer, String, inspect
from sqlalchemy.orm import Mapper, RelationshipProperty
from sqlalchemy.orm.attributes import flag_modified, instance_state
from sqlalchemy.orm.interfaces import RelationshipDirection

from async_continuum.declare import lineage
from async_continuum.revert.plan import Entity, RevertPlan
from async_continuum.revert.survey import Survey
from async_continuum.revert.turns import Turns

_STORED_AS_READ = (Integer, String, Boolean)
"""What a value of these types is stored as when it is sent back unchanged is what was stored: of others, one cannot
know (NULL in JSON, the format of a time in SQLite, a type of the user's own that encrypts)."""


def make_uniform(survey: Survey, plan: RevertPlan, turns: Turns) -> None:
    """Mark in each object that is updated what is updated in any of its table's; its value stays what it is."""
    gone = {*plan.inserted, *plan.deleted}
    tables: dict[Mapper[Any], dict[Entity, set[str]]] = {}
    for entity, names in _updates(survey, plan):
        if entity not in gone:
            top = lineage(inspect(entity.model))[0]
            tables.setdefault(top, {}).setdefault(entity, set()).update(names)
    for rows in tables.values():
        every: set[str] = set().union(*rows.values())
        for entity, own in rows.items():
            live, late = survey.live[entity], turns.late.get(entity, {})
            # Not its own: of what has been marked, the ORM does not know any more what it was linked to.
            for name in (every - own).intersection(instance_state(live).dict).difference(late):
                if isinstance(inspect(entity.model).columns[name].type, _STORED_AS_READ):
                    flag_modified(live, name)


def _updates(survey: Survey, plan: RevertPlan) -> Iterator[tuple[Entity, Iterable[str]]]:
    for entity in plan.updated:
        yield entity, survey.differing[entity]
    for relation in survey.found.relations:
        prop: RelationshipProperty[Any] = inspect(relation.parent.model).relationships[relation.name]
        if prop.post_update:
            # Its foreign keys are set by UPDATEs of their own.
            continue
        if prop.direction is RelationshipDirection.ONETOMANY:
            for target in (*relation.linked, *relation.unlinked):
                yield target, _referring(prop, inspect(target.model))
        elif prop.direction is RelationshipDirection.MANYTOONE and (relation.linked or relation.unlinked):
            yield relation.parent, _referring(prop, inspect(relation.parent.model))


def _referring(prop: RelationshipProperty[Any], mapper: Mapper[Any]) -> list[str]:
    """List the attributes that a link sets, but for those of the key."""
    referring = [column for _, column in prop.synchronize_pairs]
    return [mapper.get_property_by_column(c).key for c in referring if c not in mapper.primary_key]

"""Take the relations of live objects back: by events where that changes rows, silently where rows have changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import RelationshipDirection, RelationshipProperty
from sqlalchemy.orm.attributes import set_attribute, set_committed_value
from sqlalchemy.orm.collections import collection_adapter

from async_continuum.revert.plan import Entity, Relation
from async_continuum.revert.survey import HELD, Survey


def let_go(survey: Survey, relation: Relation) -> None:
    """Take out of a relation, silently and first of all, what its own version points elsewhere.

    The ORM would set the foreign key of what is removed to NULL, over the value that it had then.
    """
    prop = _property(relation)
    if prop.direction is not RelationshipDirection.ONETOMANY or prop.lazy in HELD:
        return
    leaving = [survey.live[target] for target in relation.unlinked if target in survey.stored]
    if not leaving:
        return
    instance = survey.live[relation.parent]
    if not prop.uselist:
        set_committed_value(instance, relation.name, None)
        return
    members: Any = collection_adapter(getattr(instance, relation.name))
    for live in leaving:
        members.remove_without_event(live)


def relink(survey: Survey, relation: Relation, *, linked: Sequence[Entity], unlinked: Iterable[Entity]) -> None:
    """Link and unlink the members of one relation of a live object."""
    prop = _property(relation)
    if prop.direction is RelationshipDirection.ONETOMANY:
        unlinked = [target for target in unlinked if target not in survey.stored]
    unlinked = list(unlinked)
    if not linked and not unlinked:
        return
    instance, name = survey.live[relation.parent], relation.name
    if prop.lazy not in HELD and name not in inspect(instance).dict:
        # Of an object that lives again: nothing refers to it yet, and nobody may ask the database here.
        set_committed_value(instance, name, [] if prop.uselist else None)
    if not prop.uselist:
        set_attribute(instance, name, survey.live[linked[0]] if linked else None)
        return
    # The other side of the relation, taken back before this one, may have done it already.
    held = prop.lazy in HELD
    members: Any = getattr(instance, name) if held else collection_adapter(getattr(instance, name))
    pending = inspect(instance).attrs[name].history if held else None
    there = {id(each) for each in (members if pending is None else pending.added)}
    gone = set() if pending is None else {id(each) for each in pending.deleted}
    remove = members.remove if held else members.remove_with_event
    add = members.append_with_event if not held else members.add if prop.lazy == "write_only" else members.append
    for live in (survey.live[target] for target in unlinked):
        if id(live) not in gone and (held or id(live) in there):
            remove(live)
    for live in (survey.live[target] for target in linked):
        if id(live) not in there:
            add(live)


def _property(relation: Relation) -> RelationshipProperty[Any]:
    prop: RelationshipProperty[Any] = inspect(relation.parent.model).relationships[relation.name]
    return prop

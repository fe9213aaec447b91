"""Give a version class the relations of its model, each to what was alive at the version's transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Table, and_, inspect, or_, select, type_coerce
from sqlalchemy.orm import Mapper, RelationshipProperty, composite, foreign, relationship, synonym
from sqlalchemy.sql import ColumnElement, FromClause, visitors

from async_continuum.build.blueprint import Blueprint, find_blueprint, find_history
from async_continuum.build.comparing import Compared
from async_continuum.build.joins import NotKept, Place, adapted, alive, either, moved_to_versions, staying
from async_continuum.build.table import TableHistory, ends_of
from async_continuum.build.version_class import Unavailable
from async_continuum.operation import Operation


class _ToCome:
    """Stands on a version class for a relation that its model has got since mappers were configured.

    When the model's attribute is announced, it does not know yet where it leads: what asks for it first, finds out.
    """

    def __init__(self, name: str, blueprint: Blueprint) -> None:
        self.name = name
        self.blueprint = blueprint

    def __get__(self, instance: object, owner: type) -> Any:
        relate(self.blueprint)
        return getattr(owner if instance is None else instance, self.name)


def expect_relation(blueprint: Blueprint, name: str) -> bool:
    """Give the version class a relation that its model is just given, its mapper being configured; say if it is one."""
    mapper: Mapper[Any] = inspect(blueprint.model)
    prop = mapper.get_property(name) if mapper.configured and mapper.has_property(name) else None
    if not isinstance(prop, RelationshipProperty) or blueprint.version_class is None:
        return False
    if not inspect(blueprint.version_class).has_property(name):
        setattr(blueprint.version_class, name, _ToCome(name, blueprint))
    return True


def relate(blueprint: Blueprint) -> None:
    """Add to the version class every relation of the model that it has not yet; mappers are being configured."""
    if blueprint.version_class is None:
        return
    if blueprint.above is not None:
        # What it inherits comes to its version class from above.
        relate(blueprint.above)
    mapper: Mapper[Any] = inspect(blueprint.model)
    version_mapper: Mapper[Any] = inspect(blueprint.version_class)
    for name, value in list(vars(blueprint.version_class).items()):
        if isinstance(value, _ToCome):
            delattr(blueprint.version_class, name)
    _compose(blueprint)
    excluded = blueprint.settings.exclude - blueprint.settings.include
    for name, prop in mapper.relationships.items():
        if version_mapper.has_property(name) or _is_unavailable(name, blueprint.version_class):
            continue
        if name in excluded:
            setattr(blueprint.version_class, name, Unavailable(name, "the option 'exclude' names it."))
            continue
        try:
            version_mapper.add_property(name, _past(prop, blueprint))
        except NotKept as reason:
            setattr(blueprint.version_class, name, Unavailable(name, f"it depends on {reason}."))
    _alias(blueprint)


def _is_unavailable(name: str, version_class: type) -> bool:
    return any(isinstance(vars(each).get(name), Unavailable) for each in version_class.__mro__)


def _compose(blueprint: Blueprint) -> None:
    """Add the composites of the model whose columns history holds."""
    version_mapper: Mapper[Any] = inspect(blueprint.version_class)
    composites: Any = inspect(blueprint.model).composites
    for name, prop in composites.items():
        parts = [part.key for part in prop.props]
        if not version_mapper.has_property(name) and set(parts) <= set(blueprint.attributes):
            version_mapper.add_property(name, composite(prop.composite_class, *parts))


def _alias(blueprint: Blueprint) -> None:
    """Add the synonyms of what has only now come to the version class: relations and composites."""
    version_mapper: Mapper[Any] = inspect(blueprint.version_class)
    synonyms: Any = inspect(blueprint.model).synonyms
    for name, prop in synonyms.items():
        if version_mapper.has_property(name):
            continue
        if version_mapper.has_property(prop.name):
            version_mapper.add_property(name, synonym(prop.name))
        else:
            reason = f"it is another name of {prop.name!r}, which history does not hold."
            setattr(blueprint.version_class, name, Unavailable(name, reason))


def _past(prop: RelationshipProperty[Any], blueprint: Blueprint) -> Any:
    local = moved_to_versions(*blueprint.histories)
    target = find_blueprint(prop.mapper.class_)
    target = None if target is None or target.version_class is None else target
    begins = blueprint.history.version_table.c[blueprint.begins]
    to = moved_to_versions(*target.histories) if target else staying(prop.mapper)
    arguments: dict[str, Any] = {"viewonly": True, "uselist": prop.uselist, "comparator_factory": Compared}
    if prop.secondary is not None:
        links = _links(prop, target)
        arguments["secondary"] = links.rows
        arguments["primaryjoin"] = and_(
            adapted(prop.primaryjoin, local, links.moved, foreign_to=links.moved),
            *(held(links.rows, name, begins) for name in links.lifetimes),
        )
        arguments["secondaryjoin"] = links.to_target
        ordered = either(to, links.moved)
    else:
        arguments["primaryjoin"] = adapted(prop.primaryjoin, local, to)
        if target is not None:
            arguments["primaryjoin"] = and_(arguments["primaryjoin"], alive(target.history, begins))
        ordered = to
    if prop.order_by:
        arguments["order_by"] = [adapted(clause, ordered, ordered, strict=False) for clause in prop.order_by]
    if prop.collection_class is not None:
        arguments["collection_class"] = prop.collection_class
    return relationship(target.version_class if target else prop.mapper.class_, **arguments)


class _Links:
    """The link rows of the past, each with the version of its target, as one selectable."""

    def __init__(self, rows: FromClause, moved: Place, to_target: ColumnElement[bool], lifetimes: list[str]) -> None:
        self.rows = rows
        self.moved = moved
        self.to_target = to_target
        self.lifetimes = lifetimes


def _links(prop: RelationshipProperty[Any], target: Blueprint | None) -> _Links:
    """Join an association's versions to those of its target, so that any loader can go over it."""
    secondary: Any = prop.secondary
    history = find_history(secondary) if isinstance(secondary, Table) else None
    if history is None and any(isinstance(t, Table) and find_history(t) for t in visitors.iterate(secondary)):
        raise NotKept(f"{secondary}, which joins rows whose past it would not show")
    source: Any = secondary if history is None else history.version_table
    link = staying(secondary) if history is None else moved_to_versions(history)
    columns = [column.label(f"link_{column.key}") for column in _kept(secondary, history, source)]
    lifetimes, joined = [], source
    if history is not None:
        columns += _lifetime("link", history, source)
        lifetimes.append("link")
    if target is not None:
        # The table of the target that the links refer to; a version in one of a hierarchy has one in each.
        linked = _linked(prop, target)
        versions = linked.version_table.alias("target")
        joined = source.join(
            versions, adapted(prop.secondaryjoin, link, moved_to_versions(linked, rows=versions), plain=True)
        )
        # A coercion, because with_parent() would take a column that descends from the target's for the target's own.
        keyed = [(name, versions.c[name]) for name in linked.key]
        columns += [type_coerce(column, column.type).label(f"target_{name}") for name, column in keyed]
        columns += _lifetime("target", linked, versions)
        lifetimes.append("target")
    wanted = []
    if history is not None:
        wanted.append(source.c[history.operation] != Operation.DELETE)
    if target is not None:
        wanted.append(versions.c[linked.operation] != Operation.DELETE)
    rows = select(*columns).select_from(joined).where(*wanted).subquery()

    def moved(column: Column[Any]) -> ColumnElement[Any] | None:
        return rows.c.get(f"link_{column.key}") if column.table is secondary else None

    if target is None:
        to_target = adapted(prop.secondaryjoin, moved, staying(prop.mapper), foreign_to=moved)
    else:
        now = linked.version_table
        pairs = [foreign(rows.c[f"target_{name}"]) == now.c[name] for name in linked.key]
        to_target = and_(*pairs, foreign(rows.c["target_begins"]) == now.c[linked.begins])
    return _Links(rows, moved, to_target, lifetimes)


def _kept(secondary: FromClause, history: TableHistory | None, source: FromClause) -> list[Any]:
    return list(secondary.c) if history is None else [source.c[name] for name in history.columns]


def _lifetime(name: str, history: TableHistory, versions: FromClause) -> list[Any]:
    begins = versions.c[history.begins]
    return [
        type_coerce(begins, begins.type).label(f"{name}_begins"),
        ends_of(history, versions).label(f"{name}_ends"),
    ]


def held(rows: FromClause, name: str, at: ColumnElement[Any]) -> ColumnElement[bool]:
    """Restrict link rows to those whose link, or target, held at a transaction."""
    begins, ends = rows.c[f"{name}_begins"], rows.c[f"{name}_ends"]
    return and_(begins <= at, or_(ends.is_(None), ends > at))


def _linked(prop: RelationshipProperty[Any], target: Blueprint) -> TableHistory:
    named = {element.table for element in visitors.iterate(prop.secondaryjoin) if isinstance(element, Column)}
    return next((history for history in target.histories if history.table in named), target.history)

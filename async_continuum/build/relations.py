"""Give a version class the relations of its model, each to what was alive at the version's transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Table, and_, inspect, literal_column, select, type_coerce
from sqlalchemy.orm import Mapper, RelationshipProperty, composite, foreign, relationship, remote, synonym
from sqlalchemy.sql import ColumnElement, FromClause, visitors

from async_continuum.build.blueprint import Blueprint, find_blueprint, find_history
from async_continuum.build.building import unite_with_below
from async_continuum.build.comparing import Compared
from async_continuum.build.concrete import united
from async_continuum.build.derived import Unavailable
from async_continuum.build.joins import (
    NotKept,
    Place,
    adapted,
    alive,
    alive_in,
    alive_of,
    either,
    moved_to_versions,
    staying,
)
from async_continuum.build.table import TableHistory
from async_continuum.build.version_class import has_own


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
    if not has_own(inspect(blueprint.version_class), name):
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
        if has_own(version_mapper, name) or _is_unavailable(name, blueprint.version_class):
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
        if not has_own(version_mapper, name) and set(parts) <= set(blueprint.attributes):
            version_mapper.add_property(name, composite(prop.composite_class, *parts))


def _alias(blueprint: Blueprint) -> None:
    """Add the synonyms of what has only now come to the version class: relations and composites."""
    version_mapper: Mapper[Any] = inspect(blueprint.version_class)
    synonyms: Any = inspect(blueprint.model).synonyms
    for name, prop in synonyms.items():
        if has_own(version_mapper, name):
            continue
        if version_mapper.has_property(prop.name):
            version_mapper.add_property(name, synonym(prop.name))
        else:
            reason = f"it is another name of {prop.name!r}, which history does not hold."
            setattr(blueprint.version_class, name, Unavailable(name, reason))


def _past(prop: RelationshipProperty[Any], blueprint: Blueprint) -> Any:
    local = _place(blueprint)
    target = find_blueprint(prop.mapper.class_)
    target = None if target is None or target.version_class is None else target
    begins: Any = inspect(blueprint.version_class).columns[blueprint.begins]
    if blueprint.histories:
        begins = blueprint.history.version_table.c[blueprint.begins]
    to = _place(target) if target else staying(prop.mapper)
    arguments: dict[str, Any] = {"viewonly": True, "uselist": prop.uselist, "comparator_factory": Compared}
    if prop.secondary is not None:
        links = _links(prop, blueprint, target)
        arguments |= {
            "secondary": links.rows,
            "primaryjoin": links.from_parent,
            "secondaryjoin": links.to_target,
        }
        ordered = either(to, links.moved)
    else:
        arguments["primaryjoin"] = adapted(prop.primaryjoin, local, to)
        if target is not None:
            arguments["primaryjoin"] = and_(arguments["primaryjoin"], _alive(target, begins))
        ordered = to
    if prop.order_by:
        arguments["order_by"] = [adapted(clause, ordered, ordered, strict=False) for clause in prop.order_by]
    if prop.collection_class is not None:
        arguments["collection_class"] = prop.collection_class
    return relationship(target.version_class if target else prop.mapper.class_, **arguments)


def _place(blueprint: Blueprint) -> Place:
    if blueprint.histories:
        return moved_to_versions(*blueprint.histories)
    # Both are read from unions of the same columns.
    live: Any = inspect(blueprint.model).local_table
    union: Any = inspect(blueprint.version_class).local_table
    return lambda column: union.c.get(column.key) if column.table is live else None


def _alive(target: Blueprint, at: ColumnElement[Any]) -> ColumnElement[bool]:
    if target.histories and (target.history.ends is not None or len(united(target)) < 2):
        return alive(target.history, at)
    # From the union of the tables, in which the end is a column under both strategies.
    unite_with_below(target)
    union: Any = inspect(target.version_class).with_polymorphic
    begins, ends, operation = (remote(union[1].c[name]) for name in (target.begins, target.ends, target.operation))
    return alive_of(begins, ends, operation, at)


class _Links:
    """The link rows of the past, each with every version of the parent that it held for, as one selectable."""

    def __init__(
        self, rows: FromClause, moved: Place, from_parent: ColumnElement[bool], to_target: ColumnElement[bool]
    ) -> None:
        self.rows = rows
        self.moved = moved
        self.from_parent = from_parent
        self.to_target = to_target


def _links(prop: RelationshipProperty[Any], blueprint: Blueprint, target: Blueprint | None) -> _Links:
    """Join an association's versions to those of the parent, so that the links say when they are asked for.

    A loader goes from the parent to the links, and from these to the target, which has to know that moment.
    """
    secondary: Any = prop.secondary
    history = find_history(secondary) if isinstance(secondary, Table) else None
    if history is None and any(isinstance(t, Table) and find_history(t) for t in visitors.iterate(secondary)):
        raise NotKept(f"{secondary}, which joins rows whose past it would not show")
    source: Any = secondary if history is None else history.version_table
    link = staying(secondary) if history is None else moved_to_versions(history)
    kept = secondary.c if history is None else [source.c[name] for name in history.columns]
    linking = _linked(prop.primaryjoin, blueprint)
    parents = linking.version_table.alias("ac_linking")
    at = parents.c[linking.begins]
    columns = [*_identity("parent", linking, parents), *(column.label(f"link_{column.key}") for column in kept)]
    joins = adapted(prop.primaryjoin, moved_to_versions(linking, rows=parents), link, plain=True)
    rows = select(*columns).join_from(parents, source, joins)
    if history is not None:
        rows = rows.where(alive_in(history, source, at))
    linked = None if target is None else _linked(prop.secondaryjoin, target)
    # Under 'subquery' the target's end is a SELECT of its own. In `secondaryjoin`, with_parent() would mistake the
    # table it is from for the parent's in here: where it stands beside the links, it is out of that reach.
    resolved = linked is not None and linked.ends is None
    if linked is not None and resolved:
        versions = linked.version_table.alias("ac_linked")
        joins = adapted(prop.secondaryjoin, link, moved_to_versions(linked, rows=versions), plain=True)
        rows = rows.join(versions, joins).where(alive_in(linked, versions, at))
        rows = rows.add_columns(*_identity("target", linked, versions))
    links = rows.subquery()

    def moved(column: Column[Any]) -> ColumnElement[Any] | None:
        return links.c.get(f"link_{column.key}") if column.table is secondary else None

    if linked is not None and resolved:
        to_target = _same("target", linked, links)
    elif target is not None:
        to = moved_to_versions(*target.histories)
        lives = alive_in(target.history, target.history.version_table, links.c.parent_begins)
        to_target = and_(adapted(prop.secondaryjoin, moved, to, foreign_to=moved), lives)
    else:
        to_target = adapted(prop.secondaryjoin, moved, staying(prop.mapper), foreign_to=moved)
    return _Links(links, moved, _same("parent", linking, links), to_target)


def _linked(joins: Any, blueprint: Blueprint) -> TableHistory:
    """Choose the table that the links refer to; a version in a hierarchy has one in each."""
    named = {element.table for element in visitors.iterate(joins) if isinstance(element, Column)}
    return next((history for history in blueprint.histories if history.table in named), blueprint.history)


def _identity(end: str, history: TableHistory, versions: FromClause) -> list[Any]:
    """Name what identifies a version at one end of a link.

    By a coercion, because with_parent() would take a column that descends from the target's for the target's own.
    """
    named = {name: versions.c[name] for name in history.key} | {"begins": versions.c[history.begins]}
    return [type_coerce(column, column.type).label(f"{end}_{name}") for name, column in named.items()]


def _same(end: str, history: TableHistory, links: FromClause) -> ColumnElement[bool]:
    now = history.version_table
    # An id that a query gives is not passed on to the links by this: PostgreSQL would go over all links of all versions
    # of a transaction, where it has no statistics of it, for each of them.
    begins = now.c[history.begins] + literal_column("0")
    named: dict[str, ColumnElement[Any]] = {**{name: now.c[name] for name in history.key}, "begins": begins}
    return and_(*(column == foreign(links.c[f"{end}_{name}"]) for name, column in named.items()))

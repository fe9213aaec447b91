"""Make the version classes of concrete classes polymorphic: read from the union of their tables, as the models are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Label, String, Table, cast, inspect, literal_column, null, select, union_all
from sqlalchemy.ext.declarative import AbstractConcreteBase
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import ColumnElement, FromClause, visitors

from async_continuum.build.blueprint import ATTRIBUTE, Blueprint, find_blueprint
from async_continuum.build.mapped import map_class, publish, unmap_class, withdraw
from async_continuum.declare import Settings

_PENDING = "__version_class_to_come__"


def is_abstract(mapper: Mapper[Any]) -> bool:
    """Say whether a class has no table and is mapped to the union of those below it."""
    return issubclass(mapper.class_, AbstractConcreteBase) and not isinstance(mapper.local_table, Table)


def is_united(mapper: Mapper[Any]) -> bool:
    """Say whether a class is read from a union of tables, each of a class of its own."""
    selectable = _union_of(mapper)
    return selectable is not None and getattr(mapper.polymorphic_on, "table", None) is selectable


def concrete_base(mapper: Mapper[Any], settings: Settings, base: type) -> type:
    """Give the class that the version class of a concrete class derives from: that of the class above it.

    ``base``, where the class above has none, or none that is versioned in the same way.
    """
    if not mapper.concrete:
        return base
    for each in mapper.class_.__mro__[1:]:
        known = find_blueprint(each)
        if known is not None and known.model is each:
            alike = known.version_class is not None and _is_alike(known.settings, settings)
            return known.version_class if alike else base
        if (
            issubclass(each, AbstractConcreteBase)
            and each is not AbstractConcreteBase
            and "__mapper__" not in vars(each)
        ):
            return _to_come(each, base)
    return base


def concrete_arguments(mapper: Mapper[Any], parent: type) -> dict[str, Any]:
    """Give the arguments by which a version class is as concrete as its model."""
    arguments: dict[str, Any] = {}
    if mapper.concrete or is_united(mapper):
        arguments["polymorphic_identity"] = mapper.polymorphic_identity
    if mapper.concrete:
        arguments["concrete"] = True
        if inspect(parent, raiseerr=False) is not None:
            arguments["inherits"] = parent
    return arguments


def unite(blueprint: Blueprint) -> None:
    """Let a version class be read from the version tables of all classes that its model is read from.

    Mappers are being configured: all of these are known.
    """
    mapper: Any = inspect(blueprint.model)
    if blueprint.version_class is None or not blueprint.histories or not is_united(mapper):
        return
    version_mapper: Any = inspect(blueprint.version_class)
    parts = united(blueprint)
    if _union_of(version_mapper) is not None or len(parts) < 2:
        return
    union = _union(parts, mapper.polymorphic_on.key)
    # Private: the classes below are declared after the class itself, as for SQLAlchemy's own ConcreteBase, which
    # goes this way.
    version_mapper._set_with_polymorphic(("*", union))
    version_mapper._set_polymorphic_on(union.c[mapper.polymorphic_on.key])


def united(blueprint: Blueprint) -> list[Blueprint]:
    """List the blueprints of all classes whose objects a select() of the class gives, each from its own table.

    Only of the class itself, where it is not concrete, or its model is not read from a union.
    """
    mapper: Mapper[Any] = inspect(blueprint.model)
    selectable = mapper.local_table if is_abstract(mapper) else _union_of(mapper)
    if selectable is None or not (is_united(mapper) or is_abstract(mapper)):
        return [blueprint]
    tables = {each for each in visitors.iterate(selectable) if isinstance(each, Table)}
    below = [find_blueprint(each.class_) for each in mapper.self_and_descendants if each.local_table in tables]
    return [
        each
        for each in below
        if each is not None
        and each.version_class is not None
        and issubclass(each.version_class, blueprint.version_class)
    ]


def own_rows(entity: Any, blueprint: Blueprint) -> list[ColumnElement[bool]]:
    """Restrict versions to those of the class itself, where a select() of it gives those of other tables as well.

    A key says nothing there: each of the tables counts on its own.
    """
    mapper: Any = inspect(blueprint.version_class)
    if not blueprint.histories or _union_of(mapper) is None or not is_united(mapper):
        return []
    asked: Any = inspect(entity)
    named = mapper.polymorphic_on if asked is mapper else asked.selectable.c[mapper.polymorphic_on.key]
    return [named == mapper.polymorphic_identity]


def build_abstract(mapper: Mapper[Any]) -> Blueprint | None:
    """Map the version class of a class without a table to the union of the version tables below it.

    None where no class below it keeps a history with a version class.
    """
    model: Any = mapper.class_
    named: Any = mapper.polymorphic_on
    version_class = vars(model).get(_PENDING)
    if version_class is None:
        return None
    below = [find_blueprint(each) for each in _below(model)]
    parts = [
        each
        for each in below
        if each is not None and each.version_class is not None and issubclass(each.version_class, version_class)
    ]
    if not parts:
        return None
    first = parts[0]
    discriminator: str = named.key
    union = _union(parts, discriminator)
    attributes = {
        prop.key: union.c[prop.columns[0].key]
        for prop in mapper.column_attrs
        if prop.columns[0].key in union.c and prop.columns[0].key != discriminator
    }
    own = {name: union.c[name] for name in (first.begins, first.ends, first.operation)}
    key = [union.c[column.key] for column in mapper.primary_key]
    properties = attributes | own | {discriminator: union.c[discriminator]}
    map_class(
        mapper.registry,
        version_class,
        union,
        properties=properties,
        include_properties=list(properties),
        primary_key=[*key, union.c[first.begins]],
        polymorphic_on=union.c[discriminator],
        polymorphic_abstract=True,
        with_polymorphic=("*", union),
    )
    publish(version_class, path=f"{model.__qualname__}.__blueprint__.version_class")
    for part in parts:
        version_mapper: Any = inspect(part.version_class)
        if version_mapper.inherits is None:
            # Private: what AbstractConcreteBase itself calls, because this class comes after those below it.
            version_mapper._set_concrete_base(inspect(version_class))
    blueprint = Blueprint(
        model=model,
        histories=(),
        version_class=version_class,
        transaction_class=first.transaction_class,
        settings=first.settings,
        attributes=tuple(attributes),
        key=tuple(mapper.get_property_by_column(column).key for column in mapper.primary_key),
        columns=frozenset(mapper.columns.keys()),
        width=0,
    )
    setattr(model, ATTRIBUTE, blueprint)
    setattr(version_class, ATTRIBUTE, blueprint)
    return blueprint


def detach_abstract(blueprint: Blueprint) -> None:
    """Undo `build_abstract`; the histories below it have gone before."""
    delattr(blueprint.model, ATTRIBUTE)
    delattr(blueprint.model, _PENDING)
    withdraw(blueprint.version_class)
    unmap_class(blueprint.version_class)


def forget_to_come(model: type) -> None:
    """Forget the version classes that were to come above a class, which has no history any more."""
    for each in model.__mro__[1:]:
        # Those that came are taken away by `detach_abstract`.
        if _PENDING in vars(each) and ATTRIBUTE not in vars(each):
            delattr(each, _PENDING)


def _to_come(model: type, base: type) -> type:
    """Make the version class of a class that is mapped after those below it; it is mapped by `build_abstract`."""
    if _PENDING not in vars(model):
        name = f"{model.__name__}Version"
        above = next(
            (_to_come(each, base) for each in model.__mro__[1:] if _has_no_table(each)),
            base,
        )
        made = type(
            name,
            (above,),
            {
                "__module__": model.__module__,
                "__qualname__": f"{model.__qualname__.rpartition('.')[0]}.{name}".lstrip("."),
                "__doc__": f"A version of a `{model.__name__}`, of whichever class below it.",
            },
        )
        setattr(model, _PENDING, made)
    found: type = vars(model)[_PENDING]
    return found


def _has_no_table(model: type) -> bool:
    return AbstractConcreteBase in model.__mro__[1:] and not isinstance(vars(model).get("__table__"), Table)


def _below(model: type) -> Iterable[type]:
    below: list[type] = model.__subclasses__()
    for each in below:
        yield each
        yield from _below(each)


def _is_alike(one: Settings, other: Settings) -> bool:
    names = ("transaction_column_name", "end_transaction_column_name", "operation_type_column_name")
    return all(getattr(one, name) == getattr(other, name) for name in (*names, "strategy"))


def _union_of(mapper: Mapper[Any]) -> FromClause | None:
    given: Any = mapper.with_polymorphic
    return None if given is None else given[1]


def _union(parts: Sequence[Blueprint], discriminator: str) -> Any:
    """Select the versions of all tables, with NULL for what one does not have, and the class that each is of."""
    types = {column.key: column.type for part in parts for column in part.own.version_table.c}
    selects = []
    for part in parts:
        versions = part.own.version_table
        columns: list[Any] = [
            versions.c[name] if name in versions.c else cast(null(), type_).label(name) for name, type_ in types.items()
        ]
        if part.own.ends is None:
            mapper: Any = inspect(part.version_class)
            ends = mapper.get_property(part.ends).columns[0]
            columns.append(_plain(ends).label(part.ends))
        identity: Any = inspect(part.model).polymorphic_identity
        # Written out, so that the database leaves out the tables of classes that are not asked for.
        quoted = "'" + identity.replace("'", "''") + "'" if isinstance(identity, str) else repr(identity)
        named = literal_column(quoted, String() if isinstance(identity, str) else None)
        selects.append(select(*columns, named.label(discriminator)))
    return union_all(*selects).alias("ac_versions")


def _plain(expression: Any) -> Any:
    return expression.element if isinstance(expression, Label) else expression

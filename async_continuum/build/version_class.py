"""Build the version class of a model: the same attributes, mapped to the version table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, and_, func, inspect, select
from sqlalchemy.ext.associationproxy import AssociationProxy
from sqlalchemy.ext.hybrid import hybrid_method, hybrid_property
from sqlalchemy.orm import InspectionAttr, Mapper, column_property, foreign, relationship
from sqlalchemy.orm.descriptor_props import ConcreteInheritedProperty

from async_continuum.build.concrete import concrete_arguments, is_united
from async_continuum.build.derived import Attributes, Unavailable, attributes_of, derived_from
from async_continuum.build.inheritance import inheritance_of, polymorphism_of
from async_continuum.build.mapped import map_class, publish
from async_continuum.build.table import TableHistory, ends_of
from async_continuum.declare import Settings, attribute_of


@dataclass(frozen=True, eq=False, slots=True)
class Above:
    """What was built of the class that a class inherits its rows from. Lives while a version class is built."""

    mapper: Mapper[Any]
    histories: Sequence[TableHistory]
    version_class: type


def build_version_class(
    mapper: Mapper[Any],
    histories: Sequence[TableHistory],
    settings: Settings,
    *,
    base: type,
    transaction_class: Any,
    above: Above | None,
) -> type:
    """Map a class called ``<Model>Version`` to the version table, in the model's registry.

    It is mapped imperatively, because deriving it from the user's Base would inherit whatever that Base does.
    """
    model = mapper.class_
    name = f"{model.__name__}Version"
    if settings.use_module_name:
        name = model.__module__.title().replace(".", "") + name
    parent = base if above is None else above.version_class
    version_class = type(
        name,
        (*(each for each in settings.base_classes if not issubclass(parent, each)), parent),
        {
            "__module__": model.__module__,
            "__qualname__": f"{model.__qualname__.rpartition('.')[0]}.{name}".lstrip("."),
            "__doc__": f"A version of `{model.__name__}`: its row as one transaction left it.",
            **dict(_hybrids(model)),
        },
    )
    properties = _properties(mapper, histories, settings, above, transaction_class)
    for attribute, prop in list(properties.items()):
        if isinstance(prop, Unavailable):
            setattr(version_class, attribute, properties.pop(attribute))
    arguments: dict[str, Any] = concrete_arguments(mapper, parent)
    if not is_united(mapper):
        arguments |= polymorphism_of(mapper, histories, properties)
    table: Any = histories[-1].version_table
    if above is not None:
        arguments |= inheritance_of(above.version_class, above.histories[-1], histories[-1])
        table = None if above.histories[-1] is histories[-1] else table
    map_class(
        mapper.registry,
        version_class,
        table,
        properties=properties,
        exclude_properties=_unmapped(histories, properties, above),
        **arguments,
    )
    publish(version_class, path=f"{model.__qualname__}.__blueprint__.version_class")
    return version_class


def add_missing(version_class: Any, mapper: Mapper[Any], histories: Sequence[TableHistory]) -> None:
    """Give a version class the columns that its model has got since both were declared."""
    version_mapper: Mapper[Any] = version_class.__mapper__
    # What a class above has got comes down by itself.
    own = {n: c for n, c in attributes_of(mapper, histories).items() if mapper.get_property(n).parent is mapper}
    for name, each in {**{n: _mapped(c) for n, c in own.items()}, **added_properties(histories, own)}.items():
        if not has_own(version_mapper, name):
            version_mapper.add_property(name, each)


def added_properties(histories: Sequence[TableHistory], attributes: Attributes) -> dict[str, Any]:
    """Name the attributes of what plugins have added: after the attribute that a column is about, where it is.

    Of a column that is about another one only with that one's attribute, which is among ``attributes``.
    """
    names = {column: name for name, columns in attributes.items() for column in columns}
    found: dict[str, list[Column[Any]]] = {}
    for history in reversed(histories):
        versions = history.version_table
        for each in history.added:
            key = each.column.key
            if each.beside is not None:
                about = names.get(versions.c[each.beside])
                if about is None:
                    continue
                key = about + key.removeprefix(each.beside)
            found.setdefault(key, []).append(versions.c[each.column.key])
    return {name: _mapped(columns) for name, columns in found.items()}


def add_derived(version_class: Any, mapper: Mapper[Any], histories: Sequence[TableHistory]) -> None:
    """Give a version class what has been derived on its model since both were declared."""
    version_mapper: Mapper[Any] = version_class.__mapper__
    for name, prop in derived_from(mapper, histories).items():
        if isinstance(prop, Unavailable):
            setattr(version_class, name, prop)
        elif not has_own(version_mapper, name):
            version_mapper.add_property(name, prop)


def has_own(mapper: Mapper[Any], name: str) -> bool:
    """Say whether a class has an attribute; what a concrete one hears of from the class above it is none of its own."""
    return mapper.has_property(name) and not isinstance(mapper.get_property(name), ConcreteInheritedProperty)


_DERIVED = (hybrid_property, hybrid_method, AssociationProxy)


def _hybrids(model: type) -> Iterator[tuple[str, Any]]:
    for cls in reversed(model.__mro__):
        for name, value in vars(cls).items():
            # The first look spares each attribute of each base class the second, which asks abstract classes.
            if isinstance(value, InspectionAttr) and isinstance(value, _DERIVED):
                yield name, value


def _properties(
    mapper: Mapper[Any],
    histories: Sequence[TableHistory],
    settings: Settings,
    above: Above | None,
    transaction_class: Any,
) -> dict[str, Any]:
    inherited = {} if above is None else attributes_of(above.mapper, above.histories)
    attributes = attributes_of(mapper, histories)
    own = {name: columns for name, columns in attributes.items() if inherited.get(name) != columns}
    properties: dict[str, Any] = {name: _mapped(columns) for name, columns in own.items()}
    properties |= added_properties(histories, own)
    relations: dict[str, Any] = {}
    if above is None:
        properties |= _own_properties(histories[0], settings)
        relations["transaction"] = _transaction(histories[0], transaction_class)
        relations["end_transaction"] = _end_transaction(histories[0], transaction_class)
    elif above.histories[-1] is not histories[-1]:
        properties[settings.transaction_column_name] = _mapped([h.version_table.c[h.begins] for h in histories[::-1]])
    relations["version_parent"] = _parent(mapper, histories[0])
    # A model attribute of the same name holds data, and data wins.
    taken = set(mapper.all_orm_descriptors.keys())
    free = {name: each for name, each in relations.items() if name not in taken}
    return properties | free | derived_from(mapper, histories)


def _mapped(columns: Sequence[Column[Any]]) -> Any:
    return columns[0] if len(columns) == 1 else column_property(*columns)


def _own_properties(history: TableHistory, settings: Settings) -> dict[str, Any]:
    versions = history.version_table
    ends = versions.c[history.ends] if history.ends is not None else column_property(ends_of(history, versions))
    return {
        settings.transaction_column_name: versions.c[history.begins],
        settings.end_transaction_column_name: ends,
        settings.operation_type_column_name: versions.c[history.operation],
    }


def _parent(mapper: Mapper[Any], history: TableHistory) -> Any:
    versions = history.version_table
    same = [foreign(a) == b for a, b in zip(history.key_of(versions), history.key_of(history.table), strict=True)]
    return relationship(mapper.class_, primaryjoin=and_(*same), viewonly=True, uselist=False)


def _transaction(history: TableHistory, transaction_class: Any) -> Any:
    begins = foreign(history.version_table.c[history.begins]) == transaction_class.__table__.c.id
    return relationship(transaction_class, primaryjoin=begins, viewonly=True, uselist=False)


def _end_transaction(history: TableHistory, transaction_class: Any) -> Any:
    versions, transaction_id = history.version_table, transaction_class.__table__.c.id
    if history.ends is not None:
        ended = foreign(versions.c[history.ends]) == transaction_id
        return relationship(transaction_class, primaryjoin=ended, viewonly=True, uselist=False)
    # Every version with the beginning of the one before it: looked up by key, where the condition says which.
    later, earlier = versions.alias("ac_later"), versions.alias("ac_earlier")
    same = [a == b for a, b in zip(history.key_of(earlier), history.key_of(later), strict=True)]
    before = select(func.max(earlier.c[history.begins])).where(
        *same, earlier.c[history.begins] < later.c[history.begins]
    )
    keys = [column.label(f"key_{place}") for place, column in enumerate(history.key_of(later))]
    following = select(
        *keys,
        later.c[history.begins].label("begins"),
        before.correlate(later).scalar_subquery().label("begins_before"),
    ).subquery("ac_following")
    joined = [foreign(following.c[f"key_{n}"]) == column for n, column in enumerate(history.key_of(versions))]
    return relationship(
        transaction_class,
        secondary=following,
        primaryjoin=and_(*joined, foreign(following.c.begins_before) == versions.c[history.begins]),
        secondaryjoin=foreign(following.c.begins) == transaction_id,
        viewonly=True,
        uselist=False,
    )


def _unmapped(histories: Sequence[TableHistory], properties: dict[str, Any], above: Above | None) -> list[Column[Any]]:
    mapped: set[Any] = set()
    for prop in properties.values():
        mapped |= {prop} if isinstance(prop, Column) else set(getattr(prop, "columns", ()))
    inherited: Any = None if above is None else inspect(above.version_class)
    return [
        column
        for history in histories
        for column in history.version_table.c
        if column not in mapped and (inherited is None or attribute_of(inherited, column) is None)
    ]

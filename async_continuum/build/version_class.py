"""Build the version class of a model: the same attributes, mapped to the version table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from sqlalchemy import Column, and_
from sqlalchemy.ext.associationproxy import AssociationProxy
from sqlalchemy.ext.hybrid import hybrid_method, hybrid_property
from sqlalchemy.orm import ColumnProperty, Mapper, SynonymProperty, column_property, foreign, relationship, synonym
from sqlalchemy.sql import ClauseElement, visitors
from sqlalchemy.sql.expression import SelectBase

from async_continuum.build.mapped import map_class, publish
from async_continuum.build.table import TableHistory, ends_of
from async_continuum.declare import Settings


class Unavailable:
    """Stands on a version class for an attribute of the model that has no past, and says why."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason

    def __get__(self, instance: object, owner: type) -> NoReturn:
        raise AttributeError(f"{owner.__name__}.{self.name} is not available: {self.reason}")


def attributes_of(mapper: Mapper[Any], history: TableHistory) -> dict[str, str]:
    """Map each attribute that history holds to the key of its column, without configuring mappers."""
    kept = set(history.columns)
    found = {}
    for column in mapper.columns:
        # A column_property's expression is no column of the table.
        if getattr(column, "table", None) is history.table and column.key in kept:
            found[mapper.get_property_by_column(column).key] = column.key
    return found


def build_version_class(
    mapper: Mapper[Any], history: TableHistory, settings: Settings, *, base: type, transaction_class: Any
) -> type:
    """Map a class called ``<Model>Version`` to the version table, in the model's registry.

    It is mapped imperatively, because deriving it from the user's Base would inherit whatever that Base does.
    """
    model = mapper.class_
    name = f"{model.__name__}Version"
    if settings.use_module_name:
        name = model.__module__.title().replace(".", "") + name
    version_class = type(
        name,
        (*settings.base_classes, base),
        {
            "__module__": model.__module__,
            "__qualname__": f"{model.__qualname__.rpartition('.')[0]}.{name}".lstrip("."),
            "__doc__": f"A version of `{model.__name__}`: its row as one transaction left it.",
            **dict(_hybrids(model)),
        },
    )
    attributes = attributes_of(mapper, history)
    properties: dict[str, Any] = {name: history.version_table.c[key] for name, key in attributes.items()}
    properties |= added_properties(history, attributes)
    properties |= _own_properties(history, settings)
    properties |= _relations(mapper, history, transaction_class, taken=set(mapper.all_orm_descriptors.keys()))
    derived = _derived(mapper, history, attributes)
    properties |= {name: prop for name, prop in derived.items() if not isinstance(prop, Unavailable)}
    for attribute, prop in derived.items():
        if isinstance(prop, Unavailable):
            setattr(version_class, attribute, prop)
    map_class(
        mapper.registry,
        version_class,
        history.version_table,
        properties=properties,
        exclude_properties=[column.key for column in _unmapped(history, properties)],
    )
    publish(version_class, path=f"{model.__qualname__}.__blueprint__.version_class")
    return version_class


def added_properties(history: TableHistory, attributes: dict[str, str]) -> dict[str, Column[Any]]:
    """Name the attributes of what plugins have added: after the attribute that a column is about, where it is."""
    names = {key: name for name, key in attributes.items()}
    found: dict[str, Column[Any]] = {}
    for each in history.added:
        key = each.column.key
        if each.beside is not None:
            key = names.get(each.beside, each.beside) + key.removeprefix(each.beside)
        found[key] = history.version_table.c[each.column.key]
    return found


def add_derived(version_class: Any, mapper: Mapper[Any], history: TableHistory) -> None:
    """Give a version class what has been derived on its model since both were declared."""
    version_mapper: Mapper[Any] = version_class.__mapper__
    for name, prop in _derived(mapper, history, attributes_of(mapper, history)).items():
        if isinstance(prop, Unavailable):
            setattr(version_class, name, prop)
        elif not version_mapper.has_property(name):
            version_mapper.add_property(name, prop)


def _hybrids(model: type) -> Iterator[tuple[str, Any]]:
    for cls in reversed(model.__mro__):
        for name, value in vars(cls).items():
            if isinstance(value, (hybrid_property, hybrid_method, AssociationProxy)):
                yield name, value


def _own_properties(history: TableHistory, settings: Settings) -> dict[str, Any]:
    versions = history.version_table
    ends = versions.c[history.ends] if history.ends is not None else column_property(ends_of(history, versions))
    return {
        settings.transaction_column_name: versions.c[history.begins],
        settings.end_transaction_column_name: ends,
        settings.operation_type_column_name: versions.c[history.operation],
    }


def _relations(
    mapper: Mapper[Any], history: TableHistory, transaction_class: Any, *, taken: set[str]
) -> dict[str, Any]:
    versions = history.version_table
    same = [foreign(a) == b for a, b in zip(history.key_of(versions), history.key_of(history.table), strict=True)]
    begins = foreign(versions.c[history.begins]) == transaction_class.__table__.c.id
    relations = {
        "transaction": relationship(transaction_class, primaryjoin=begins, viewonly=True, uselist=False),
        "version_parent": relationship(mapper.class_, primaryjoin=and_(*same), viewonly=True, uselist=False),
    }
    # A model attribute of the same name holds data, and data wins.
    return {name: relation for name, relation in relations.items() if name not in taken}


def _derived(mapper: Mapper[Any], history: TableHistory, attributes: dict[str, str]) -> dict[str, Any]:
    derived: dict[str, Any] = {}
    for name in mapper.all_orm_descriptors.keys():  # noqa: SIM118 - it is no dict
        prop = mapper.get_property(name) if mapper.has_property(name) else None
        if isinstance(prop, SynonymProperty):
            if prop.name in attributes:
                derived[name] = synonym(prop.name)
        elif isinstance(prop, ColumnProperty) and name not in attributes and not isinstance(prop.columns[0], Column):
            derived[name] = _past_expression(name, prop, history)
    return derived


def _past_expression(name: str, prop: ColumnProperty[Any], history: TableHistory) -> Any:
    expression = prop.columns[0]
    for element in visitors.iterate(expression):
        if isinstance(element, SelectBase):
            return Unavailable(name, "it is computed over other rows, whose past it would not show.")
        if isinstance(element, Column) and element.table is history.table and element.key not in history.columns:
            return Unavailable(name, f"it is computed from {element.key!r}, which history excludes.")

    def past(element: ClauseElement, **_: Any) -> ClauseElement | None:
        if isinstance(element, Column) and element.table is history.table:
            return history.version_table.c[element.key]
        return None

    return column_property(visitors.replacement_traverse(expression, {}, past))


def _unmapped(history: TableHistory, properties: dict[str, Any]) -> list[Column[Any]]:
    mapped = {prop for prop in properties.values() if isinstance(prop, Column)}
    return [column for column in history.version_table.c if column not in mapped]

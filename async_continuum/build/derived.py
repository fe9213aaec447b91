"""Say which attributes of a model its version class has: columns that history holds, and what is derived from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from sqlalchemy import Column
from sqlalchemy.orm import ColumnProperty, Mapper, SynonymProperty, column_property, synonym
from sqlalchemy.sql import ClauseElement, visitors
from sqlalchemy.sql.expression import SelectBase

from async_continuum.build.concrete import is_united
from async_continuum.build.table import TableHistory, past_column
from async_continuum.declare import attribute_of

Attributes = dict[str, tuple[Column[Any], ...]]


class Unavailable:
    """Stands on a version class for an attribute of the model that has no past, and says why."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason

    def __get__(self, instance: object, owner: type) -> NoReturn:
        raise AttributeError(f"{owner.__name__}.{self.name} is not available: {self.reason}")


def attributes_of(mapper: Mapper[Any], histories: Sequence[TableHistory]) -> Attributes:
    """Map each attribute that history holds to its columns in the version tables, without configuring mappers.

    One that names a column in several tables of a hierarchy, as the key does, has several.
    """
    found = {}
    for column in mapper.columns:
        name = attribute_of(mapper, column)
        if name is not None:
            # A column_property's expression is no column of a table.
            past = (past_column(each, histories) for each in mapper.get_property_by_column(column).columns)
            columns = tuple(each for each in past if each is not None)
            if columns:
                found[name] = columns
    return found


def derived_from(mapper: Mapper[Any], histories: Sequence[TableHistory]) -> dict[str, Any]:
    """Give what a version class has of its model's synonyms and expressions; `Unavailable` for those without a past."""
    attributes = attributes_of(mapper, histories)
    derived: dict[str, Any] = {}
    for name in mapper.all_orm_descriptors.keys():  # noqa: SIM118 - it is no dict
        prop = mapper.get_property(name) if mapper.has_property(name) else None
        if prop is None or prop.parent is not mapper:
            continue
        if isinstance(prop, SynonymProperty):
            if prop.name in attributes:
                derived[name] = synonym(prop.name)
        elif is_united(mapper) and prop is _naming(mapper):
            # Of which class a row of a union is, the union of the versions says.
            continue
        elif isinstance(prop, ColumnProperty) and name not in attributes and not isinstance(prop.columns[0], Column):
            derived[name] = _past_expression(name, prop, histories)
    return derived


def _naming(mapper: Mapper[Any]) -> Any:
    named = attribute_of(mapper, mapper.polymorphic_on)
    return None if named is None else mapper.get_property(named)


def _past_expression(name: str, prop: ColumnProperty[Any], histories: Sequence[TableHistory]) -> Any:
    expression = prop.columns[0]
    tables = {history.table for history in histories}
    for element in visitors.iterate(expression):
        if isinstance(element, SelectBase):
            return Unavailable(name, "it is computed over other rows, whose past it would not show.")
        table = getattr(element, "table", None)
        if table is not None and table not in tables:
            return Unavailable(name, f"it is of {getattr(table, 'name', table)!r}, which is no table of its class.")
        if isinstance(element, Column) and past_column(element, histories) is None:
            return Unavailable(name, f"it is computed from {element.key!r}, which history excludes.")

    def past(element: ClauseElement, **_: Any) -> ClauseElement | None:
        return past_column(element, histories) if isinstance(element, Column) else None

    return column_property(visitors.replacement_traverse(expression, {}, past))

"""Let version classes inherit from one another as their models do, and load one another's objects."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Column, and_
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import ClauseElement, visitors

from async_continuum.build.table import TableHistory, past_column
from async_continuum.declare import attribute_of, parent_of
from async_continuum.errors import ImproperlyConfigured


def inheritance_of(version_class: type, above: TableHistory, own: TableHistory) -> dict[str, Any]:
    """Give the arguments by which a version class's mapper inherits from ``version_class``, joined to its table."""
    if above is own:
        return {"inherits": version_class}
    upper, lower = above.version_table, own.version_table
    pairs = [*zip(own.key_of(lower), above.key_of(upper), strict=True), (lower.c[own.begins], upper.c[above.begins])]
    return {
        "inherits": version_class,
        "inherit_condition": and_(*(one == other for one, other in pairs)),
        "inherit_foreign_keys": [one for one, _ in pairs],
    }


def polymorphism_of(
    mapper: Mapper[Any], histories: Sequence[TableHistory], properties: Collection[str]
) -> dict[str, Any]:
    """Give the arguments by which versions are objects of the class that their rows name, as the model's are.

    Raises `ImproperlyConfigured` where the column that names it is excluded from history.
    """
    parent = parent_of(mapper)
    arguments: dict[str, Any] = {}
    if mapper.polymorphic_on is None or (mapper.concrete and not _is_of_its_rows(mapper)):
        return arguments
    if parent is None or parent.polymorphic_on is None:
        # By its attribute where it has one: SQLAlchemy would make another of that name.
        name = attribute_of(mapper, mapper.polymorphic_on)
        arguments["polymorphic_on"] = name if name in properties else _past(mapper, histories)
    if mapper.with_polymorphic is not None and mapper.with_polymorphic == ("*", None):
        arguments["with_polymorphic"] = "*"
    if mapper.polymorphic_identity is not None:
        arguments["polymorphic_identity"] = mapper.polymorphic_identity
    if mapper.polymorphic_abstract:
        arguments["polymorphic_abstract"] = True
    if parent is not None:
        # A version is whole, also where it was asked for by the class above: under asyncio nothing can be loaded later.
        # Columns of one table cost nothing, but "inline" reaches only the class right above; SQLAlchemy's loader by IN
        # wants the class to be named by a column.
        far = not mapper.single or parent_of(parent) is not None
        apart = far and isinstance(mapper.polymorphic_on, Column)
        arguments["polymorphic_load"] = mapper.polymorphic_load or ("selectin" if apart else "inline")
    return arguments


def _is_of_its_rows(mapper: Mapper[Any]) -> bool:
    """Say whether a concrete class's own rows name their class, rather than the union that it is read from."""
    named = [each for each in visitors.iterate(mapper.polymorphic_on) if isinstance(each, Column)]
    return bool(named) and all(each.table is mapper.local_table for each in named)


def _past(mapper: Mapper[Any], histories: Sequence[TableHistory]) -> Any:
    tables = {history.table for history in histories}

    def past(element: ClauseElement, **_: Any) -> ClauseElement | None:
        if not isinstance(element, Column) or element.table not in tables:
            return None
        found = past_column(element, histories)
        if found is None:
            raise ImproperlyConfigured(
                f"option 'exclude' names {element.name!r}, by which rows say of which class they are: "
                "a version needs it as well.",
                model=mapper.class_,
                option="exclude",
            )
        return found

    return visitors.replacement_traverse(mapper.polymorphic_on, {}, past)

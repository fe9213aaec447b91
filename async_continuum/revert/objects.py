"""Make one live object what a version says, or bring it back under its old key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import inspect, null, select
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import flag_modified, set_attribute
from sqlalchemy.types import TypeEngine

from async_continuum.build import Blueprint
from async_continuum.read import same_stored
from async_continuum.revert.values import copied, is_settable


def settable(blueprint: Blueprint) -> dict[str, TypeEngine[Any]]:
    """Give the attributes that an UPDATE sets back, each with the type of its column."""
    mapper: Mapper[Any] = inspect(blueprint.model)
    names = [name for name in blueprint.attributes if name not in blueprint.key and is_settable(name, mapper)]
    return {name: mapper.columns[name].type for name in names}


def differences(live: Any, stored: Any, types: Mapping[str, TypeEngine[Any]]) -> list[str]:
    """List the attributes in which a live object, loaded, is stored differently from a version."""
    return [name for name, t in types.items() if not same_stored(getattr(live, name), getattr(stored, name), t)]


def set_back(live: Any, stored: Any, names: Iterable[str]) -> None:
    """Give a live object, loaded, the values of a version that differ."""
    columns: Any = inspect(live).mapper.columns
    for name in names:
        present, value = getattr(live, name), getattr(stored, name)
        if present is not None and value is not None and columns[name].type.compare_values(present, value):
            # Equal to Python and stored differently, as 1.0 and 1.00 are: the ORM would not send it.
            flag_modified(live, name)
        set_attribute(live, name, copied(value))


def born_again(stored: Any, blueprint: Blueprint) -> tuple[Any, list[str]]:
    """Make a new object of a version; with it, the attributes that hold SQL until it is flushed."""
    # As the ORM's own loading does it: the object existed before, so its __init__ has nothing to say.
    mapper: Mapper[Any] = inspect(blueprint.model)
    live = mapper.class_manager.new_instance()
    in_sql: dict[str, Any] = {}
    for name in blueprint.attributes:
        column = mapper.columns[name]
        if name not in blueprint.key and not is_settable(name, mapper):
            continue
        value: Any = getattr(stored, name)
        if value is None and (column.default is not None or column.server_default is not None):
            # The ORM takes None on an INSERT for "not set", and would store the default.
            in_sql[name] = null()
        elif value is None and column.type.should_evaluate_none:
            # NULL and the JSON value null are both None to Python: what is stored is copied on the server.
            in_sql[name] = _stored_value(stored, name, blueprint)
        else:
            set_attribute(live, name, copied(value))
    # Past the events of the attributes: a mutable type would refuse SQL.
    inspect(live).dict.update(in_sql)
    return live, list(in_sql)


def reconstruct(objects: Iterable[Any]) -> None:
    """Call what their classes have marked as `reconstructor`, of objects whose ``__init__`` nobody has called."""
    for live in objects:
        # Private: SQLAlchemy calls it of what a query loads, and tells nobody else which it is.
        method = inspect(live).mapper._reconstructor
        if method is not None:
            method(live)


def _stored_value(stored: Any, name: str, blueprint: Blueprint) -> Any:
    version_class = blueprint.version_class
    same = [getattr(version_class, each) == getattr(stored, each) for each in (*blueprint.key, blueprint.begins)]
    return select(inspect(version_class).columns[name]).where(*same).scalar_subquery()

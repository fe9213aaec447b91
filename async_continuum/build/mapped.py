"""Map a class of ours in the registry of the user's models, and take it out again."""

from __future__ import annotations

import sys
from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Mapper, registry


def mappers_of(known: registry) -> list[Mapper[Any]]:
    """List the mappers of a registry in a stable order, without the classes whose mapping has failed."""
    # Private: registry.mappers raises where one class was not mapped.
    found = [manager.mapper for manager in list(known._managers) if manager.is_mapped]
    # A class comes after those from which it inherits.
    return sorted(found, key=lambda mapper: (len(list(mapper.iterate_to_root())), mapper.class_.__qualname__))


def map_class(
    known: registry, cls: type, table: Table | None, *, known_as: str | None = None, **arguments: Any
) -> None:
    """Map a class imperatively; in relationships it is found by ``known_as`` only, or by a name of ours."""
    # The registry takes the name that the class has when it is mapped. A class of the user's own may have it as well.
    name, cls.__name__ = cls.__name__, known_as or _ours(cls)
    try:
        known.map_imperatively(cls, table, **arguments)
    finally:
        cls.__name__ = name


def map_declared(known: registry, cls: type, *, known_as: str) -> None:
    """Map a class by what it declares; in relationships it is found by ``known_as`` only."""
    name, cls.__name__ = cls.__name__, known_as
    try:
        known.map_declaratively(cls)
    finally:
        cls.__name__ = name


def unmap_class(cls: Any, *, known_as: str | None = None) -> None:
    """Take a class out of its registry, as `registry.dispose` does for all classes at once."""
    mapper: Mapper[Any] = cls.__mapper__
    known, instrumented = mapper.registry, mapper.class_manager
    name, cls.__name__ = cls.__name__, known_as or _ours(cls)
    # Private: the public way disposes of the user's own mappers too.
    known._managers.pop(instrumented, None)
    known._dispose_manager_and_mapper(instrumented)
    cls.__name__ = name


def _ours(cls: type) -> str:
    return f"_AsyncContinuum{cls.__name__}"


def publish(cls: type, *, path: str) -> None:
    """Let pickle find a class: in its module, or by ``path`` from the module where that has the name already."""
    module = sys.modules.get(cls.__module__)
    if "." not in cls.__qualname__ and module is not None and not hasattr(module, cls.__name__):
        setattr(module, cls.__name__, cls)
    else:
        cls.__qualname__ = path


def withdraw(cls: type) -> None:
    """Undo `publish`."""
    module = sys.modules.get(cls.__module__)
    if module is not None and vars(module).get(cls.__name__) is cls:
        delattr(module, cls.__name__)

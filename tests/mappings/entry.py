"""What one entry of the table of mappings is: how it is declared, and the values of its life."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase

from async_continuum import VersioningManager, make_versioned, remove_versioning
from tests.kit import mode

Values = Mapping[str, Any]
BOTH = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class Entry:
    """One mapping. Lives as long as the test run."""

    name: str
    declare: Callable[[Any], Any]
    """Declares the classes on a Base, and gives the one that is lived."""
    new: Values
    change: Values
    backends: tuple[str, ...] = BOTH
    reason: str = ""
    """Why it is left out on the other backends."""
    options: Values = field(default_factory=dict)
    """Options of `make_versioned`."""
    base: Callable[[], Any] | None = None
    """Makes a Base of another style."""
    scope: Callable[[Any], type] | None = None
    """Gives what `make_versioned` is given as mapper, where that is not the Base."""
    key: tuple[Any, ...] = (1,)
    translate: Mapping[str | None, str | None] = field(default_factory=dict)
    """The `schema_translate_map` of its engine."""
    extension: str | None = None
    """What the server must have: the entry is skipped where it has not, and says so."""
    returns: bool = True
    """Whether it can be inserted again under its key, rather than only brought back by a revert."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An entry as it is declared under one strategy. Lives for one test."""

    entry: Entry
    model: Any
    manager: VersioningManager
    metadata: MetaData


TABLE: dict[str, Entry] = {}


def mapping(name: str, *, new: Values, change: Values, **more: Any) -> Callable[[Callable[[Any], Any]], None]:
    """Put a mapping into the table."""

    def put(declare: Callable[[Any], Any]) -> None:
        assert name not in TABLE, f"there are two entries called {name!r}"
        TABLE[name] = Entry(name, declare, new, change, **more)

    return put


def new_base() -> Any:
    """Make a plain declarative base."""

    class Base(AsyncAttrs, DeclarativeBase):
        pass

    return Base


@contextmanager
def declared(entry: Entry, strategy: str, *, when: Literal["after", "before"] = "after") -> Iterator[Subject]:
    """Declare an entry on a Base of its own, versioned by a manager of its own, and take both away afterwards.

    `when` says whether the models are declared after `make_versioned`, or before.
    """
    base = (entry.base or new_base)()
    options: Any = mode.options(strategy=strategy, **entry.options)
    manager = VersioningManager()
    model = entry.declare(base) if when == "before" else None
    try:
        scope = entry.scope(base) if entry.scope else base
        make_versioned(mapper=scope, manager=manager, options=options, user_cls=None)
        model = entry.declare(base) if when == "after" else model
        yield Subject(entry, model, manager, base.metadata)
    finally:
        remove_versioning(manager=manager)

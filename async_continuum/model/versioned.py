"""What a live object of a versioned class offers: the query of its versions."""

from __future__ import annotations

from typing import Any, ClassVar, Self, TypeVar

from sqlalchemy import inspect
from sqlalchemy.orm import InstanceState

from async_continuum.build import Blueprint, blueprint_of
from async_continuum.declare import Options, Settings, read_options
from async_continuum.errors import ImproperlyConfigured
from async_continuum.model.version import Version
from async_continuum.read import AnySession, VersionQuery, is_transient, key_of, session_of

M = TypeVar("M")


class Versioned:
    """Mix this into a mapped class, and its history is kept. Options go into ``__versioned__``."""

    __versioned__: ClassVar[Options] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__versioned__" in cls.__dict__:
            read_options(cls.__versioned__, defaults=Settings(), model=cls)

    def awaitable_versions(self, session: AnySession | None = None) -> VersionQuery[Version[Self]]:
        """Give the query of this object's versions, oldest first, in its own session or in ``session``; no IO yet.

        Raises `NoSession`, and `ClassNotVersioned` where no manager covers the class.
        """
        return awaitable_versions(self, session)


def require_version_class(blueprint: Blueprint) -> Any:
    """Give the version class of a model. Raises `ImproperlyConfigured` where only its table is kept."""
    if blueprint.version_class is None:
        raise ImproperlyConfigured(
            "it has no version class, because of the option create_models=False: query version_table() instead.",
            model=blueprint.model,
            option="create_models",
        )
    return blueprint.version_class


def awaitable_versions(self: M, session: AnySession | None = None) -> VersionQuery[Version[M]]:
    """Give the query of an object's versions, oldest first; no IO yet.

    An object that was never stored has none, and needs no session for it. Raises `NoSession`.
    """
    blueprint = blueprint_of(self)
    require_version_class(blueprint)
    if type(self) is blueprint.version_class:
        source = session_of(self, session)
        return VersionQuery(lambda: source, blueprint, key_of(self))
    state: InstanceState[Any] = inspect(self)
    if session is None and is_transient(self):
        return VersionQuery(lambda: session_of(self), blueprint, state)
    found = session_of(self, session)
    return VersionQuery(lambda: found, blueprint, state)

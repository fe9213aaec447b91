"""Take the user's own ``Transaction`` class: one to be mapped with our columns, or one that is mapped already."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table, inspect
from sqlalchemy.orm import registry

from async_continuum.build.types import UtcDateTime
from async_continuum.errors import ImproperlyConfigured

_OPTION = "transaction_cls"
_TAKEN = "async_continuum.taken_over"


def given_class(given: Any, known: registry, base: type) -> type | None:
    """Read the option ``transaction_cls``: a class, or a function that gives one for a registry."""
    if given is None:
        return None
    chosen = given if isinstance(given, type) else given(known)
    if not (isinstance(chosen, type) and issubclass(chosen, base)):
        raise ImproperlyConfigured(
            f"option 'transaction_cls' gives {chosen!r}: derive the class from {base.__name__}.", option=_OPTION
        )
    return chosen


def take_over(cls: Any, known: registry) -> Any:
    """Use a class that the user has mapped, with a table of the user's own. Raises `ImproperlyConfigured`."""
    mapper = inspect(cls)
    if mapper.registry is not known:
        raise _refused(cls, "it stands in another registry than the models: give a function, registry -> class.")
    table = mapper.local_table
    if not isinstance(table, Table) or [column.key for column in mapper.primary_key] != ["id"]:
        raise _refused(cls, "its primary key must be one column, id.")
    if "issued_at" not in table.c or not isinstance(table.c.issued_at.type, UtcDateTime):
        raise _refused(cls, "it needs a column issued_at of the type UtcDateTime.")
    # An id that was handed out must never come back, or two commits would merge under one.
    table.dialect_options["sqlite"]["autoincrement"] = True
    table.info[_TAKEN] = True
    cls.__versioned_models__ = []
    return cls


def is_taken_over(cls: Any) -> bool:
    """Say whether a transaction class is the user's own, and its table too."""
    return _TAKEN in cls.__table__.info


def give_back(cls: Any) -> None:
    """Undo `take_over`."""
    del cls.__table__.info[_TAKEN], cls.__versioned_models__


def _refused(cls: type, problem: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"option 'transaction_cls': {problem}", model=cls, option=_OPTION)

"""Built: columns -> version table -> version class; the transaction model; ends in a frozen `Blueprint`."""

from async_continuum.build.blueprint import (
    Blueprint,
    blueprint_of,
    blueprints_of,
    build,
    complete,
    detach,
    extend,
    find_blueprint,
    history_of,
)
from async_continuum.build.identity import identity_of, key_after_flush
from async_continuum.build.mapped import mappers_of
from async_continuum.build.table import TableHistory, ends_of, resolve_types
from async_continuum.build.transaction import add_user, build_transaction_class, remove_transaction_class
from async_continuum.build.types import OperationType, UtcDateTime

__all__ = [
    "Blueprint",
    "OperationType",
    "TableHistory",
    "UtcDateTime",
    "add_user",
    "blueprint_of",
    "blueprints_of",
    "build",
    "build_transaction_class",
    "complete",
    "detach",
    "ends_of",
    "extend",
    "find_blueprint",
    "history_of",
    "identity_of",
    "key_after_flush",
    "mappers_of",
    "remove_transaction_class",
    "resolve_types",
]

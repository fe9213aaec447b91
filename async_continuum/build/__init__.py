"""Built: columns -> version table -> version class; the transaction model; ends in a frozen `Blueprint`."""

from async_continuum.build.blueprint import (
    ATTRIBUTE,
    Blueprint,
    blueprint_of,
    blueprint_of_object,
    blueprints_of,
    find_blueprint,
    find_history,
    history_of,
)
from async_continuum.build.building import (
    build,
    complete,
    detach,
    extend,
    forget_statements,
    unite_with_below,
)
from async_continuum.build.cascades import Cascade, cascades
from async_continuum.build.concrete import build_abstract, detach_abstract, is_abstract, own_rows, united
from async_continuum.build.conditions import condition_on
from async_continuum.build.identity import identity_of, key_after_flush
from async_continuum.build.joins import alive_in
from async_continuum.build.kept import kept_rows
from async_continuum.build.links import LinkBlueprint, build_link, detach_link, has_late_secondary, secondaries
from async_continuum.build.mapped import map_class, mappers_of, unmap_class
from async_continuum.build.names import fit
from async_continuum.build.relations import expect_relation, relate
from async_continuum.build.table import TableHistory, ends_of, resolve_types
from async_continuum.build.targets import past_targets
from async_continuum.build.transaction import (
    add_user,
    build_transaction_class,
    forget_table,
    needs_user,
    remove_transaction_class,
)
from async_continuum.build.twins import live_rows, may_have_twins
from async_continuum.build.types import DELETE_IN_SQL, OperationType, UtcDateTime, transaction_id_type

__all__ = [
    "ATTRIBUTE",
    "DELETE_IN_SQL",
    "Blueprint",
    "Cascade",
    "LinkBlueprint",
    "OperationType",
    "TableHistory",
    "UtcDateTime",
    "add_user",
    "alive_in",
    "blueprint_of",
    "blueprint_of_object",
    "blueprints_of",
    "build",
    "build_abstract",
    "build_link",
    "build_transaction_class",
    "cascades",
    "complete",
    "condition_on",
    "detach",
    "detach_abstract",
    "detach_link",
    "ends_of",
    "expect_relation",
    "extend",
    "find_blueprint",
    "find_history",
    "fit",
    "forget_statements",
    "forget_table",
    "has_late_secondary",
    "history_of",
    "identity_of",
    "is_abstract",
    "kept_rows",
    "key_after_flush",
    "live_rows",
    "map_class",
    "mappers_of",
    "may_have_twins",
    "needs_user",
    "own_rows",
    "past_targets",
    "relate",
    "remove_transaction_class",
    "resolve_types",
    "secondaries",
    "transaction_id_type",
    "unite_with_below",
    "united",
    "unmap_class",
]

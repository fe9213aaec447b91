"""Typed: what a model, a live object and a version offer to the user's code, each handed on to its room."""

from async_continuum.model.lookup import (
    alive_at,
    changes_between,
    changeset,
    changesets,
    count_versions,
    deleted,
    end_tx_column_name,
    is_modified,
    is_modified_or_deleted,
    is_session_modified,
    is_versioned,
    parent_class,
    transaction_class,
    tx_column_name,
    version_class,
    version_table,
    versioned_objects,
    versions_of,
)
from async_continuum.model.transaction import TransactionBase
from async_continuum.model.version import Version
from async_continuum.model.versioned import Versioned, awaitable_versions

__all__ = [
    "TransactionBase",
    "Version",
    "Versioned",
    "alive_at",
    "awaitable_versions",
    "changes_between",
    "changeset",
    "changesets",
    "count_versions",
    "deleted",
    "end_tx_column_name",
    "is_modified",
    "is_modified_or_deleted",
    "is_session_modified",
    "is_versioned",
    "parent_class",
    "transaction_class",
    "tx_column_name",
    "version_class",
    "version_table",
    "versioned_objects",
    "versions_of",
]

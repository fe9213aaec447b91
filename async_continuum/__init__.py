"""Versioning and auditing for SQLAlchemy 2 on asyncio.

The rooms, in the order in which a change walks through them: ``declare`` (a model says what is kept), ``build`` (its
history tables and classes), ``record`` (what a flush changed, and who did it), ``write`` (version rows, set-based) or
``native`` (by triggers of the database), ``read`` (moments, versions, changesets), ``past`` (a session as of a moment),
``revert`` (a version becomes the present), ``maintain`` (backfill, vacuum, verify), ``plugins`` (what is written beside
versions), ``model`` (the typed methods of models and versions), ``manager`` (switches it all on and off). ``dialects``
holds what databases do differently. A room imports only rooms below it, and only through their ``__init__``. Above the
roof, imported by nobody in the house: ``schema`` (the data steps of migrations) and ``ext`` (what joins it to web
servers and to Alembic).
"""

from async_continuum.build import OperationType, UtcDateTime
from async_continuum.declare import GlobalOptions, Options
from async_continuum.errors import (
    ClassNotVersioned,
    ColumnNotVersioned,
    ImproperlyConfigured,
    NoSession,
    ReadOnlySession,
    RevertError,
    UnrecordedStatement,
    VersioningError,
)
from async_continuum.maintain import Discrepancy
from async_continuum.manager import (
    PendingChange,
    VersioningManager,
    backfill,
    current_transaction,
    get_versioning_manager,
    make_versioned,
    remove_versioning,
    vacuum,
    verify,
    versioning_manager,
)
from async_continuum.model import (
    TransactionBase,
    Version,
    Versioned,
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
from async_continuum.operation import Change, Operation
from async_continuum.past import ChangesBetween, EntityChange, as_of
from async_continuum.read import VersionQuery, changed_entities
from async_continuum.record import set_context, versioning_context, versioning_disabled

__version__ = "0.1.0"

__all__ = [
    "Change",
    "ChangesBetween",
    "ClassNotVersioned",
    "ColumnNotVersioned",
    "Discrepancy",
    "EntityChange",
    "GlobalOptions",
    "ImproperlyConfigured",
    "NoSession",
    "Operation",
    "OperationType",
    "Options",
    "PendingChange",
    "ReadOnlySession",
    "RevertError",
    "TransactionBase",
    "UnrecordedStatement",
    "UtcDateTime",
    "Version",
    "VersionQuery",
    "Versioned",
    "VersioningError",
    "VersioningManager",
    "alive_at",
    "as_of",
    "backfill",
    "changed_entities",
    "changes_between",
    "changeset",
    "changesets",
    "count_versions",
    "current_transaction",
    "deleted",
    "end_tx_column_name",
    "get_versioning_manager",
    "is_modified",
    "is_modified_or_deleted",
    "is_session_modified",
    "is_versioned",
    "make_versioned",
    "parent_class",
    "remove_versioning",
    "set_context",
    "transaction_class",
    "tx_column_name",
    "vacuum",
    "verify",
    "version_class",
    "version_table",
    "versioned_objects",
    "versioning_context",
    "versioning_disabled",
    "versioning_manager",
    "versions_of",
]

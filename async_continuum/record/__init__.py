"""Recorded: what did this flush change, who did it, and why?"""

from async_continuum.record.changes import (
    FlushChanges,
    Key,
    ModelChanges,
    TableChanges,
    changes_of_table,
    key_will_change,
    moved_along,
)
from async_continuum.record.context import (
    Context,
    IfStored,
    context_of,
    is_anything_disabled,
    is_disabled,
    set_context,
    under,
    versioning_context,
    versioning_disabled,
)
from async_continuum.record.resolving import meta_values, transaction_values

__all__ = [
    "Context",
    "FlushChanges",
    "IfStored",
    "Key",
    "ModelChanges",
    "TableChanges",
    "changes_of_table",
    "context_of",
    "is_anything_disabled",
    "is_disabled",
    "key_will_change",
    "meta_values",
    "moved_along",
    "set_context",
    "transaction_values",
    "under",
    "versioning_context",
    "versioning_disabled",
]

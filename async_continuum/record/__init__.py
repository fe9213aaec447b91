"""Recorded: what did this flush change, who did it, and why?"""

from async_continuum.record.changes import FlushChanges, Key, ModelChanges, TableChanges, key_will_change
from async_continuum.record.context import (
    Context,
    context_of,
    is_anything_disabled,
    is_disabled,
    set_context,
    transaction_values,
    versioning_context,
    versioning_disabled,
)

__all__ = [
    "Context",
    "FlushChanges",
    "Key",
    "ModelChanges",
    "TableChanges",
    "context_of",
    "is_anything_disabled",
    "is_disabled",
    "key_will_change",
    "set_context",
    "transaction_values",
    "versioning_context",
    "versioning_disabled",
]

"""Added to what is recorded: the hook base, and one file for each built-in plugin."""

from async_continuum.declare import AddedColumn
from async_continuum.plugins.active import Plugins, read_plugins
from async_continuum.plugins.activity import ActivityBase, ActivityPlugin
from async_continuum.plugins.base import Flushed, Plugin, Signing
from async_continuum.plugins.building import TransactionBuild
from async_continuum.plugins.null_delete import NullDeletePlugin
from async_continuum.plugins.property_mod import PropertyModTrackerPlugin
from async_continuum.plugins.references import Related
from async_continuum.plugins.request import RequestPlugin, current_request
from async_continuum.plugins.transaction_changes import TransactionChangesPlugin
from async_continuum.plugins.transaction_meta import TransactionMetaPlugin
from async_continuum.write import Copying, Rows, Writing

__all__ = [
    "ActivityBase",
    "ActivityPlugin",
    "AddedColumn",
    "Copying",
    "Flushed",
    "NullDeletePlugin",
    "Plugin",
    "Plugins",
    "PropertyModTrackerPlugin",
    "Related",
    "RequestPlugin",
    "Rows",
    "Signing",
    "TransactionBuild",
    "TransactionChangesPlugin",
    "TransactionMetaPlugin",
    "Writing",
    "current_request",
    "read_plugins",
]

"""Switched on and off: the manager, the only room that listens to SQLAlchemy's events."""

from async_continuum.manager.choosing import PendingChange
from async_continuum.manager.manager import VersioningManager
from async_continuum.manager.setup import (
    all_managers,
    complete_metadata,
    current_transaction,
    get_versioning_manager,
    make_versioned,
    remove_versioning,
    versioning_manager,
)
from async_continuum.manager.triggers import refuse_unfit
from async_continuum.manager.upkeep import backfill, vacuum, verify

__all__ = [
    "PendingChange",
    "VersioningManager",
    "all_managers",
    "backfill",
    "complete_metadata",
    "current_transaction",
    "get_versioning_manager",
    "make_versioned",
    "refuse_unfit",
    "remove_versioning",
    "vacuum",
    "verify",
    "versioning_manager",
]

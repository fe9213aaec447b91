"""Read: moments, the query of an entity's versions, neighbours, changesets, transactions."""

from async_continuum.read.changeset import (
    Changeset,
    changeset_of,
    changesets,
    diff,
    difference,
    pending_changeset,
    same_stored,
)
from async_continuum.read.eagerly import ask_with_one_parameter
from async_continuum.read.held import refresh_held
from async_continuum.read.moment import Moment, alive, aware, bound, key_of, transaction_id_of
from async_continuum.read.neighbours import index_of, neighbour
from async_continuum.read.query import VersionQuery, not_below_0
from async_continuum.read.source import AnySession, is_transient, key_from, require_async, require_sync, session_of
from async_continuum.read.transaction import TransactionBase, changed_entities

__all__ = [
    "AnySession",
    "Changeset",
    "Moment",
    "TransactionBase",
    "VersionQuery",
    "alive",
    "ask_with_one_parameter",
    "aware",
    "bound",
    "changed_entities",
    "changeset_of",
    "changesets",
    "diff",
    "difference",
    "index_of",
    "is_transient",
    "key_from",
    "key_of",
    "neighbour",
    "not_below_0",
    "pending_changeset",
    "refresh_held",
    "require_async",
    "require_sync",
    "same_stored",
    "session_of",
    "transaction_id_of",
]

"""Written: changes -> a handful of set-based statements, run inside the flush."""

from async_continuum.write.ledger import Ledger, Ledgers, Place
from async_continuum.write.pieces import Pieces
from async_continuum.write.transactions import drop_if_empty, logger, move_versions, new_transaction
from async_continuum.write.versions import Target, renumber, settle, write_gone, write_live

__all__ = [
    "Ledger",
    "Ledgers",
    "Pieces",
    "Place",
    "Target",
    "drop_if_empty",
    "logger",
    "move_versions",
    "new_transaction",
    "renumber",
    "settle",
    "write_gone",
    "write_live",
]

"""Written: changes -> a handful of set-based statements, run inside the flush."""

from async_continuum.write.beside import Rows, Writing, companions, drop_orphans, kept_by
from async_continuum.write.compiled import OWN
from async_continuum.write.copying import Copying
from async_continuum.write.holding import HELD, held
from async_continuum.write.ledger import Ledger, Ledgers, Place
from async_continuum.write.pieces import TX, Pieces
from async_continuum.write.transactions import drop_if_empty, logger, move_versions, new_transaction, overtaken
from async_continuum.write.versions import Target, renumber, settle, write_followers, write_gone, write_live

__all__ = [
    "HELD",
    "OWN",
    "TX",
    "Copying",
    "Ledger",
    "Ledgers",
    "Pieces",
    "Place",
    "Rows",
    "Target",
    "Writing",
    "companions",
    "drop_if_empty",
    "drop_orphans",
    "held",
    "kept_by",
    "logger",
    "move_versions",
    "new_transaction",
    "overtaken",
    "renumber",
    "settle",
    "write_followers",
    "write_gone",
    "write_live",
]

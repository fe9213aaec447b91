"""Declared: "keep the history of this model": its options, and what its mapper says about itself."""

from async_continuum.declare.extras import COMPANIONS, NOTHING, AddedColumn, Companion, Extras
from async_continuum.declare.mapping import declared_options, kept_columns, key_columns, versioned_table
from async_continuum.declare.options import GlobalOptions, Options, Settings, Strategy, read_options

__all__ = [
    "COMPANIONS",
    "NOTHING",
    "AddedColumn",
    "Companion",
    "Extras",
    "GlobalOptions",
    "Options",
    "Settings",
    "Strategy",
    "declared_options",
    "kept_columns",
    "key_columns",
    "read_options",
    "versioned_table",
]

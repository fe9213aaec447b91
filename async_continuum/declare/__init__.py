"""Declared: "keep the history of this model": its options, and what its mapper says about itself."""

from async_continuum.declare.mapping import declared_options, kept_columns, key_columns, versioned_table
from async_continuum.declare.options import GlobalOptions, OnTruncate, Options, Settings, Strategy, read_options

__all__ = [
    "GlobalOptions",
    "OnTruncate",
    "Options",
    "Settings",
    "Strategy",
    "declared_options",
    "kept_columns",
    "key_columns",
    "read_options",
    "versioned_table",
]

"""Declared: "keep the history of this model": its options, and what its mapper says about itself."""

from async_continuum.declare.extras import COMPANIONS, NOTHING, AddedColumn, Companion, Extras
from async_continuum.declare.lineage import attribute_of, key_columns, lineage, parent_of, versioned_table
from async_continuum.declare.mapping import (
    decided_columns,
    declared_options,
    kept_columns,
    refuse_inherited,
    refuse_past_default,
    settings_of,
)
from async_continuum.declare.options import GlobalOptions, OnTruncate, Options, Settings, Strategy, read_options

__all__ = [
    "COMPANIONS",
    "NOTHING",
    "AddedColumn",
    "Companion",
    "Extras",
    "GlobalOptions",
    "OnTruncate",
    "Options",
    "Settings",
    "Strategy",
    "attribute_of",
    "decided_columns",
    "declared_options",
    "kept_columns",
    "key_columns",
    "lineage",
    "parent_of",
    "read_options",
    "refuse_inherited",
    "refuse_past_default",
    "settings_of",
    "versioned_table",
]

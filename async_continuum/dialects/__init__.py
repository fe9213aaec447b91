"""What each database can do: keys in one parameter, rows compared as stored, its own clock."""

from async_continuum.dialects.beginning import begin_now, begins_by_itself, has_begun
from async_continuum.dialects.clock import clock, shortly_after, shortly_before
from async_continuum.dialects.compare import differs
from async_continuum.dialects.keys import AnyKeys, Fresh, Key, Keys, MarkedKeys, each_once, fresh_part, keys_for
from async_continuum.dialects.marks import Marks, SettingMarks, TableMarks, marks_for, name_on

__all__ = [
    "AnyKeys",
    "Fresh",
    "Key",
    "Keys",
    "MarkedKeys",
    "Marks",
    "SettingMarks",
    "TableMarks",
    "begin_now",
    "begins_by_itself",
    "clock",
    "differs",
    "each_once",
    "fresh_part",
    "has_begun",
    "keys_for",
    "marks_for",
    "name_on",
    "shortly_after",
    "shortly_before",
]

"""What each database can do: keys in one parameter, rows compared as stored, its own clock."""

from async_continuum.dialects.clock import clock, shortly_after, shortly_before
from async_continuum.dialects.compare import differs
from async_continuum.dialects.keys import Key, Keys, keys_for

__all__ = ["Key", "Keys", "clock", "differs", "keys_for", "shortly_after", "shortly_before"]

"""Maintained: begin history late, take repetitions out of it, and prove that it accounts for everything."""

from async_continuum.maintain.backfill import backfill_table
from async_continuum.maintain.vacuum import vacuum_table
from async_continuum.maintain.verify import Discrepancy, verify_table

__all__ = ["Discrepancy", "backfill_table", "vacuum_table", "verify_table"]

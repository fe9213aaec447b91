"""Maintained: begin history late, take repetitions out of it, and prove that it accounts for everything."""

from async_continuum.maintain.backfill import Range, claim, count_rows, ranges
from async_continuum.maintain.begin import begin, is_plain, lacks
from async_continuum.maintain.progress import Progress, telling
from async_continuum.maintain.repair import mend_chains, record_orphans
from async_continuum.maintain.vacuum import vacuum_table
from async_continuum.maintain.verify import Discrepancy, verify_table

__all__ = [
    "Discrepancy",
    "Progress",
    "Range",
    "begin",
    "claim",
    "count_rows",
    "is_plain",
    "lacks",
    "mend_chains",
    "ranges",
    "record_orphans",
    "telling",
    "vacuum_table",
    "verify_table",
]

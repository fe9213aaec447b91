"""Keep what history says: write the triggers that refuse to change it, but for what recording itself has to change."""

from __future__ import annotations

from async_continuum.native.plan import TriggerPlan
from async_continuum.native.text import EQ, Words, literal

GUARDS = ("guard_update", "guard_delete", "guard_truncate")
"""The names of the triggers on a version table that only grows."""

_CURRENT = "pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8"


def guard_function(plan: TriggerPlan) -> str:
    """Write the body that refuses to change a version which an earlier transaction has written or ended."""
    w = Words(plan)
    refuse = f"""RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
        MESSAGE = {literal(f"async_continuum: the history of {plan.fullname} is append-only.")};"""
    mine = [_is_mine(f"OLD.{w.begins}")]
    if plan.ends is not None:
        # An end may be moved by the transaction that has set it; one that was overtaken has no row any more.
        mine.append(_is_mine(f"OLD.{w.ends}"))
        gone = f"NOT EXISTS (SELECT FROM @@transactions@@ t WHERE t.id {EQ} OLD.{w.ends})"
        mine.append(f"(TG_OP {EQ} 'UPDATE' AND {gone} AND {_is_mine(f'NEW.{w.ends}')})")
    return f"""
BEGIN
    IF TG_OP {EQ} 'TRUNCATE' THEN
        {refuse}
    ELSIF {" OR ".join(mine)} THEN
        RETURN CASE WHEN TG_OP {EQ} 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    {refuse}
END"""


def _is_mine(signed: str) -> str:
    # A row that is seen, and whose transaction still runs, is of this transaction, or of a savepoint in it. A row has
    # only the lower 32 bits of that id; savepoints have ids somewhat later than their transaction's.
    latest = f"({_CURRENT} OPERATOR(pg_catalog.+) 100000)"
    age = f"pg_catalog.mod({latest} OPERATOR(pg_catalog.-) t.xmin::pg_catalog.text::pg_catalog.int8, 4294967296)"
    whole = f"({latest} OPERATOR(pg_catalog.-) {age})::pg_catalog.text::pg_catalog.xid8"
    running = f"pg_catalog.pg_xact_status({whole}) {EQ} 'in progress'"
    return f"EXISTS (SELECT FROM @@transactions@@ t WHERE t.id {EQ} {signed} AND {running})"

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


def refuse_another(plan: TriggerPlan) -> str:
    """Write the check that the transaction which a setting names is the running one; any role may set settings."""
    return f"""
        IF NOT {_is_mine("ac_tx")} THEN
            RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = pg_catalog.concat(
                {literal(f"async_continuum: the history of {plan.fullname} is append-only, and transaction ")}, ac_tx,
                ' is not the running one.'
            );
        END IF;"""


def _is_mine(signed: str) -> str:
    # A row that is seen, and whose transaction still runs, is of this transaction, or of a savepoint in it, which has a
    # later id, however much later. A row has only the lower 32 bits of it; one that is billions of transactions old
    # may look as if it were of the future, and PostgreSQL raises for an id that it has not given yet.
    whole = "4294967296"
    behind = f"pg_catalog.mod(t.xmin::pg_catalog.text::pg_catalog.int8 OPERATOR(pg_catalog.-) {_CURRENT}, {whole})"
    ahead = f"pg_catalog.mod({behind} OPERATOR(pg_catalog.+) {whole}, {whole})"
    newest = "pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.int8"
    given = f"({newest} OPERATOR(pg_catalog.-) {_CURRENT} OPERATOR(pg_catalog.+) 1000000)"
    later = f"({_CURRENT} OPERATOR(pg_catalog.+) {ahead})::pg_catalog.text::pg_catalog.xid8"
    running = f"""CASE WHEN {ahead} {EQ} 0 THEN true
            WHEN {ahead} OPERATOR(pg_catalog.<) {given} THEN pg_catalog.pg_xact_status({later}) {EQ} 'in progress'
            ELSE false END"""
    return f"EXISTS (SELECT FROM @@transactions@@ t WHERE t.id {EQ} {signed} AND {running})"

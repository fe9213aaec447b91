"""Write what triggers do where the rows of a statement may not be what is stored, or not what others have stored."""

from __future__ import annotations

from hashlib import blake2s

from async_continuum.native.text import GT, NE, Words, literal

_DEPTH = "pg_catalog.pg_trigger_depth()"


def is_turned(w: Words) -> str:
    """Say whether a trigger of the user's own may have changed rows of the table since, while this statement ran.

    It may have turned them back to what their versions say, of which nothing is recorded then, and so nothing tells.
    """
    return f"pg_catalog.length(pg_catalog.current_setting({_setting(w)}, true)) {GT} {_DEPTH}"


def note_depth(w: Words) -> str:
    """Note how deep in triggers the table was written, as so many dots, until the end of the transaction."""
    return f"""
    IF {_DEPTH} {GT} 1 THEN
        PERFORM pg_catalog.set_config({_setting(w)}, pg_catalog.repeat('.', {_DEPTH}), true);
    END IF;"""


def require_current(w: Words, rows: str) -> str:
    """Fail, for the transaction to be repeated, where a younger one has ended rows that the snapshot still shows.

    Only at REPEATABLE READ and above: an INSERT of a key that another transaction has deleted is no conflict to
    PostgreSQL, but the old row is seen beside the new one, and its version as open.
    """
    if w.plan.ends is not None:
        # To lock a version that has been closed since is such a conflict.
        locked = f"SELECT FROM ONLY {w.versions} v WHERE {w.same('v', 'n')} AND v.{w.ends} IS NULL FOR NO KEY UPDATE"
        check = f"PERFORM FROM {rows} n CROSS JOIN LATERAL ({locked}) v;"
    elif w.plan.twins is None:
        twice = f"(SELECT FROM {w.live} l WHERE {w.same('l', 'n')} LIMIT 1 OFFSET 1) twice"
        check = f"""IF EXISTS (SELECT FROM {rows} n CROSS JOIN LATERAL {twice}) THEN
            RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
                MESSAGE = 'could not serialize access due to concurrent delete';
        END IF;"""
    else:
        return ""
    return f"""
    IF pg_catalog.current_setting('transaction_isolation') {NE} 'read committed' THEN
        {check}
    END IF;"""


def _setting(w: Words) -> str:
    table = f"{w.plan.versions_schema}.{w.plan.versions}"
    return literal(f"async_continuum.nested_{blake2s(table.encode(), digest_size=4).hexdigest()}")

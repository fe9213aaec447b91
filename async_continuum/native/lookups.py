"""Write how the versions of a row are looked up.

By LATERAL queries with a LIMIT, which PostgreSQL runs as one look-up in the primary key for each row: the plans are
kept for the life of a connection, and one that was made for a statement of many rows (a hash of the whole version
table) must not serve a statement of one.

Nor by an equality with the running transaction's id. The statistics of the table end before it, so that it looks as if
the transaction had one version, and the index on ``transaction_id`` were the way to it: each look-up would go over all
that the transaction has written. Of an entity, the newest version is its own, or it has none.
"""

from __future__ import annotations

from async_continuum.native.text import EQ, GT, LT, Words


def newest(w: Words, fields: str, *, before: str | None = None) -> str:
    """Look up the newest version of ``n``, or the newest that begins before a transaction; as ``b``."""
    if before is None and w.plan.ends is not None:
        return f"(SELECT {fields} FROM ONLY {w.versions} b WHERE {w.same('b', 'n')} AND b.{w.ends} IS NULL LIMIT 1) b"
    earlier = "" if before is None else f" AND b.{w.begins} {LT} {before}"
    return (
        f"(SELECT {fields} FROM ONLY {w.versions} b WHERE {w.same('b', 'n')}{earlier}"
        f" ORDER BY b.{w.begins} DESC LIMIT 1) b"
    )


def own(w: Words, fields: str, operation: str = "") -> str:
    """Look up the version of ``n`` that this transaction has written already; as ``own``.

    Or only one whose ``operation`` is, or is not, what is said: an operator and its right side.
    """
    return written(w, w.same("own", "n"), fields, "own", operation)


def written(w: Words, same: str, fields: str, name: str, operation: str = "") -> str:
    """Look up the version that this transaction has written of the entity which ``same`` says; as ``name``."""
    found = f"{fields}, {name}.{w.begins} AS ac_begins, {name}.{w.operation} AS ac_operation"
    last = f"SELECT {found} FROM ONLY {w.versions} {name} WHERE {same} ORDER BY {name}.{w.begins} DESC LIMIT 1"
    only = f" AND {name}.ac_operation {operation}" if operation else ""
    return f"(SELECT {name}.* FROM ({last}) {name} WHERE {name}.ac_begins {EQ} ac_tx{only}) {name}"


def younger(w: Words) -> str:
    """Look up whether a younger transaction has written the newest version of ``n``."""
    last = f"SELECT v.{w.begins} AS begins FROM ONLY {w.versions} v WHERE {w.same('v', 'n')}"
    return f"(SELECT FROM ({last} ORDER BY v.{w.begins} DESC LIMIT 1) v WHERE v.begins {GT} ac_tx) younger"

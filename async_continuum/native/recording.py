"""Write what a trigger does with the rows of one statement: the same net history as a recorded flush leaves.

Each part goes over ``rows``, which the function sees as ``n``: a transition table or a query over one.
"""

from __future__ import annotations

from async_continuum.native.beside import name_class
from async_continuum.native.lookups import newest, own, younger
from async_continuum.native.text import EQ, LT, NE, Words


def says_something(w: Words, rows: str) -> str:
    """Whether any of the live ``rows`` is not stored as its newest version says."""
    b = newest(w, f"b.{w.operation} AS operation, {w.differs('b', 'n')} AS differs")
    return (
        f"EXISTS (SELECT FROM {rows} n LEFT JOIN LATERAL {b} ON true"
        f" WHERE b.operation IS NULL OR b.operation {EQ} 2 OR b.differs)"
    )


def give_way(w: Words, rows: str) -> str:
    """Take a later id where a younger transaction has changed one of the rows and committed."""
    closed = (
        f"(SELECT v.ctid AS at FROM ONLY {w.versions} v WHERE {w.same('v', 'n')} AND v.{w.ends} {EQ} ac_before LIMIT 1)"
    )
    # Versions that were closed by this statement have no successor yet by which they could be found.
    follow = "" if w.plan.ends is None else f"{update_ends(w, rows, f'CROSS JOIN LATERAL {closed} b', 'ac_tx')};"
    return f"""
    IF EXISTS (SELECT FROM {rows} n CROSS JOIN LATERAL {younger(w)}) THEN
        ac_before := ac_tx;
        ac_tx := @@overtaken@@(ac_before);
        {follow}
    END IF;"""


def close(w: Words, rows: str, condition: str) -> str:
    """Close the open versions of earlier transactions under a condition on ``b``.

    The newest, where writers before the library came have left more of them open.
    """
    found = (
        f"(SELECT b.ctid AS at FROM ONLY {w.versions} b WHERE {w.same('b', 'n')} AND b.{w.ends} IS NULL"
        f" AND b.{w.begins} {LT} ac_tx AND {condition} ORDER BY b.{w.begins} DESC LIMIT 1)"
    )
    return f"{update_ends(w, rows, f'CROSS JOIN LATERAL {found} b', 'ac_tx')};"


def close_one(w: Words, condition: str) -> str:
    """Close the open version of the row ``ac_n``."""
    return (
        f"UPDATE ONLY {w.versions} AS b SET {w.ends}=ac_tx WHERE {w.same('b', 'ac_n')} AND b.{w.ends} IS NULL"
        f" AND b.{w.begins} {LT} ac_tx AND {condition};"
    )


def update_ends(w: Words, rows: str, found: str, value: str, where: str = "") -> str:
    """Set the ends of the versions that are ``found`` as ``b.at``."""
    return (
        f"UPDATE ONLY {w.versions} AS v SET {w.ends}={value}"
        f" WHERE v.ctid {EQ} ANY (ARRAY(SELECT b.at FROM {rows} n {found}{where}))"
    )


def _insert(w: Words, selected: str, operation: str, rows: str, where: str = "") -> str:
    # An entity that this transaction has inserted stays an INSERT, whatever it does to it afterwards.
    merged = f"CASE WHEN own.{w.operation} {EQ} 0 THEN 0 ELSE {operation} END"
    return f"""
    INSERT INTO {w.versions} AS own ({w.target})
    {selected}
    ON CONFLICT ({w.key_of_conflict}) DO UPDATE SET {w.replaced}, {w.operation}={merged}{where};
    IF FOUND THEN
        ac_taken := false;{name_class(w, rows)}
    END IF;"""


def write_live(w: Words, rows: str, hint: str, *, inserted: bool = False, joined: str = "", where: str = "true") -> str:
    """Write versions of live rows that no earlier version holds.

    ``hint`` is the operation of a row without any earlier version. A row that was ``inserted`` may have an UPDATE of
    this transaction already, where a trigger of the user's own has changed it before this one is called.
    """
    last = f"b.{w.ends} AS ends" if w.plan.ends else f"{w.differs('b', 'n')} AS differs"
    b = newest(w, f"b.{w.operation} AS operation, {last}{w.compared}", before="ac_tx")
    if w.plan.ends is not None:
        # What differed has been closed: an open one says already what is stored.
        unsaid, mine = "(b.operation IS NULL OR b.ends IS NOT NULL)", ""
    else:
        mine = f"LEFT JOIN LATERAL {own(w, 'true AS found')} ON true"
        unsaid = f"(b.operation IS NULL OR b.operation {EQ} 2 OR b.differs OR own.found)"
    operation = f"CASE WHEN b.operation IS NULL THEN {hint} WHEN b.operation {EQ} 2 THEN 0 ELSE 1 END"
    selected = f"""SELECT {w.of("n")}, ac_tx, {operation}{w.changed}
    FROM {rows} n {joined} LEFT JOIN LATERAL {b} ON true {mine}
    WHERE {unsaid} AND {where}"""
    merged = f"CASE WHEN own.{w.operation} {EQ} 1 THEN excluded.{w.operation} ELSE 1 END" if inserted else "1"
    return _insert(w, selected, merged, rows)


def write_gone(w: Words, rows: str, *, deleted: bool) -> str:
    """Write DELETE versions of rows that are gone, but for those that history knows to be gone.

    The values of rows that were ``deleted`` are the last ones; of others, a DELETE may know later ones.
    """
    mine = own(w, "true AS found")
    b = newest(w, f"b.{w.operation} AS operation{f', b.{w.ends} AS ends' if w.plan.ends else ''}", before="ac_tx")
    known = f"b.operation {EQ} 2 AND own.found IS NULL"
    selected = f"""SELECT {w.gone("n")}, ac_tx, 2{w.all_changed}
    FROM {rows} n LEFT JOIN LATERAL {b} ON true LEFT JOIN LATERAL {mine} ON true
    WHERE ({known}) IS NOT TRUE"""
    return _insert(w, selected, "2", rows, "" if deleted else f" WHERE own.{w.operation} {NE} 2")


def settle(w: Words, rows: str, futile: str) -> str:
    """Take away versions of this transaction that say nothing any more, and open again what they had closed."""
    reopen = ""
    if w.plan.ends is not None:
        closed = newest(w, f"b.ctid AS at, b.{w.ends} AS ends", before="ac_tx")
        found = f"CROSS JOIN LATERAL {closed} LEFT JOIN LATERAL {own(w, 'true AS found')} ON true"
        where = f" WHERE b.ends {EQ} ac_tx AND own.found IS NULL"
        reopen = f"{update_ends(w, rows, found, 'NULL', where)};"
    return f"""
    DELETE FROM ONLY {w.versions} AS v WHERE v.ctid {EQ} ANY (ARRAY({futile}));
    IF FOUND THEN
        {reopen}
        ac_taken := true;
    END IF;"""


def settle_live(w: Words, rows: str) -> str:
    """Take away versions of rows that are where they began."""
    b = newest(w, f"b.{w.operation} AS operation, {w.differs('b', 'n')} AS differs", before="ac_tx")
    return settle(
        w,
        rows,
        f"SELECT own.at FROM {rows} n CROSS JOIN LATERAL {own(w, 'own.ctid AS at', f'{NE} 0')}"
        f" CROSS JOIN LATERAL {b} WHERE b.operation {NE} 2 AND NOT b.differs",
    )


def settle_gone(w: Words, rows: str) -> str:
    """Take away versions of rows that this transaction has made itself."""
    return settle(
        w,
        rows,
        f"SELECT own.at FROM {rows} n CROSS JOIN LATERAL {own(w, 'own.ctid AS at', f'{EQ} 0')}",
    )


def gone_among(w: Words, rows: str) -> str:
    """Restrict rows to those whose key nobody bears any more: one may have moved where another one was."""
    lives = f"(SELECT true AS found FROM {w.live} l WHERE {w.same('l', 'r')} LIMIT 1) l"
    once = f"DISTINCT ON ({w.of('r', w.plan.key)}) {w.of('r')}"
    going = f"(SELECT {once} FROM {w.only(rows, going=True)} r LEFT JOIN LATERAL {lives} ON true WHERE l.found IS NULL"
    # A row of an association table links nothing where an end of it is NULL.
    return f"{going})" if w.plan.twins is None else f"{going} AND ROW({w.of('r', w.plan.key)}) IS NOT NULL)"


def stored_among(w: Words, rows: str) -> str:
    """Give each of the ``rows`` once, as it is stored now.

    Cascades that reach a row by several ways leave it in a transition table several times, and triggers of the user's
    own may have changed it since.
    """
    order = "" if w.plan.twins is None else f" ORDER BY {w.of('l', w.plan.twins) if w.plan.twins else 'l.ctid'}"
    wanted = w.wanted("l")
    these = f"{w.same('l', 'r')} AND {wanted}" if wanted else w.same("l", "r")
    first = f"(SELECT {w.of('l')} FROM {w.live} l WHERE {these}{order} LIMIT 1) l"
    keys = f"(SELECT DISTINCT {w.of('r', w.plan.key)} FROM {rows} r) r"
    return f"(SELECT {w.of('l')} FROM {keys} CROSS JOIN LATERAL {first})"


def close_changed(w: Words, rows: str) -> str:
    """Close the open versions of live rows that are stored otherwise now, or live again."""
    if w.plan.ends is None:
        return ""
    return "\n    " + close(w, rows, f"(b.{w.operation} {EQ} 2 OR {w.differs('b', 'n')})")


def record_gone(w: Words, rows: str, *, deleted: bool) -> str:
    """Version rows that are gone: all that there is to do with them."""
    closed = "" if w.plan.ends is None else close(w, rows, f"b.{w.operation} {NE} 2")
    return f"\n    {closed}{write_gone(w, rows, deleted=deleted)}{settle_gone(w, rows)}"


def take(anything: str = "") -> str:
    """Sign the running transaction, where there is something to record; without a condition, there is."""
    unless = (
        f"""
        IF NOT ({anything}) THEN
            RETURN NULL;
        END IF;"""
        if anything
        else ""
    )
    # Late: by now this transaction holds the locks on its rows.
    return f"""
    IF ac_tx IS NULL THEN{unless}
        ac_tx := @@take@@();
        ac_taken := true;
    END IF;"""

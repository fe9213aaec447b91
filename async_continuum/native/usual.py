"""Write the shorter ways for what happens nearly always: rows that have an open version, which ends now.

A row alone goes by a variable, as the ORM sends a thousand statements in a flush of a thousand objects: to go over a
transition table once more costs a twentieth of what it costs to record the row.

They hold for rows that have kept their keys. Where a row has come to a key that history says is another's (a trigger
of the user's own, or a part of the same statement, has deleted that one), a setting of the transaction says so, and
its deletions look whether anybody bears the key.
"""

from __future__ import annotations

from async_continuum.native import lookups as look
from async_continuum.native import recording as part
from async_continuum.native.beside import name_class
from async_continuum.native.text import EQ, NE, Words

_MOVED = "async_continuum.moved"


def note_arrivals(w: Words, rows: str) -> str:
    """Note that some of the inserted ``rows`` have come to keys that history says are alive."""
    if w.plan.ends is None:
        return ""
    alive = look.newest(w, f"b.{w.operation} AS operation")
    return f"""
    IF EXISTS (SELECT FROM {rows} n CROSS JOIN LATERAL {alive} WHERE b.operation {NE} 2) THEN
        {_note}
    END IF;"""


def update(w: Words) -> str:
    """Record rows that were updated, and return; or go on, where a row has no open version or another key."""
    rows, key = w.only("new_rows"), w.of("r", w.plan.key)
    many = one = f"SELECT {w.of('n')}, ac_tx, 1{w.changed} FROM {rows} n"
    if w.plan.flags:
        compared = look.newest(w, f"b.{w.operation} AS operation{w.compared}", before="ac_tx")
        many = one = f"{many} CROSS JOIN LATERAL {compared}"
    else:
        one = f"SELECT {w.of('ac_n')}, ac_tx, 1"
    kept_key = f"PERFORM FROM old_rows o WHERE {w.same('o', 'ac_n')}"
    anything = f"ac_moved OR {part.says_something(w, rows)}"
    return f"""{_alone("old_rows")} THEN
        SELECT {w.of("n")} INTO ac_n FROM {rows} n;
        IF ac_tx IS NOT NULL THEN
            {kept_key};
        ELSE
            -- A row that is what it was shall give the transaction no id.
            {kept_key} AND {w.differs_from_one("o")};
        END IF;
        IF FOUND THEN{part.take()}
            {part.close_one(w, f"b.{w.operation} {NE} 2 AND {w.differs_from_one('b')}")}
            IF FOUND THEN
                {_insert(w, one)};{name_class(w, rows)}
                RETURN NULL;
            END IF;
        END IF;
    END IF;
    ac_moved := EXISTS (SELECT {key} FROM old_rows r EXCEPT SELECT {key} FROM new_rows r);{part.take(anything)}
    {part.close(w, rows, f"b.{w.operation} {NE} 2 AND {w.differs('b', 'n')}")}
    GET DIAGNOSTICS ac_closed = ROW_COUNT;
    {_insert(w, many)} WHERE NOT ac_moved AND {_all_closed(rows)};
    IF FOUND THEN{name_class(w, rows)}
        RETURN NULL;
    END IF;
    IF ac_moved THEN
        {_note}
    END IF;"""


def delete(w: Words) -> str:
    """Record rows that were deleted, and return; or go on, where one has no open version, or is there again."""
    rows = w.only("old_rows", going=True)
    one, many = (f"SELECT {w.gone(n)}, ac_tx, 2{w.all_changed}" for n in ("ac_n", "n"))
    return f"""
    ac_moved := pg_catalog.current_setting('{_MOVED}', true) {NE} '';{_alone("old_rows")} AND ac_moved IS NOT TRUE THEN
        SELECT {w.of("n")} INTO ac_n FROM {rows} n;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;{part.take()}
        {part.close_one(w, f"b.{w.operation} {NE} 2")}
        IF FOUND THEN
            {_insert(w, one)};{name_class(w, rows)}
            RETURN NULL;
        END IF;
    END IF;{part.take(f"EXISTS (SELECT FROM {rows} o)")}
    IF ac_moved IS NOT TRUE THEN
        {part.close(w, rows, f"b.{w.operation} {NE} 2")}
        GET DIAGNOSTICS ac_closed = ROW_COUNT;
        {_insert(w, many)} FROM {rows} n WHERE {_all_closed(rows)};
        IF FOUND THEN{name_class(w, rows)}
            RETURN NULL;
        END IF;
    END IF;"""


_note = f"PERFORM pg_catalog.set_config('{_MOVED}', 'true', true);"


def _alone(rows: str) -> str:
    return f"""
    PERFORM FROM {rows} LIMIT 1 OFFSET 1;
    IF NOT FOUND"""


def _insert(w: Words, selected: str) -> str:
    return f"INSERT INTO {w.versions} ({w.target}) {selected}"


def _all_closed(rows: str) -> str:
    return f"ac_closed {EQ} (SELECT pg_catalog.count(*) FROM {rows} n)"

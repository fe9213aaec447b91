"""Record the tables of joined inheritance: a change in one of them makes a version of the entity in each.

The topmost table says whether there is a version, and of which operation, as it is stored now in all of its tables;
the versions of the others follow it. So each statement leaves what is true of the transaction so far, in whatever
order the tables of an entity are written.
"""

from __future__ import annotations

from dataclasses import replace

from async_continuum.native import lookups as look
from async_continuum.native import meanwhile
from async_continuum.native import recording as part
from async_continuum.native.chained import ChainedWords, LeadingWords, words_of_chain
from async_continuum.native.plan import TriggerPlan
from async_continuum.native.text import DIFFERS, EQ, LT, NE, Words, dollar_quoted, quoted

_EVER = "9223372036854775807"
_ROWS = {"insert": "new_rows", "delete": "old_rows"}


def recording(plan: TriggerPlan, role: str) -> str:
    """Write what a trigger of one of the tables does."""
    top, below = words_of_chain(plan)
    own: ChainedWords = (top, *below)[plan.place]
    rows = _ROWS.get(role, own.live)
    if role == "update":
        key = own.of("r", own.plan.key)
        rows = f"(SELECT {key} FROM old_rows r UNION ALL SELECT {key} FROM new_rows r)"
    keys = top.keys_of(own, rows)
    alive = part.stored_among(top, keys)
    lock = "" if own is top else _lock(top, keys)
    steps = [lock, _take(top, own, role, keys, alive), _at_once(top, own, role)]
    if role in ("insert", "update"):
        steps.append(meanwhile.require_current(top, keys))
    steps.append(part.give_way(top, keys))
    if own is top and role != "insert":
        steps.append(_ended(top, role))
    if role != "truncate":
        steps.append(_led(top, own, role, alive))
    elif own is not top:
        steps.append(_led(replace(top, always=True), own, role, _not_ended(top, alive)))
    if own is not top and role != "insert":
        steps.append(_left(top, own, role))
    steps += (
        _follow(top, each, each.keys_of(own, rows), truncated=role == "truncate", own=each is own) for each in below
    )
    return "".join(steps)


def _lock(top: LeadingWords, keys: str) -> str:
    # Two writers of different tables of one entity would not wait for one another, and miss what the other did.
    return f"""
    PERFORM true FROM {keys} n LEFT JOIN LATERAL {look.own(top, "true AS found")} ON true
    CROSS JOIN LATERAL (SELECT FROM {top.live} l WHERE {top.same("l", "n")} FOR NO KEY UPDATE) l
    WHERE own.found IS NULL;"""


def _take(top: LeadingWords, own: ChainedWords, role: str, keys: str, alive: str) -> str:
    if own is top and role in ("delete", "truncate"):
        anything = f"EXISTS (SELECT FROM {top.only('old_rows' if role == 'delete' else top.live, going=True)} n)"
    elif own is top and role == "insert":
        anything = f"EXISTS (SELECT FROM {top.only('new_rows')} n)"
    else:
        known = f"EXISTS (SELECT FROM {keys} n CROSS JOIN LATERAL {look.newest(top, 'true')})"
        anything = f"{known} OR EXISTS (SELECT FROM {alive} n)"
        if role == "update":
            gone = part.gone_among(own, "old_rows") if own is top else _gone_below(own, role)
            anything = f"{part.says_something(top, alive)} OR EXISTS (SELECT FROM {gone} n)"
    return part.take(anything)


def _at_once(top: LeadingWords, own: ChainedWords, role: str) -> str:
    """Insert what is plainly new: an entity that nothing is known of, or one that this transaction has inserted."""
    if role != "insert":
        return ""
    rows = top.only("new_rows") if own is top else "new_rows"
    known = f"SELECT FROM {rows} n CROSS JOIN LATERAL {look.newest(own, 'true', before=_EVER)}"
    if own is top:
        others = " ".join(
            f"OR EXISTS (SELECT FROM new_rows n CROSS JOIN LATERAL"
            f" (SELECT FROM {each.live} g WHERE {each.is_row_of('g', top, 'n')} LIMIT 1) g)"
            for each in top.below
        )
    else:
        inserted = f"SELECT FROM new_rows n LEFT JOIN LATERAL {_lead(top, own)} ON true"
        others = f"OR EXISTS ({inserted} WHERE (led.operation {EQ} 0) IS NOT TRUE)"
    return f"""
    IF NOT (EXISTS ({known}) {others}) THEN
        INSERT INTO {own.versions} ({own.target}) SELECT {own.of("n")}, ac_tx, 0{own.all_changed} FROM {rows} n;
        RETURN NULL;
    END IF;"""


def _ended(top: LeadingWords, role: str) -> str:
    """Version entities whose topmost row is gone."""
    gone = top.only(top.live, going=True) if role == "truncate" else part.gone_among(top, "old_rows")
    return part.record_gone(top, gone, deleted=role != "update")


def _led(top: LeadingWords, own: ChainedWords, role: str, alive: str) -> str:
    """Version entities that live, in the topmost table."""
    plain = part.write_live(top, alive, "0" if own is top and role == "insert" else "1", inserted=own is top)
    write = plain
    if role == "update":
        unknown = f"(SELECT true AS found FROM ONLY {top.versions} v WHERE {top.same('v', 'n')} LIMIT 1) v"
        write = f"""
    IF EXISTS (SELECT FROM {alive} n LEFT JOIN LATERAL {unknown} ON true WHERE v.found IS NULL) THEN
        {_paired(top, own, alive)}
    ELSE{part.write_live(top, alive, "1")}
    END IF;"""
    return f"{part.close_changed(top, alive)}{write}{part.settle_live(top, alive)}"


def _paired(top: LeadingWords, own: ChainedWords, alive: str) -> str:
    """The same of entities without a history, which tell by the statement's rows whether they have changed."""
    before, after = (_images(top, own, rows) for rows in ("old_rows", "new_rows"))
    was_there = f"o.{quoted(top.plan.key[0])} IS NULL"
    hint = f"CASE WHEN {was_there} THEN 0 ELSE 1 END" if own is top else "1"
    joined = f"LEFT JOIN {before} o ON {top.same('o', 'n')} LEFT JOIN {after} m ON {top.same('m', 'n')}"
    changed = f"(b.operation IS NULL AND NOT o.image {DIFFERS} m.image) IS NOT TRUE"
    statement = part.write_live(top, alive, hint, joined=joined, where=changed)
    # Planned each time, for the number of rows that there are: nothing else pairs old and new rows.
    text = dollar_quoted(statement.partition(";\n    IF FOUND")[0].strip().replace("ac_tx", "$1"))
    return f"EXECUTE {text} USING ac_tx;"


def _images(top: LeadingWords, own: ChainedWords, rows: str) -> str:
    pairs = list(zip(top.plan.key, own.plan.key, strict=True))
    keys = ", ".join(f"r.{quoted(two)} AS {quoted(one)}" for one, two in pairs)
    return (
        f"(SELECT DISTINCT ON ({own.of('r', own.plan.key)}) {keys}, ROW({own.of('r')})::pg_catalog.record AS image"
        f" FROM {rows} r)"
    )


def _not_ended(top: LeadingWords, alive: str) -> str:
    # Nothing is truncated yet when this is called. What goes with it from the topmost table has ended by now, or has
    # no version any more.
    last = look.newest(top, f"b.{top.operation} AS operation", before=_EVER)
    return f"(SELECT n.* FROM {alive} n CROSS JOIN LATERAL {last} WHERE b.operation {NE} 2)"


def _gone_below(own: ChainedWords, role: str) -> str:
    if role == "truncate":
        return own.live
    lives = f"(SELECT true AS found FROM {own.live} l WHERE {own.same('l', 'r')} LIMIT 1) l"
    once = f"DISTINCT ON ({own.of('r', own.plan.key)}) {own.of('r')}"
    return f"(SELECT {once} FROM old_rows r LEFT JOIN LATERAL {lives} ON true WHERE l.found IS NULL)"


def _left(top: LeadingWords, own: ChainedWords, role: str) -> str:
    """Version rows of this table that are gone, whether their entities are or not."""
    gone = _gone_below(own, role)
    before = look.newest(own, f"b.{own.operation} AS operation", before="ac_tx")
    entity = (
        f"(SELECT e.{top.operation} AS operation FROM ONLY {top.versions} e WHERE {top.is_row_of('e', own, 'n')}"
        f" AND e.{top.begins} {LT} ac_tx ORDER BY e.{top.begins} DESC LIMIT 1) e"
    )
    lives = f"(SELECT true FROM {top.live} l WHERE {top.is_row_of('l', own, 'n')} LIMIT 1)"
    found = (
        f"FROM {gone} n LEFT JOIN LATERAL {before} ON true LEFT JOIN LATERAL {_lead(top, own)} ON true"
        f" LEFT JOIN LATERAL {entity} ON true"
    )
    was_there = (
        f"CASE WHEN b.operation IS NOT NULL THEN b.operation {NE} 2"
        f" ELSE e.operation IS NULL AND led.operation IS DISTINCT FROM 0 END"
    )
    ends = f"(led.operation IS NOT NULL OR (e.operation {NE} 2 AND {lives} IS NULL))"
    mine = look.own(own, "own.ctid AS at")
    return f"""
    {"" if own.plan.ends is None else part.close(own, gone, f"b.{own.operation} {NE} 2")}
    INSERT INTO {own.versions} AS own ({own.target})
    SELECT {own.gone("n")}, ac_tx, 2{own.all_changed} {found} WHERE {ends} AND {was_there}
    ON CONFLICT ({own.key_of_conflict}) DO UPDATE SET {own.replaced}, {own.operation}=2;
    DELETE FROM ONLY {own.versions} AS v WHERE v.ctid {EQ} ANY (ARRAY(
        SELECT own.at {found} CROSS JOIN LATERAL {mine} WHERE NOT {was_there}
    ));"""


def _lead(top: LeadingWords, own: Words) -> str:
    """Look up what this transaction says of the entity of ``n``, as ``led``."""
    assert isinstance(own, ChainedWords)
    return look.written(top, top.is_row_of("led", own, "n"), f"led.{top.operation} AS operation", "led")


def _follow(top: LeadingWords, w: ChainedWords, keys: str, *, truncated: bool, own: bool) -> str:
    """Version the rows of a table below as the topmost one says; take away what it does not say any more.

    Tables that are ``truncated`` have their rows still; which of them are gone, their versions say.
    """
    if truncated and own:
        return ""
    lead = f"LEFT JOIN LATERAL {_lead(top, w)} ON true"
    lives = f"(SELECT true FROM {w.live} l WHERE {w.same('l', 'n')} LIMIT 1)"
    close = reopen = ""
    if w.plan.ends is not None:
        opened = (
            f"(SELECT b.ctid AS at, b.{w.operation} AS operation FROM ONLY {w.versions} b WHERE {w.same('b', 'n')}"
            f" AND b.{w.ends} IS NULL AND b.{w.begins} {LT} ac_tx LIMIT 1) b"
        )
        says = f" WHERE led.operation IS NOT NULL AND (b.operation {NE} 2 OR {lives} IS NOT NULL)"
        close = f"{part.update_ends(w, keys, f'{lead} CROSS JOIN LATERAL {opened}', 'ac_tx', says)};"
        closed = look.newest(w, f"b.ctid AS at, b.{w.ends} AS ends, b.{w.operation} AS operation", before="ac_tx")
        ended = f"{lead} CROSS JOIN LATERAL {closed} LEFT JOIN LATERAL {look.own(w, 'true AS found')} ON true"
        undone = f"(led.operation IS NULL OR (b.operation {EQ} 2 AND {lives} IS NULL))"
        where = f" WHERE b.ends {EQ} ac_tx AND own.found IS NULL AND {undone}"
        reopen = f"{part.update_ends(w, keys, ended, 'NULL', where)};"
    mine = look.own(w, "own.ctid AS at")
    flags = compared = ""
    if w.plan.flags:
        another = f"(led.operation {NE} 1 OR b.operation IS NULL"
        flags = w.changed.replace("(b.operation IS NULL", another)
        b = look.newest(w, f"b.{w.operation} AS operation{w.compared}", before="ac_tx")
        compared = f" LEFT JOIN LATERAL {b} ON true"
    stays = f"(own.{w.operation} {NE} 2 OR excluded.{w.operation} {EQ} 2) AND " if truncated else ""
    return f"""
    {close}
    INSERT INTO {w.versions} AS own ({w.target})
    SELECT {_held(w)}, ac_tx, led.operation{flags}
    FROM {_stored(w, keys)} n CROSS JOIN LATERAL {_lead(top, w)}{compared}
    ON CONFLICT ({w.key_of_conflict}) DO UPDATE SET {w.replaced}, {w.operation}=excluded.{w.operation}
    WHERE {stays}(own.{w.operation} {NE} excluded.{w.operation} OR {w.differs_at_all("own", "excluded")});
    DELETE FROM ONLY {w.versions} AS v WHERE v.ctid {EQ} ANY (ARRAY(
        SELECT own.at FROM {keys} n {lead} CROSS JOIN LATERAL {mine}
        WHERE led.operation IS NULL OR ({_another_class(top, w)} AND {lives} IS NULL)
    ));
    {reopen}"""


def _held(w: ChainedWords) -> str:
    nulled = set(w.plan.nulled)
    held = (f"n.{quoted(name)}" for name in w.plan.columns)
    return ", ".join(
        f"CASE WHEN led.operation {NE} 2 THEN {each} END" if name in nulled else each
        for name, each in zip(w.plan.columns, held, strict=True)
    )


def _stored(w: ChainedWords, keys: str) -> str:
    first = f"(SELECT {w.of('l')} FROM {w.live} l WHERE {w.same('l', 'r')} LIMIT 1) l"
    return f"(SELECT {w.of('l')} FROM {keys} r CROSS JOIN LATERAL {first})"


def _another_class(top: LeadingWords, w: ChainedWords) -> str:
    """An entity that was deleted and inserted again as another class: its rows of the former one have left."""
    if top.plan.names_class is None:
        return "false"
    named = quoted(top.plan.names_class)

    def newest(alias: str, when: str = "") -> str:
        return (
            f"(SELECT ROW({alias}.{named})::pg_catalog.record FROM ONLY {top.versions} {alias}"
            f" WHERE {top.is_row_of(alias, w, 'n')}{when} ORDER BY {alias}.{top.begins} DESC LIMIT 1)"
        )

    # Where it is led, the newest is what this transaction says.
    return f"led.operation {NE} 2 AND {newest('now')} {DIFFERS} {newest('was', f' AND was.{top.begins} {LT} ac_tx')}"

"""Write what belongs to a transaction beside its versions: the tables of plugins, kept in step by triggers."""

from __future__ import annotations

from async_continuum.native import lookups as look
from async_continuum.native.plan import CompanionPlan, TransactionPlan
from async_continuum.native.text import EQ, NE, Words, literal, quoted

ROWS = "async_continuum.rows"
"""The setting by which a session says which rows come with its transaction row."""

_NAMED = "pg_catalog.current_setting(@@named@@, true)"


def name_class(w: Words, rows: str) -> str:
    """Note that the transaction has versions of the class of these ``rows``.

    Once, until it takes another id or they go again; where several classes share the table, of those that are theirs.
    """
    companion = _names(w)
    if companion is None:
        return ""
    into = f"{_table(companion)} ({quoted(companion.transaction_id)}, {quoted(companion.names or '')})"
    if w.plan.classes:
        own = look.own(w, f"{_class_of(w, 'own')} AS name")
        return f"""
        INSERT INTO {into} SELECT DISTINCT ac_tx, own.name FROM {rows} n CROSS JOIN LATERAL {own}
        ON CONFLICT DO NOTHING;"""
    return f"""
        IF {_NAMED} IS DISTINCT FROM ac_tx::pg_catalog.text THEN
            INSERT INTO {into} VALUES (ac_tx, {literal(w.plan.entity)}) ON CONFLICT DO NOTHING;
            PERFORM pg_catalog.set_config(@@named@@, ac_tx::pg_catalog.text, true);
        END IF;"""


def forget_class(w: Words) -> str:
    """Take that note away where the transaction has undone all that it did to the class."""
    companion = _names(w)
    if companion is None:
        return ""
    if w.plan.classes:
        names = ", ".join(literal(name) for name in _class_names(w))
        noted = f"c.{quoted(companion.names or '')}::pg_catalog.text"
        return f"""
        DELETE FROM {_table(companion)} AS c WHERE c.{quoted(companion.transaction_id)} {EQ} ac_tx
            AND {noted} {EQ} ANY (ARRAY[{names}]) AND NOT EXISTS (
                SELECT FROM ONLY {w.versions} v WHERE v.{w.begins} {EQ} ac_tx AND {_class_of(w, "v")} {EQ} {noted});"""
    return f"""
        IF NOT EXISTS (SELECT FROM ONLY {w.versions} v WHERE v.{w.begins} {EQ} ac_tx) THEN
            DELETE FROM {_table(companion)} AS c WHERE c.{quoted(companion.transaction_id)} {EQ} ac_tx
                AND c.{quoted(companion.names or "")}::pg_catalog.text {EQ} {literal(w.plan.entity)};
            PERFORM pg_catalog.set_config(@@named@@, '', true);
        END IF;"""


def move_companions(plan: TransactionPlan) -> str:
    """Move what belongs to ``ac_old`` to ``ac_new``."""
    moved = []
    for each in plan.companions:
        values = [f"{quoted(each.transaction_id)}=ac_new"]
        for name in map(quoted, each.follows):
            values.append(f"{name}=CASE WHEN c.{name} {EQ} ac_old THEN ac_new ELSE c.{name} END")
        moved.append(
            f"UPDATE {_table(each)} AS c SET {', '.join(values)} WHERE c.{quoted(each.transaction_id)} {EQ} ac_old;"
        )
    return "\n    ".join(moved)


def is_kept(plan: TransactionPlan) -> str:
    """Say whether anything but versions keeps the transaction ``NEW``."""
    return " OR ".join(
        ["false"]
        + [
            f"EXISTS (SELECT FROM {_table(each)} c WHERE c.{quoted(each.transaction_id)} {EQ} NEW.id)"
            for each in plan.companions
            if each.keeps
        ]
    )


def drop_companions(plan: TransactionPlan) -> str:
    """Take away what belongs to the transaction ``NEW``."""
    return "\n        ".join(
        f"DELETE FROM {_table(each)} AS c WHERE c.{quoted(each.transaction_id)} {EQ} NEW.id;"
        for each in plan.companions
    )


def insert_rows(plan: TransactionPlan) -> str:
    """Insert the rows that a session gives with the new transaction ``ac_id``; of known tables only."""
    inserted = "".join(_insert_rows(each) for each in plan.companions if each.names is None)
    if not inserted:
        return ""
    return f"""
        IF ac_rows {NE} '' THEN{inserted}
        END IF;"""


def _insert_rows(companion: CompanionPlan) -> str:
    rows = f"ac_rows::pg_catalog.jsonb OPERATOR(pg_catalog.->) {literal(companion.name)}"
    first = f"({rows}) OPERATOR(pg_catalog.->) 0"
    table = f"@@transaction_schema_as_text@@, '.', {literal(quoted(companion.name))}"
    return f"""
            SELECT pg_catalog.string_agg(pg_catalog.concat(', ', pg_catalog.quote_ident(k)), ''),
                pg_catalog.string_agg(pg_catalog.concat(', r.', pg_catalog.quote_ident(k)), '')
            INTO ac_into, ac_from FROM pg_catalog.jsonb_object_keys({first}) k;
            IF ac_into IS NOT NULL THEN
                EXECUTE pg_catalog.concat('INSERT INTO ', {table}, ' (', {literal(quoted(companion.transaction_id))},
                    ac_into, ') SELECT $1', ac_from, ' FROM pg_catalog.jsonb_populate_recordset(NULL::', {table},
                    ', $2) r') USING ac_id, {rows};
            END IF;"""


def _names(w: Words) -> CompanionPlan | None:
    if w.plan.entity is None:
        return None
    return next((each for each in w.plan.transaction.companions if each.names is not None), None)


def _class_of(w: Words, versions: str) -> str:
    held = f"{versions}.{quoted(w.plan.names_class or '')}::pg_catalog.text"
    cases = " ".join(
        f"WHEN {held} {EQ} ({value})::pg_catalog.text THEN {literal(name)}" for value, name in w.plan.classes
    )
    return f"(CASE {cases} ELSE {literal(w.plan.entity)} END)"


def _class_names(w: Words) -> list[str]:
    return list(dict.fromkeys((*(name for _, name in w.plan.classes), w.plan.entity or "")))


def _table(companion: CompanionPlan) -> str:
    return f"@@transaction_schema@@.{quoted(companion.name)}"

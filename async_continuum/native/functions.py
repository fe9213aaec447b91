"""Write the functions behind the triggers of one table, and those that tables with one transaction table share."""

from __future__ import annotations

from async_continuum.native import beside, joined, meanwhile, usual
from async_continuum.native import lookups as look
from async_continuum.native import recording as part
from async_continuum.native.chained import words_of_chain
from async_continuum.native.guarding import refuse_another
from async_continuum.native.plan import TransactionPlan, TriggerPlan
from async_continuum.native.text import EQ, NE, Words, dollar_quoted, literal, quoted

DISABLED = "async_continuum.disabled"
CONTEXT = "async_continuum.context"

_XID = "pg_catalog.pg_current_xact_id()::pg_catalog.text"
# Where names could mean a variable or a column, they mean the variable; columns are named with their table.
_CONFLICT = "#variable_conflict use_variable"


def trigger_function(plan: TriggerPlan, role: str) -> str:
    """Write the body of the function that a trigger calls."""
    w = Words(plan)
    if role == "truncate" and plan.on_truncate == "refuse":
        body = _refuse_truncation(w)
    elif plan.chain:
        body = joined.recording(plan, role)
    else:
        body = {"insert": _insert, "update": _update, "delete": _delete, "truncate": _truncate}[role](w)
    off, another = "RETURN NULL;", ""
    if plan.append_only:
        another = refuse_another(plan)
        off = f"""RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = {literal(f"async_continuum: the history of {plan.fullname} cannot be switched off.")};"""
    return f"""{_CONFLICT}
DECLARE
    ac_off pg_catalog.text := pg_catalog.current_setting('{DISABLED}', true);
    ac_setting pg_catalog.text := pg_catalog.current_setting(@@setting@@, true);
    ac_tx pg_catalog.int8;
    ac_before pg_catalog.int8;
    ac_closed pg_catalog.int8;
    ac_n record;
    ac_moved pg_catalog.bool;
    ac_taken pg_catalog.bool := false;
    ac_turned pg_catalog.bool := {meanwhile.is_turned(w)};
BEGIN
    IF ac_off {NE} '' AND (ac_off {EQ} '*' OR pg_catalog.strpos(ac_off, {literal(f"|{plan.fullname}|")}) {NE} 0) THEN
        {off}
    END IF;
    IF pg_catalog.split_part(ac_setting, ':', 2) {EQ} {_XID} THEN
        ac_tx := pg_catalog.split_part(ac_setting, ':', 1)::pg_catalog.int8;{another}
    END IF;{meanwhile.note_depth(w)}
{body}
    IF ac_taken THEN{beside.forget_class(w)}
        {_look_again("ac_tx")}
    END IF;
    RETURN NULL;
END"""


def _insert(w: Words) -> str:
    new_rows = w.only("new_rows")
    take = part.take(f"EXISTS (SELECT FROM {new_rows} n)")
    rows = part.stored_among(w, "new_rows")
    if w.plan.twins is not None:
        return take + meanwhile.require_current(w, rows) + _live(w, rows, "0", inserted=True)
    current = meanwhile.require_current(w, new_rows)
    return f"""{take}
    IF ac_turned IS NOT TRUE AND NOT EXISTS (
        SELECT FROM {new_rows} n CROSS JOIN LATERAL {look.newest(w, "true")}
    ) THEN
        INSERT INTO {w.versions} ({w.target}) SELECT {w.of("n")}, ac_tx, 0{w.all_changed} FROM {new_rows} n;
        {beside.name_class(w, new_rows)}
        RETURN NULL;
    END IF;{current}{usual.note_arrivals(w, new_rows)}{_live(w, rows, "0", inserted=True)}"""


def _update(w: Words) -> str:
    gone = part.gone_among(w, "old_rows")
    key = w.of("r", w.plan.key)
    both = f"(SELECT {key} FROM old_rows r UNION ALL SELECT {key} FROM new_rows r)"
    if w.plan.twins is not None:
        rows = part.stored_among(w, both)
        known = f"(SELECT true FROM old_rows o WHERE {w.same('o', 'n')} LIMIT 1) IS NULL"
        hint = f"CASE WHEN {known} THEN 0 ELSE 1 END"
        take = part.take("EXISTS (SELECT FROM new_rows)")
        gone_first = f"{part.give_way(w, both)}{part.record_gone(w, gone, deleted=False)}"
        return f"{take}{meanwhile.require_current(w, rows)}{gone_first}{_live(w, rows, hint)}"
    rows, new_rows = part.stored_among(w, "new_rows"), w.only("new_rows")
    known = f"(SELECT true AS found FROM ONLY {w.versions} v WHERE {w.same('v', 'n')} LIMIT 1) known"
    hint = f"CASE WHEN o.{quoted(w.plan.key[0])} IS NULL THEN 0 ELSE 1 END"
    unchanged = f"(b.operation IS NULL AND NOT {w.differs('o', 'n')}) IS NOT TRUE"
    before = f"(SELECT DISTINCT ON ({w.of('r', w.plan.key)}) {w.of('r')} FROM old_rows r) o"
    paired = part.write_live(w, rows, hint, joined=f"LEFT JOIN {before} ON {w.same('o', 'n')}", where=unchanged)
    # Planned each time, for the number of rows that there are: nothing else pairs old and new rows.
    paired = f"EXECUTE {_as_text(paired)} USING ac_tx;{beside.name_class(w, rows)}"
    anything = f"{part.says_something(w, new_rows)} OR EXISTS (SELECT FROM {gone} n)"
    first = part.take(anything)
    if w.plan.ends is not None:
        first = f"""
    IF ac_turned THEN{part.take()}
    ELSE{usual.update(w)}
    END IF;"""
    return f"""{first}{meanwhile.require_current(w, "new_rows")}{part.give_way(w, both)}
    IF EXISTS (SELECT FROM {gone} n) THEN{part.record_gone(w, gone, deleted=False)}
    END IF;
    IF {part.says_something(w, rows)} THEN{part.close_changed(w, rows)}
        IF EXISTS (SELECT FROM {new_rows} n LEFT JOIN LATERAL {known} ON true WHERE known.found IS NULL) THEN
            {paired}
        ELSE{part.write_live(w, rows, "1")}
        END IF;{part.settle_live(w, rows)}
    END IF;"""


def _delete(w: Words) -> str:
    old_rows = w.only("old_rows", going=True)
    take, gone = part.take(f"EXISTS (SELECT FROM {old_rows} o)"), part.gone_among(w, "old_rows")
    if w.plan.twins is not None:
        rest = _live(w, part.stored_among(w, "old_rows"), "1")
        return f"""{take}{part.give_way(w, "old_rows")}{part.record_gone(w, gone, deleted=True)}{rest}"""
    first = take if w.plan.ends is None else usual.delete(w)
    return f"""{first}{part.give_way(w, gone)}{part.record_gone(w, gone, deleted=True)}"""


def _truncate(w: Words) -> str:
    rows = w.only(w.live, going=True) if w.plan.twins is None else part.stored_among(w, w.live)
    take, give_way = part.take(f"EXISTS (SELECT FROM {rows} r)"), part.give_way(w, rows)
    return f"{take}{give_way}{part.record_gone(w, rows, deleted=True)}"


def _refuse_truncation(w: Words) -> str:
    return f"""
    RAISE EXCEPTION USING ERRCODE = 'restrict_violation',
        MESSAGE = {literal(f"async_continuum: {w.plan.fullname} keeps a history and is not truncated.")},
        HINT = 'Delete the rows, or set the option on_truncate to record.';"""


def _live(w: Words, rows: str, hint: str, *, inserted: bool = False) -> str:
    close, settle = part.close_changed(w, rows), part.settle_live(w, rows)
    return f"{part.give_way(w, rows)}{close}{part.write_live(w, rows, hint, inserted=inserted)}{settle}"


def _as_text(statement: str) -> str:
    return dollar_quoted(statement.partition(";\n    IF FOUND")[0].strip().replace("ac_tx", "$1"))


def _look_again(tx: str) -> str:
    # An UPDATE that changes nothing, for which a constraint trigger waits that fires at commit.
    return f"UPDATE ONLY @@transactions@@ AS t SET id=t.id WHERE t.id {EQ} {tx};"


def renumber_function(plan: TriggerPlan) -> str:
    """Write the body that moves the versions of a transaction to another id, or says whether there are any."""
    w = Words(plan)
    ends = ""
    if plan.ends is not None:
        ends = f"""
    UPDATE ONLY {w.versions} AS v SET {w.ends}=ac_new FROM ONLY {w.versions} own
    WHERE own.{w.begins} {EQ} ac_old AND {w.same("own", "v")} AND v.{w.ends} {EQ} ac_old;"""
        if plan.place:
            # The end of a row that has left its entity is nobody's beginning here.
            top, below = words_of_chain(plan)
            own = below[plan.place - 1]
            entity = f"led.{w.begins} {EQ} ANY (ARRAY[ac_old, ac_new]) AND {top.is_row_of('led', own, 'v')}"
            ends += f"""
    UPDATE ONLY {w.versions} AS v SET {w.ends}=ac_new FROM ONLY {top.versions} led
    WHERE {entity} AND v.{w.ends} {EQ} ac_old;"""
    return f"""{_CONFLICT}
BEGIN
    IF ac_new IS NULL THEN
        RETURN EXISTS (SELECT FROM ONLY {w.versions} v WHERE v.{w.begins} {EQ} ac_old);
    END IF;{ends}
    UPDATE ONLY {w.versions} AS v SET {w.begins}=ac_new WHERE v.{w.begins} {EQ} ac_old;
    RETURN true;
END"""


def take_function(plan: TransactionPlan) -> str:
    """Write the body that gives the id of the running transaction, and takes one where it has none."""
    columns = "".join(f", {quoted(name)}" for name in plan.columns)
    values = "".join(f", given.{quoted(name)}" for name in plan.columns)
    return f"""{_CONFLICT}
DECLARE
    ac_setting pg_catalog.text := pg_catalog.current_setting(@@setting@@, true);
    ac_context pg_catalog.text := pg_catalog.current_setting('{CONTEXT}', true);
    ac_rows pg_catalog.text := pg_catalog.current_setting('{beside.ROWS}', true);
    ac_id pg_catalog.int8;
    ac_into pg_catalog.text;
    ac_from pg_catalog.text;
BEGIN
    IF pg_catalog.split_part(ac_setting, ':', 2) {EQ} {_XID} THEN
        ac_id := pg_catalog.split_part(ac_setting, ':', 1)::pg_catalog.int8;
    ELSIF ac_peek THEN
        RETURN NULL;
    ELSE
        ac_id := @@next@@;
        IF ac_context {NE} '' THEN
            INSERT INTO @@transactions@@ (id, issued_at{columns})
            SELECT ac_id, pg_catalog.timezone('utc', pg_catalog.clock_timestamp()){values}
            FROM pg_catalog.jsonb_populate_record(NULL::@@transactions@@, ac_context::pg_catalog.jsonb) given;
        ELSE
            INSERT INTO @@transactions@@ (id, issued_at{columns})
            VALUES (ac_id, pg_catalog.timezone('utc', pg_catalog.clock_timestamp()){", NULL" * len(plan.columns)});
        END IF;{beside.insert_rows(plan)}
        ac_setting := '';
    END IF;
    IF ac_setting {EQ} '' OR (ac_kept AND pg_catalog.split_part(ac_setting, ':', 3) {EQ} '') THEN
        PERFORM pg_catalog.set_config(
            @@setting@@,
            pg_catalog.concat(ac_id, ':', {_XID}, ':', CASE WHEN ac_kept THEN 'kept' END),
            true
        );
    END IF;
    RETURN ac_id;
END"""


def overtaken_function(plan: TransactionPlan) -> str:
    """Write the body that moves a transaction, and all that triggers have written for it, to a later id."""
    columns = "".join(f", {quoted(name)}" for name in plan.columns)
    values = "".join(f", t.{quoted(name)}" for name in plan.columns)
    return f"""{_CONFLICT}
DECLARE
    ac_setting pg_catalog.text := pg_catalog.current_setting(@@setting@@, true);
    ac_new pg_catalog.int8 := @@next@@;
BEGIN
    INSERT INTO @@transactions@@ (id, issued_at{columns})
    SELECT ac_new, pg_catalog.timezone('utc', pg_catalog.clock_timestamp()){values}
    FROM @@transactions@@ t WHERE t.id {EQ} ac_old;
    @@move@@
    {beside.move_companions(plan)}
    DELETE FROM @@transactions@@ AS t WHERE t.id {EQ} ac_old;
    PERFORM pg_catalog.set_config(
        @@setting@@, pg_catalog.concat(ac_new, ':', {_XID}, ':', pg_catalog.split_part(ac_setting, ':', 3)), true
    );
    RAISE DEBUG USING MESSAGE = pg_catalog.concat(
        'transaction ', ac_old, ' was overtaken by a younger one and is now ', ac_new
    );
    RETURN ac_new;
END"""


def settle_function(plan: TransactionPlan) -> str:
    """Write the body that takes a transaction away at commit, where nothing is left of what it had recorded."""
    return f"""{_CONFLICT}
DECLARE
    ac_setting pg_catalog.text := pg_catalog.current_setting(@@setting@@, true);
    ac_is_current pg_catalog.bool := pg_catalog.split_part(ac_setting, ':', 1) {EQ} NEW.id::pg_catalog.text;
BEGIN
    IF ac_is_current AND pg_catalog.split_part(ac_setting, ':', 3) {EQ} 'kept' THEN
        RETURN NULL;
    END IF;
    IF NOT (@@holds@@ OR {beside.is_kept(plan)}) THEN
        {beside.drop_companions(plan)}
        DELETE FROM @@transactions@@ AS t WHERE t.id {EQ} NEW.id;
        IF ac_is_current THEN
            PERFORM pg_catalog.set_config(@@setting@@, '', true);
        END IF;
    END IF;
    RETURN NULL;
END"""

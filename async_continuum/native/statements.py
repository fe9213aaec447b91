"""Render the statements that install the triggers of a table."""

from __future__ import annotations

import json
from collections.abc import Sequence

from async_continuum.native import functions
from async_continuum.native.asking import condition_functions, words_of_conditions
from async_continuum.native.chained import what_tables_are_called
from async_continuum.native.dropping import MARKER, MOVERS
from async_continuum.native.guarding import GUARDS, guard_function
from async_continuum.native.plan import TransactionPlan, TriggerPlan
from async_continuum.native.text import (
    ROLES,
    Words,
    dollar_quoted,
    function_of,
    function_of_transactions,
    literal,
    quoted,
    relation,
    trigger_name,
)

_EVENTS = {
    "insert": "AFTER INSERT ON @@live@@ REFERENCING NEW TABLE AS new_rows",
    "update": "AFTER UPDATE ON @@live@@ REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "AFTER DELETE ON @@live@@ REFERENCING OLD TABLE AS old_rows",
    "truncate": "BEFORE TRUNCATE ON @@live@@",
}
_TWO_IDS = "ac_old pg_catalog.int8, ac_new pg_catalog.int8"
_REBUILD = "@@rebuild@@"


def create_statements(plan: TriggerPlan) -> list[str]:
    """Render what creates the triggers of a table and their functions, or replaces them by what they should be.

    The table, its version table and the transaction table must be there. Each statement is a text without parameters
    that runs by itself, through any driver and in a script of psql; what has no schema is looked up by the search path
    of whoever runs it, and then stays what it is. The comment of each trigger is the plan's `fingerprint`.
    """
    mover = f"@@history_schema@@.{quoted(function_of(plan, 'renumber'))}"
    statements = [
        *_function(mover, _TWO_IDS, "pg_catalog.bool", functions.renumber_function(plan)),
        f"COMMENT ON FUNCTION {mover}({_TWO_IDS}) IS @@marker@@",
        _REBUILD,
        *_shared_functions(plan.transaction),
        *condition_functions(plan),
    ]
    for role in ROLES:
        name = f"@@history_schema@@.{quoted(function_of(plan, role))}"
        trigger = trigger_name(role)
        # It reads the table, which goes whole: where policies would hide rows from it, it fails.
        whole = " SET row_security = off" if role == "truncate" else ""
        statements += _function(name, "", "pg_catalog.trigger", functions.trigger_function(plan, role), whole)
        statements += [
            f"CREATE OR REPLACE TRIGGER {trigger} {_EVENTS[role]} FOR EACH STATEMENT EXECUTE FUNCTION {name}()",
            f"COMMENT ON TRIGGER {trigger} ON @@live@@ IS {literal(plan.fingerprint)}",
        ]
    # So that a migration finds what there was, when it makes something else of it.
    statements.append(
        f"COMMENT ON FUNCTION @@history_schema@@.{quoted(function_of(plan, 'insert'))}()"
        f" IS {literal(json.dumps(plan.as_dict()))}"
    )
    return [_creating(plan, [*statements, *_guards(plan)])]


def _guards(plan: TriggerPlan) -> list[str]:
    dropped = [f"DROP TRIGGER IF EXISTS {trigger_name(each)} ON @@versions@@" for each in GUARDS]
    if not plan.append_only:
        return dropped
    name = f"@@history_schema@@.{quoted(function_of(plan, 'guard'))}"
    w = Words(plan)
    closes = "false"
    if plan.ends is not None:
        rest = (*plan.columns, plan.begins, plan.operation)
        # By the function of *=: between two ROW() as a dump writes them, the operator would be one of their columns.
        same = ", ".join(f"ROW({w.of(each, rest)})" for each in ("OLD", "NEW"))
        closes = f"OLD.{w.ends} IS NULL AND NEW.{w.ends} IS NOT NULL AND pg_catalog.record_image_eq({same})"
    events = (
        f"UPDATE ON @@versions@@ FOR EACH ROW WHEN (({closes}) IS NOT TRUE)",
        "DELETE ON @@versions@@ FOR EACH ROW",
        "TRUNCATE ON @@versions@@ FOR EACH STATEMENT",
    )
    return [
        *dropped,
        *_function(name, "", "pg_catalog.trigger", guard_function(plan)),
        *(
            f"CREATE TRIGGER {trigger_name(guard)} BEFORE {event} EXECUTE FUNCTION {name}()"
            for guard, event in zip(GUARDS, events, strict=True)
        ),
    ]


def _function(name: str, arguments: str, returns: str, body: str, settings: str = "") -> list[str]:
    return [
        (
            f"CREATE OR REPLACE FUNCTION {name}({arguments}) RETURNS {returns}"
            f" LANGUAGE plpgsql SECURITY DEFINER SET jit = off{settings} AS {dollar_quoted(body)}"
        ),
        # Whoever may call it could put it on a table of his own, and write history with the rights of its owner.
        f"REVOKE ALL ON FUNCTION {name}({arguments}) FROM PUBLIC",
    ]


def _shared_functions(plan: TransactionPlan) -> list[str]:
    settle = f"@@transaction_schema@@.{quoted(function_of_transactions(plan, 'settle'))}"
    taking = "ac_kept pg_catalog.bool DEFAULT false, ac_peek pg_catalog.bool DEFAULT false"
    return [
        *_function("@@take@@", taking, "pg_catalog.int8", functions.take_function(plan))[:1],
        "REVOKE ALL ON FUNCTION @@take@@(pg_catalog.bool, pg_catalog.bool) FROM PUBLIC",
        *_function("@@overtaken@@", "ac_old pg_catalog.int8", "pg_catalog.int8", functions.overtaken_function(plan)),
        *_function(settle, "", "pg_catalog.trigger", functions.settle_function(plan)),
        # It cannot be replaced, and stays what it is.
        f"DROP TRIGGER IF EXISTS {trigger_name('settle')} ON @@transactions@@",
        (
            f"CREATE CONSTRAINT TRIGGER {trigger_name('settle')} AFTER UPDATE ON @@transactions@@"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD OPERATOR(pg_catalog.*=) NEW)"
            f" EXECUTE FUNCTION {settle}()"
        ),
    ]


def _words(plan: TriggerPlan) -> str:
    """What the words between @@ mean where the DDL runs."""
    transaction = plan.transaction
    sequence = "NULL"
    if transaction.sequence is not None:
        sequence = literal(relation(transaction.sequence, transaction.sequence_schema))
    take, overtaken = (quoted(function_of_transactions(transaction, role)) for role in ("take", "overtaken"))
    return f"""
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), quote_ident(n.nspname)
    INTO ac_transactions, ac_transaction_schema
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = {literal(relation(transaction.name, transaction.schema))}::pg_catalog.regclass;
    ac_marker := {literal(MARKER)} || ac_transactions;
    ac_sequence := COALESCE(
        pg_catalog.pg_get_serial_sequence(ac_transactions, 'id')::pg_catalog.regclass, {sequence}::pg_catalog.regclass
    );
    SELECT ARRAY[
        ARRAY['@@transactions@@', ac_transactions],
        ARRAY['@@transaction_schema@@', ac_transaction_schema],
        ARRAY['@@transaction_schema_as_text@@', quote_literal(ac_transaction_schema)],
        ARRAY['@@take@@', ac_transaction_schema || '.' || {literal(take)}],
        ARRAY['@@overtaken@@', ac_transaction_schema || '.' || {literal(overtaken)}],
        ARRAY['@@marker@@', quote_literal(ac_marker)],
        ARRAY['@@setting@@', quote_literal(
            'async_continuum.transaction_' || pg_catalog.substr(pg_catalog.md5(ac_transactions), 1, 8)
        )],
        ARRAY['@@next@@', pg_catalog.concat(
            'pg_catalog.nextval(', quote_literal(quote_ident(n.nspname) || '.' || quote_ident(c.relname)),
            '::pg_catalog.regclass)'
        )]
    ] INTO ac_words
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ac_sequence;"""


_VARIABLES = """
    ac_transactions text;
    ac_transaction_schema text;
    ac_marker text;
    ac_sequence oid;
    ac_moves text;
    ac_holds text;
    ac_words text[];
    ac_word text[];
    ac_statement text;"""

_RUN = f"""
        IF ac_statement = '{_REBUILD}' THEN
            {MOVERS}
            ac_words := ac_words || ARRAY[
                ARRAY['@@move@@', COALESCE(ac_moves, '')], ARRAY['@@holds@@', COALESCE(ac_holds, 'false')]
            ];
            CONTINUE;
        END IF;
        FOREACH ac_word SLICE 1 IN ARRAY ac_words LOOP
            ac_statement := pg_catalog.replace(ac_statement, ac_word[1], ac_word[2]);
        END LOOP;
        EXECUTE ac_statement;"""


def _creating(plan: TriggerPlan, statements: Sequence[str]) -> str:
    keys = ", ".join(literal(name) for name in plan.key)
    body = f"""
DECLARE
    ac_live pg_catalog.regclass := {literal(relation(plan.name, plan.schema))};
    ac_versions pg_catalog.regclass := {literal(relation(plan.versions, plan.versions_schema))};{_VARIABLES}
BEGIN{_words(plan)}
    SELECT ac_words || ARRAY[
        ARRAY['@@live@@', quote_ident(ln.nspname) || '.' || quote_ident(l.relname)],
        ARRAY['@@versions@@', quote_ident(vn.nspname) || '.' || quote_ident(v.relname)],
        ARRAY['@@history_schema@@', quote_ident(vn.nspname)],
        ARRAY['@@named@@', quote_literal('async_continuum.named_' || pg_catalog.substr(
            pg_catalog.md5(quote_ident(vn.nspname) || '.' || quote_ident(v.relname)), 1, 8
        ))]
    ] INTO ac_words
    FROM pg_catalog.pg_class l JOIN pg_catalog.pg_namespace ln ON ln.oid = l.relnamespace,
        pg_catalog.pg_class v JOIN pg_catalog.pg_namespace vn ON vn.oid = v.relnamespace
    WHERE l.oid = ac_live AND l.relkind IN ('r', 'p') AND v.oid = ac_versions AND v.relkind = 'r';
    IF ac_words IS NULL THEN
        RAISE EXCEPTION USING MESSAGE = pg_catalog.concat(
            'async_continuum: ', ac_live, ' or ', ac_versions, ' is no table, as native_versioning wants, or ids of ',
            ac_transactions, ' have no sequence'
        );
    END IF;
{what_tables_are_called(plan)}{words_of_conditions(plan)}
    -- The equality that the primary key goes by: of an extension's type, it may stand in any schema.
    SELECT ac_words || pg_catalog.array_agg(ARRAY[
        '@@equals' || (k.place - 1) || '@@', 'OPERATOR(' || quote_ident(n.nspname) || '.' || o.oprname || ')'
    ]) INTO ac_words
    FROM pg_catalog.unnest(ARRAY[{keys}]::text[]) WITH ORDINALITY AS k(name, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = ac_versions AND a.attname = k.name
    JOIN pg_catalog.pg_index i ON i.indrelid = ac_versions AND i.indisprimary
    CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[]) AS part(attnum, opclass)
    JOIN pg_catalog.pg_opclass c ON c.oid = part.opclass
    JOIN pg_catalog.pg_amop e ON e.amopfamily = c.opcfamily AND e.amopstrategy = 3
        AND e.amoplefttype = c.opcintype AND e.amoprighttype = c.opcintype
    JOIN pg_catalog.pg_operator o ON o.oid = e.amopopr
    JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
    WHERE part.attnum = a.attnum;
    FOREACH ac_statement IN ARRAY ARRAY[
        {_array(statements)}
    ] LOOP{_RUN}
    END LOOP;
END"""
    return f"DO {dollar_quoted(body)}"


def _array(statements: Sequence[str]) -> str:
    return ",\n        ".join(dollar_quoted(statement) for statement in statements)

"""Render the statement that takes the triggers of a table away, whatever is known of its transaction table."""

from __future__ import annotations

from async_continuum.native.asking import CONDITIONS
from async_continuum.native.guarding import GUARDS
from async_continuum.native.plan import TriggerPlan
from async_continuum.native.text import (
    NE,
    ROLES,
    dollar_quoted,
    function_of,
    function_of_transactions,
    literal,
    quoted,
    relation,
    trigger_name,
)

MARKER = "async_continuum renumbers versions of "
"""By which comment the function that moves a table's versions says with which transaction table it goes."""
_SHARED = ("take", "overtaken", "settle")

# Which functions move the versions of a transaction: those that say so in their comment.
MOVERS = """
    SELECT string_agg('PERFORM ' || f.name || '(ac_old, ac_new);', ' '), string_agg(f.name || '(NEW.id, NULL)', ' OR ')
    INTO ac_moves, ac_holds
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    CROSS JOIN LATERAL (SELECT quote_ident(n.nspname) || '.' || quote_ident(p.proname) AS name) f
    JOIN pg_catalog.pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    WHERE d.description = ac_marker;"""


def drop_statements(plan: TriggerPlan) -> list[str]:
    """Render what takes the triggers of a table and their functions away, as far as they are there.

    The functions of the transaction table go with the last table that it signs. History stays.
    """
    transaction = plan.transaction
    functions_ = ", ".join(literal(function_of(plan, role)) for role in (*ROLES, "renumber", "guard", *CONDITIONS))
    triggers = ", ".join(literal(trigger_name(role)) for role in (*ROLES, *GUARDS))
    shared = ", ".join(literal(function_of_transactions(transaction, role)) for role in _SHARED)
    body = f"""
DECLARE
    ac_live pg_catalog.oid := pg_catalog.to_regclass({literal(relation(plan.name, plan.schema))});
    ac_versions pg_catalog.oid := pg_catalog.to_regclass({literal(relation(plan.versions, plan.versions_schema))});
    ac_history pg_catalog.oid := COALESCE(
        (SELECT c.relnamespace FROM pg_catalog.pg_class c WHERE c.oid = ac_versions),
        pg_catalog.to_regnamespace({literal(None if plan.versions_schema is None else quoted(plan.versions_schema))}),
        pg_catalog.to_regnamespace(quote_ident(pg_catalog.current_schema()))
    );
    ac_signs pg_catalog.oid;
    ac_call text;
    ac_transactions text;
    ac_marker text;
    ac_moves text;
    ac_holds text;
    ac_statement text;
BEGIN
    -- Where it signs, it says itself: whoever drops it need not know.
    SELECT pg_catalog.to_regclass(pg_catalog.substr(d.description, {len(MARKER) + 1})),
        quote_ident(n.nspname) || '.' || quote_ident(p.proname)
    INTO ac_signs, ac_call
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    WHERE n.oid = ac_history AND p.proname = {literal(function_of(plan, "renumber"))}
        AND pg_catalog.starts_with(d.description, {literal(MARKER)});
    FOR ac_statement IN
        SELECT 'DROP TRIGGER ' || quote_ident(t.tgname) || ' ON ' || t.tgrelid::pg_catalog.regclass
        FROM pg_catalog.pg_trigger t WHERE t.tgrelid IN (ac_live, ac_versions) AND t.tgname IN ({triggers})
        UNION ALL
        SELECT 'DROP FUNCTION ' || p.oid::pg_catalog.regprocedure
        FROM pg_catalog.pg_proc p WHERE p.pronamespace = ac_history AND p.proname IN ({functions_})
    LOOP
        EXECUTE ac_statement;
    END LOOP;
    SELECT {literal(MARKER)} || quote_ident(n.nspname) || '.' || quote_ident(c.relname), n.oid, c.relname, c.oid
    INTO ac_marker, ac_history, ac_transactions, ac_signs
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = COALESCE(ac_signs, pg_catalog.to_regclass({literal(relation(transaction.name, transaction.schema))}));
    IF ac_signs IS NULL THEN
        RETURN;
    END IF;{MOVERS}
    IF ac_moves IS NULL THEN
        FOR ac_statement IN
            SELECT 'DROP TRIGGER ' || quote_ident(t.tgname) || ' ON ' || t.tgrelid::pg_catalog.regclass
            FROM pg_catalog.pg_trigger t WHERE t.tgrelid = ac_signs AND t.tgname = {literal(trigger_name("settle"))}
            UNION ALL
            SELECT 'DROP FUNCTION ' || p.oid::pg_catalog.regprocedure
            FROM pg_catalog.pg_proc p WHERE p.pronamespace = ac_history AND (
                p.proname IN ({shared})
                OR p.proname = ANY (ARRAY[{", ".join(f"ac_transactions || '_{role}'" for role in _SHARED)}])
            )
        LOOP
            EXECUTE ac_statement;
        END LOOP;
        RETURN;
    END IF;
    -- What the other tables share stays as it is, with all that it knows of the transaction table, but for this one.
    FOR ac_statement IN
        SELECT pg_catalog.replace(pg_catalog.replace(pg_catalog.pg_get_functiondef(p.oid),
            'PERFORM ' || ac_call || '(ac_old, ac_new);', ''), ac_call || '(NEW.id, NULL)', 'false')
        FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = ac_history AND pg_catalog.strpos(p.prosrc, ac_call || '(') {NE} 0
    LOOP
        EXECUTE ac_statement;
    END LOOP;
END"""
    return [f"DO {dollar_quoted(body)}"]

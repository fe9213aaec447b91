"""Write the functions that say of a row whether triggers record it."""

from __future__ import annotations

from async_continuum.native.conditions import Condition
from async_continuum.native.plan import TriggerPlan
from async_continuum.native.text import function_of, literal, quoted, relation

CONDITIONS = ("kept", "recorded")


def condition_functions(plan: TriggerPlan) -> list[str]:
    """Render what creates them.

    Their bodies are read when they are created, with the names of whoever does it; PostgreSQL then writes them into
    the statements that call them.
    """
    statements = []
    for role, condition in _conditions(plan):
        body = condition.sql
        for place in range(len(condition.columns)):
            body = body.replace(f"@@given{place}@@", f"@@{role}_given{place}@@")
        signature = f"@@{role}@@(@@{role}_types@@)"
        statements += [
            f"CREATE FUNCTION {signature} RETURNS pg_catalog.bool LANGUAGE sql RETURN {body}",
            f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC",
        ]
    return statements


def words_of_conditions(plan: TriggerPlan) -> str:
    """Say what the words of these functions mean where the DDL runs; those of an older making go."""
    names = ", ".join(literal(function_of(plan, role)) for role in CONDITIONS)
    top = plan.chain[0] if plan.chain else plan
    return f"""
    FOR ac_statement IN
        SELECT 'DROP FUNCTION ' || p.oid::pg_catalog.regprocedure
        FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_class c ON c.relnamespace = p.pronamespace
        WHERE c.oid = ac_versions AND p.proname IN ({names})
    LOOP
        EXECUTE ac_statement;
    END LOOP;""" + "".join(
        _words(plan, role, condition, relation(top.name, top.schema)) for role, condition in _conditions(plan)
    )


def _words(plan: TriggerPlan, role: str, condition: Condition, table: str) -> str:
    columns = ", ".join(literal(name) for name in condition.columns)
    return f"""
    SELECT ac_words || pg_catalog.array_agg(ARRAY['@@{role}_given' || (k.place - 1) || '@@', CASE
        WHEN l.oid IS NULL THEN '$' || k.place
        ELSE '($' || k.place || ' COLLATE ' || quote_ident(n.nspname) || '.' || quote_ident(l.collname) || ')'
    END]) FILTER (WHERE k.place IS NOT NULL) || ARRAY[
        ARRAY['@@{role}@@', quote_ident(h.nspname) || '.' || {literal(quoted(function_of(plan, role)))}],
        ARRAY['@@{role}_types@@', COALESCE(
            string_agg(pg_catalog.format_type(a.atttypid, NULL), ', ' ORDER BY k.place), ''
        )]
    ] INTO ac_words
    FROM pg_catalog.pg_class v JOIN pg_catalog.pg_namespace h ON h.oid = v.relnamespace
    -- A condition may ask about no column at all.
    LEFT JOIN pg_catalog.unnest(ARRAY[{columns}]::text[]) WITH ORDINALITY AS k(name, place) ON true
    LEFT JOIN pg_catalog.pg_attribute a
        ON a.attrelid = {literal(table)}::pg_catalog.regclass AND a.attname = k.name
    LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation AND l.collname <> 'default'
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
    WHERE v.oid = ac_versions
    GROUP BY h.nspname;"""


def _conditions(plan: TriggerPlan) -> list[tuple[str, Condition]]:
    return [
        (role, condition) for role, condition in zip(CONDITIONS, (plan.kept, plan.recorded), strict=True) if condition
    ]

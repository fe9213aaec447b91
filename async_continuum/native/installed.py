"""Ask a database which tables have our triggers, and of which making."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, text

from async_continuum.native.plan import TriggerPlan
from async_continuum.native.text import ROLES, relation, trigger_name

PARTIAL = "async_continuum incomplete"
"""What stands for the fingerprint where some triggers of a table are missing, switched off, or of another making or
schema."""

_INSTALLED = text(
    """
    SELECT n.nspname, c.relname,
        count(*) = :number AND count(DISTINCT d.description) = 1 AND bool_and(t.tgenabled IN ('O', 'A'))
            -- They name their tables in full: of a schema that is called otherwise now, they would write elsewhere.
            AND bool_or(strpos(p.prosrc, quote_ident(n.nspname) || '.' || quote_ident(c.relname)) > 0),
        min(d.description), pg_catalog.pg_table_is_visible(c.oid)
    FROM pg_catalog.pg_trigger t
    JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
    LEFT JOIN pg_catalog.pg_description d
        ON d.objoid = t.oid AND d.classoid = 'pg_catalog.pg_trigger'::pg_catalog.regclass
    WHERE NOT t.tgisinternal AND t.tgname = ANY (CAST(:names AS text[]))
    GROUP BY c.oid, n.nspname, c.relname
    """
)
_PLANS = text(
    """
    SELECT n.nspname, c.relname, d.description, pg_catalog.pg_table_is_visible(c.oid)
    FROM pg_catalog.pg_trigger t
    JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_description d
        ON d.objoid = t.tgfoid AND d.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    WHERE NOT t.tgisinternal AND t.tgname = :name AND pg_catalog.starts_with(d.description, '{')
    """
)
_UNFIT = text(
    """
    SELECT n, CASE c.relkind WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a materialized view' WHEN 'f' THEN 'a foreign table'
        ELSE 'no table' END
    FROM unnest(CAST(:names AS text[])) AS n JOIN pg_catalog.pg_class c ON c.oid = to_regclass(n)
    WHERE c.relkind NOT IN ('r', 'p')
    """
)
_EXISTING = text("SELECT n FROM unnest(CAST(:names AS text[])) AS n WHERE to_regclass(n) IS NOT NULL")


def installed(connection: Connection) -> dict[tuple[str | None, str], str]:
    """Give the fingerprint of the triggers of each table that has some, by schema and name; in one statement.

    A table that the search path finds stands there without its schema as well, as metadata may name it either way.
    Where not all of its triggers are there and alike, `PARTIAL` stands for the fingerprint.
    """
    found: dict[tuple[str | None, str], str] = {}
    parameters = {"number": len(ROLES), "names": [trigger_name(role) for role in ROLES]}
    for schema, name, whole, comment, visible in connection.execute(_INSTALLED, parameters):
        fingerprint = comment if whole and comment is not None else PARTIAL
        found[schema, name] = fingerprint
        if visible:
            found[None, name] = fingerprint
    return found


def installed_plans(connection: Connection) -> dict[tuple[str | None, str], TriggerPlan]:
    """Give what the triggers of each table were made of, by schema and name as `installed` does; in one statement.

    Those of a making that did not write it down are not among them.
    """
    found: dict[tuple[str | None, str], TriggerPlan] = {}
    for schema, name, written, visible in connection.execute(_PLANS, {"name": trigger_name("insert")}):
        found[schema, name] = TriggerPlan.from_dict(json.loads(written))
        if visible:
            found[None, name] = found[schema, name]
    return found


def stale(connection: Connection, plans: Iterable[TriggerPlan]) -> list[TriggerPlan]:
    """List the plans whose triggers are missing in the database, or are not what the plan says."""
    known = installed(connection)
    return [plan for plan in plans if known.get((plan.schema, plan.name)) != plan.fingerprint]


def unfit(connection: Connection, plans: Sequence[TriggerPlan]) -> list[tuple[TriggerPlan, str]]:
    """List the plans of what cannot have such triggers, which look at all rows of a statement, and say what it is."""
    names = [relation(plan.name, plan.schema) for plan in plans]
    found = {row[0]: row[1] for row in connection.execute(_UNFIT, {"names": sorted({*names})})} if names else {}
    return [(plan, found[name]) for name, plan in zip(names, plans, strict=True) if name in found]


def existing(connection: Connection, plans: Iterable[TriggerPlan]) -> list[TriggerPlan]:
    """List the plans all of whose tables are there."""
    wanted = list(plans)
    tables = [
        [
            relation(plan.name, plan.schema),
            relation(plan.versions, plan.versions_schema),
            relation(plan.transaction.name, plan.transaction.schema),
            *(relation(each.name, each.schema) for each in plan.chain),
            *(relation(each.versions, each.versions_schema) for each in plan.chain),
            *(relation(each.name, plan.transaction.schema) for each in plan.transaction.companions),
        ]
        for plan in wanted
    ]
    names = sorted({name for each in tables for name in each})
    found = set(connection.scalars(_EXISTING, {"names": names})) if names else set()
    return [plan for plan, each in zip(wanted, tables, strict=True) if found.issuperset(each)]

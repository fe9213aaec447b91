"""Recorded natively: PostgreSQL triggers that write the history of a table, whoever changes it.

How DDL tools use it, a migration script among them, which knows no models::

    plan = plan_of(history, transaction_table)     # from a TableHistory; or TriggerPlan(...) from plain names
    plan.as_dict()                                 # literals to write into a script; TriggerPlan.from_dict(...)
    create_statements(plan)                        # texts without parameters; drop_statements(plan): the reverse
    connection.execute(TriggerDDL(statement))      # or op.execute(TriggerDDL(statement)): drivers differ about %
    create_triggers(connection, plan)              # both at once; drop_triggers(connection, plan): history stays
    plan.fingerprint                               # the comment of each trigger that these statements install
    installed(connection)                          # {(schema, table): fingerprint} of all that is installed, one query
    installed_plans(connection)                    # {(schema, table): plan}: what it was made of
    stale(connection, plans)                       # those that are missing or of another making

Creating is idempotent and replaces what is stale. It wants the table, its version table and the transaction table
there; a column that history keeps can be dropped or renamed only together with new triggers.
"""

from async_continuum.native.conditions import can_name_classes, recorded_condition
from async_continuum.native.ddl import TriggerDDL, create_triggers, drop_triggers, install
from async_continuum.native.dropping import drop_statements
from async_continuum.native.installed import PARTIAL, existing, installed, installed_plans, stale, unfit
from async_continuum.native.plan import (
    ChainedTable,
    CompanionPlan,
    TransactionPlan,
    TriggerPlan,
    companions_of,
    plan_of,
    records,
    transaction_plan_of,
)
from async_continuum.native.signing import give_way, signed_as, take
from async_continuum.native.statements import create_statements

__all__ = [
    "PARTIAL",
    "ChainedTable",
    "CompanionPlan",
    "TransactionPlan",
    "TriggerDDL",
    "TriggerPlan",
    "can_name_classes",
    "companions_of",
    "create_statements",
    "create_triggers",
    "drop_statements",
    "drop_triggers",
    "existing",
    "give_way",
    "install",
    "installed",
    "installed_plans",
    "plan_of",
    "recorded_condition",
    "records",
    "signed_as",
    "stale",
    "take",
    "transaction_plan_of",
    "unfit",
]

"""Run the statements that install or take away triggers, on any driver."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.compiler import DDLCompiler

from async_continuum.native.dropping import drop_statements
from async_continuum.native.installed import stale
from async_continuum.native.plan import TriggerPlan
from async_continuum.native.statements import create_statements


class TriggerDDL(ExecutableDDLElement):
    """One statement about triggers, for ``connection.execute`` and ``op.execute``: drivers read a % otherwise."""

    def __init__(self, statement: str) -> None:
        self.statement = statement


@compiles(TriggerDDL)
def _compile(element: TriggerDDL, compiler: DDLCompiler, **_: Any) -> str:
    text: str = compiler.sql_compiler.post_process_text(element.statement)  # type: ignore[no-untyped-call]
    return text


def create_triggers(connection: Connection | MockConnection, plan: TriggerPlan) -> None:
    """Install the triggers of a table, or replace them by what they should be."""
    for statement in create_statements(plan):
        connection.execute(TriggerDDL(statement))


def drop_triggers(connection: Connection | MockConnection, plan: TriggerPlan) -> None:
    """Take the triggers of a table away, as far as they are there."""
    for statement in drop_statements(plan):
        connection.execute(TriggerDDL(statement))


def install(connection: Connection, plans: Iterable[TriggerPlan]) -> None:
    """Install what is missing or stale."""
    for plan in stale(connection, plans):
        create_triggers(connection, plan)

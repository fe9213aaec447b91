"""Create, drop and replace the triggers of native versioning: operations, and how they stand in a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations

from async_continuum.native import TransactionPlan, TriggerDDL, TriggerPlan, create_statements, drop_statements


def plan_from(table: str, *, columns: Sequence[str] = (), key: Sequence[str] = ("id",), **given: Any) -> TriggerPlan:
    """Read the triggers of a table out of what a script says, and what is so by itself.

    Raises `TypeError` for an unknown name.
    """
    transaction = given.pop("transaction", {})
    signing = {"name": transaction} if isinstance(transaction, str) else dict(transaction)
    said = {
        "versions": f"{table}_version",
        "versions_schema": given.get("schema"),
        **given,
        "name": table,
        "columns": list(columns),
        "key": list(key),
        "transaction": {"name": "transaction", "schema": given.get("schema"), **signing},
    }
    return TriggerPlan.from_dict(said)


def install(operations: Operations, plan: TriggerPlan | None) -> None:
    """Make the triggers of a table what they should be, where it has some."""
    if plan is not None and _has_triggers(operations):
        for statement in create_statements(plan):
            operations.execute(TriggerDDL(statement))


def install_all(operations: Operations, plan: TriggerPlan | None) -> None:
    """Do so for the tables that are versioned with it as well: their triggers name its columns."""
    for each in () if plan is None else plan.hierarchy:
        install(operations, each)


def uninstall(operations: Operations, plan: TriggerPlan | None) -> None:
    """Take the triggers of a table away, where it has some; history stays."""
    if plan is not None and _has_triggers(operations):
        for statement in drop_statements(plan):
            operations.execute(TriggerDDL(statement))


def refuses_data_steps(plan: TriggerPlan | None) -> bool:
    """Say whether triggers keep a migration from filling versions: those of a history that only grows."""
    return bool(getattr(plan, "append_only", False))


def loosen(operations: Operations, plan: TriggerPlan | None) -> None:
    """Take triggers away that would refuse what follows; `install` brings them back."""
    if refuses_data_steps(plan):
        uninstall(operations, plan)


def _has_triggers(operations: Operations) -> bool:
    # On other databases the sessions record, under native versioning too: there is nothing to create.
    return operations.get_context().dialect.name == "postgresql"


class _TriggersOp(MigrateOperation):
    """The triggers of one table. Lives for one operation."""

    verb: str

    def __init__(self, plan: TriggerPlan) -> None:
        self.plan = plan

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return (self.verb, self.plan.fullname)


@Operations.register_operation("create_version_triggers")
class CreateVersionTriggersOp(_TriggersOp):
    """Create the triggers that record the changes of a table."""

    verb = "create_version_triggers"

    @classmethod
    def create_version_triggers(
        cls, operations: Operations, table: str, *, columns: Sequence[str], key: Sequence[str] = ("id",), **plan: Any
    ) -> Any:
        """Create the triggers that record the changes of a table; on other databases than PostgreSQL, nothing.

        ``columns`` are those that history keeps. The rest says what is not the default: ``versions``, ``schema``,
        ``versions_schema``, ``transaction`` (a name, or a dict of `TransactionPlan`), ``begins``, ``ends``,
        ``operation``, ``twins``, ``on_truncate``, ``append_only``, ``kept``, ``recorded``, ``chain``,
        ``names_class``, ``entity``, ``classes``, as `TriggerPlan` has them. Of a joined hierarchy each table has
        triggers, and wants the other tables to be there.
        """
        return operations.invoke(cls(plan_from(table, columns=columns, key=key, **plan)))

    def reverse(self) -> DropVersionTriggersOp:
        return DropVersionTriggersOp(self.plan)


@Operations.register_operation("drop_version_triggers")
class DropVersionTriggersOp(_TriggersOp):
    """Take the triggers of a table away; history stays."""

    verb = "drop_version_triggers"

    @classmethod
    def drop_version_triggers(cls, operations: Operations, table: str, **plan: Any) -> Any:
        """Take the triggers of a table away, as far as they are there; history stays.

        Of the arguments of `create_version_triggers` only ``versions`` and the schemas are needed, where they are not
        the default; the transaction table is known to the triggers.
        """
        return operations.invoke(cls(plan_from(table, **plan)))

    def reverse(self) -> CreateVersionTriggersOp:
        return CreateVersionTriggersOp(self.plan)


@Operations.register_operation("sync_version_triggers")
class SyncVersionTriggersOp(_TriggersOp):
    """Replace the triggers of a table by those that its columns and options want now."""

    verb = "sync_version_triggers"

    def __init__(self, plan: TriggerPlan, before: TriggerPlan | None = None) -> None:
        super().__init__(plan)
        self.before = before
        """What the triggers were, for the way back."""

    @classmethod
    def sync_version_triggers(
        cls, operations: Operations, table: str, *, columns: Sequence[str], key: Sequence[str] = ("id",), **plan: Any
    ) -> Any:
        """Replace the triggers of a table by these; the arguments are those of `create_version_triggers`."""
        return operations.invoke(cls(plan_from(table, columns=columns, key=key, **plan)))

    def reverse(self) -> MigrateOperation:
        if self.before is None:
            return DropVersionTriggersOp(self.plan)
        return SyncVersionTriggersOp(self.before, self.plan)


@Operations.implementation_for(CreateVersionTriggersOp)
@Operations.implementation_for(SyncVersionTriggersOp)
def _create(operations: Operations, operation: _TriggersOp) -> None:
    install(operations, operation.plan)


@Operations.implementation_for(DropVersionTriggersOp)
def _drop(operations: Operations, operation: DropVersionTriggersOp) -> None:
    uninstall(operations, operation.plan)


@renderers.dispatch_for(CreateVersionTriggersOp)
@renderers.dispatch_for(DropVersionTriggersOp)
@renderers.dispatch_for(SyncVersionTriggersOp)
def _render(context: AutogenContext, operation: _TriggersOp) -> str:
    # The script runs under an env.py without this line, too.
    context.imports.add("import async_continuum.ext.alembic  # noqa: F401")
    said = said_of(operation.plan)
    given = "".join(f",\n    {name}={value!r}" for name, value in said.items())
    return f"op.{operation.verb}({operation.plan.name!r}{given})"


def said_of(plan: TriggerPlan) -> dict[str, Any]:
    """Give what a script has to say of the triggers: all that is not so by itself."""
    plain = plan.as_dict()
    usual = {**_defaults(TriggerPlan), "versions": f"{plan.name}_version", "versions_schema": plan.schema}
    said = {name: value for name, value in plain.items() if name not in ("name", "transaction", "columns", "key")}
    said = {name: value for name, value in said.items() if value != usual.get(name, MISSING)}
    signing = {**_defaults(TransactionPlan), "name": "transaction", "schema": plan.schema}
    transaction = {name: value for name, value in plain["transaction"].items() if value != signing[name]}
    kept = {"columns": plain["columns"], "key": plain["key"]}
    return {**kept, **said, **({"transaction": transaction} if transaction else {})}


def _defaults(plan: type[Any]) -> Mapping[str, Any]:
    return {each.name: list(each.default) if isinstance(each.default, tuple) else each.default for each in fields(plan)}

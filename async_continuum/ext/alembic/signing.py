"""Let the transaction table keep its rows where its name changes: to Alembic, one table goes and another comes."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations
from alembic.operations.ops import CreateTableOp, DropTableOp, UpgradeOps
from sqlalchemy import Column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.compiler import DDLCompiler

from async_continuum.build import fit
from async_continuum.ext.alembic.known import table_of, transactions_of


@Operations.register_operation("rename_transaction_table")
class RenameTransactionTableOp(MigrateOperation):
    """Rename the transaction table. Lives for one operation."""

    def __init__(self, old_name: str, new_name: str, schema: str | None = None) -> None:
        self.old_name = old_name
        self.new_name = new_name
        self.schema = schema

    @classmethod
    def rename_transaction_table(
        cls, operations: Operations, old_name: str, new_name: str, *, schema: str | None = None
    ) -> Any:
        """Rename the table of the option ``transaction_table_name``, and the sequence of its ids; its rows stay.

        Indexes keep their names. Triggers name the table: drop them before, and create them after.
        """
        return operations.invoke(cls(old_name, new_name, schema))

    def reverse(self) -> RenameTransactionTableOp:
        return RenameTransactionTableOp(self.new_name, self.old_name, self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("rename_transaction_table", self.old_name, self.new_name)


@Operations.implementation_for(RenameTransactionTableOp)
def _rename(operations: Operations, operation: RenameTransactionTableOp) -> None:
    operations.rename_table(operation.old_name, operation.new_name, schema=operation.schema)
    if operations.get_context().dialect.name == "postgresql":
        old, new = (fit(f"{name}_id_seq") for name in (operation.old_name, operation.new_name))
        operations.execute(_RenameSequence(old, new, operation.schema))


class _RenameSequence(ExecutableDDLElement):
    """ALTER SEQUENCE ... RENAME TO."""

    def __init__(self, old_name: str, new_name: str, schema: str | None) -> None:
        self.old_name = old_name
        self.new_name = new_name
        self.schema = schema


@compiles(_RenameSequence, "postgresql")
def _compile(element: _RenameSequence, compiler: DDLCompiler, **_: Any) -> str:
    preparer = compiler.preparer
    old = preparer.quote(element.old_name)
    if element.schema is not None:
        old = f"{preparer.quote_schema(element.schema)}.{old}"
    return f"ALTER SEQUENCE IF EXISTS {old} RENAME TO {preparer.quote(element.new_name)}"


@renderers.dispatch_for(RenameTransactionTableOp)
def _render(context: AutogenContext, operation: RenameTransactionTableOp) -> str:
    # The script runs under an env.py without this line, too.
    context.imports.add("import async_continuum.ext.alembic  # noqa: F401")
    schema = f", schema={operation.schema!r}" if operation.schema is not None else ""
    return f"op.rename_transaction_table({operation.old_name!r}, {operation.new_name!r}{schema})"


def keep_transactions(context: AutogenContext, upgrade_ops: UpgradeOps) -> None:
    """Rename the transaction table where one with the same columns goes, and ours comes: history refers to its rows."""
    ours = transactions_of(context)
    for created in [each for each in upgrade_ops.ops if isinstance(each, CreateTableOp) and table_of(each) in ours]:
        columns = {column.name for column in created.columns if isinstance(column, Column)}
        going = [
            each
            for each in upgrade_ops.ops
            if isinstance(each, DropTableOp)
            and each.schema == created.schema
            and {column.name for column in each.to_table().columns} == columns
        ]
        if len(going) != 1:
            continue
        (dropped,) = going
        # Its indexes are named after it: the old ones go before, the new ones come after.
        before = [each for each in upgrade_ops.ops if each is not dropped and table_of(each) == table_of(dropped)]
        rest = [each for each in upgrade_ops.ops if each is not dropped and each not in before]
        place = rest.index(created)
        renamed = RenameTransactionTableOp(dropped.table_name, created.table_name, created.schema)
        upgrade_ops.ops[:] = [*rest[:place], *before, renamed, *rest[place + 1 :]]

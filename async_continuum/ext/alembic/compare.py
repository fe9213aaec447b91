"""Let `alembic revision --autogenerate` see version tables as the ordinary tables that they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alembic.autogenerate import comparators
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import AddColumnOp, CreateTableOp, DropColumnOp, ModifyTableOps, OpContainer, UpgradeOps
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Column, DateTime, MetaData, SmallInteger, Table

from async_continuum import OperationType, UtcDateTime
from async_continuum.manager import complete_metadata


def metadata_of(autogen_context: AutogenContext) -> list[MetaData]:
    """List what the models of this environment declare."""
    given = autogen_context.metadata
    if given is None:
        return []
    return [given] if isinstance(given, MetaData) else list(given)


@comparators.dispatch_for("autogenerate", priority=DispatchPriority.FIRST)
def build_late_tables(autogen_context: AutogenContext, _: UpgradeOps) -> PriorityDispatchResult:
    """Build, before anything is compared, the version tables that wait for mappers to be configured."""
    for metadata in metadata_of(autogen_context):
        complete_metadata(metadata)
    return PriorityDispatchResult.CONTINUE


@comparators.dispatch_for("autogenerate", priority=DispatchPriority.LAST)
def write_plainly(_: AutogenContext, upgrade_ops: UpgradeOps) -> PriorityDispatchResult:
    """Write the script in plain types, so that it stands by itself, whatever becomes of models and package."""
    for container in containers(upgrade_ops):
        for operation in container.ops:
            if isinstance(operation, CreateTableOp):
                operation.columns = [
                    _plain(item) if isinstance(item, Column) else item for item in operation.columns
                ]
                operation.info = {
                    key: value for key, value in operation.info.items() if not (_is_ours(key) or _is_ours(value))
                }
            elif isinstance(operation, AddColumnOp):
                operation.column = _plain(operation.column)
    return PriorityDispatchResult.CONTINUE


def containers(operations: OpContainer) -> Iterator[OpContainer]:
    """Walk through operations that hold others."""
    yield operations
    for each in operations.ops:
        if isinstance(each, OpContainer):
            yield from containers(each)


def _is_ours(noted: Any) -> bool:
    # Alembic writes into the script what stands in the ``info`` of a table; what this package notes there is no code.
    name = noted if isinstance(noted, str) else type(noted).__module__
    return name.partition(".")[0] == "async_continuum"


def _plain(column: Column[Any]) -> Column[Any]:
    if not isinstance(column.type, (OperationType, UtcDateTime)):
        return column
    # Private, and what Alembic does itself: the column is the model's own.
    copied: Column[Any] = column._copy()
    copied.type = SmallInteger() if isinstance(column.type, OperationType) else DateTime()
    return copied

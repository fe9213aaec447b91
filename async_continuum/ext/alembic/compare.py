"""Let `alembic revision --autogenerate` see version tables as the ordinary tables that they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from alembic.autogenerate import comparators
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import AddColumnOp, CreateTableOp, MigrateOperation, OpContainer, UpgradeOps
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import ARRAY, JSON, Column, DateTime, Enum, SmallInteger
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

from async_continuum import OperationType, UtcDateTime
from async_continuum.ext.alembic.known import dialect_of, histories_of, metadata_of, table_of
from async_continuum.manager import complete_metadata


@comparators.dispatch_for("autogenerate", priority=DispatchPriority.FIRST)
def build_late_tables(context: AutogenContext, _: UpgradeOps) -> PriorityDispatchResult:
    """Build, before anything is compared, the version tables that wait for mappers to be configured."""
    for metadata in metadata_of(context):
        complete_metadata(metadata)
    return PriorityDispatchResult.CONTINUE


def write_plainly(context: AutogenContext, upgrade_ops: UpgradeOps) -> None:
    """Write a script that runs by itself: version tables after what they are versions of, in plain types."""
    versions = histories_of(context)
    upgrade_ops.ops.sort(key=lambda operation: table_of(operation) in versions)
    for operation in list(flat(upgrade_ops)):
        if isinstance(operation, CreateTableOp):
            is_version = table_of(operation) in versions
            operation.columns = [
                _plain(item, context, shares=is_version) if isinstance(item, Column) else item
                for item in operation.columns
            ]
            noted = operation.info.items()
            operation.info = {key: value for key, value in noted if not (_is_ours(key) or _is_ours(value))}
        elif isinstance(operation, AddColumnOp):
            operation.column = _plain(operation.column, context, shares=table_of(operation) in versions)


def flat(operations: OpContainer) -> Iterator[MigrateOperation]:
    """Walk through operations, those that others hold included."""
    for each in operations.ops:
        if isinstance(each, OpContainer):
            yield from flat(each)
        else:
            yield each


def _is_ours(noted: Any) -> bool:
    # Alembic writes into the script what stands in the ``info`` of a table; what this package notes there is no code.
    name = noted if isinstance(noted, str) else type(noted).__module__
    return name.partition(".")[0] == "async_continuum"


def _plain(column: Column[Any], context: AutogenContext, *, shares: bool) -> Column[Any]:
    dialect = dialect_of(context)
    plain = _plain_type(column.type, dialect)
    if shares and dialect.name == "postgresql":
        plain = _existing_type(plain)
    if plain is column.type:
        return column
    # Private, and what Alembic does itself: the column is the model's own.
    copied: Column[Any] = column._copy()
    copied.type = plain
    return copied


def _plain_type(type_: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    if isinstance(type_, OperationType):
        return SmallInteger()
    if type(type_) is JSON and isinstance(type_.dialect_impl(postgresql.dialect()), postgresql.JSONB):  # type: ignore[no-untyped-call]
        # Alembic writes a JSONB among the variants of a type with names that the script does not have.
        chosen = postgresql.JSONB if dialect.name == "postgresql" else JSON
        return chosen(none_as_null=type_.none_as_null)
    return DateTime() if isinstance(type_, UtcDateTime) else type_


def _existing_type(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Give a type that the live table has created in the database, as one that is there already."""
    if isinstance(type_, (postgresql.ENUM, postgresql.DOMAIN)):
        existing: Any = type_.copy()  # type: ignore[no-untyped-call]
        existing.create_type = False
        return cast("TypeEngine[Any]", existing)
    if isinstance(type_, Enum) and type_.native_enum and type_.name:
        return postgresql.ENUM(*type_.enums, name=type_.name, schema=type_.schema, create_type=False)
    if isinstance(type_, ARRAY) and (item := _existing_type(type_.item_type)) is not type_.item_type:
        return postgresql.ARRAY(item, dimensions=type_.dimensions)
    return type_

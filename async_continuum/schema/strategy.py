"""Turn a version table from one strategy to the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import Column, Executable, Index, MetaData, Table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex, DropIndex, ExecutableDDLElement
from sqlalchemy.sql.compiler import DDLCompiler

from async_continuum.build import fit, transaction_id_type
from async_continuum.schema.chain import Named, Names, chain_of
from async_continuum.schema.fill import fill_end_transaction_ids


def convert_strategy(
    table: Named,
    to: Literal["validity", "subquery"],
    *,
    key: Sequence[str] = (),
    schema: str | None = None,
    transaction_column_name: str = "transaction_id",
    end_transaction_column_name: str = "end_transaction_id",
) -> tuple[Executable, ...]:
    """Give the statements that turn a version table from one strategy to the other, to be executed in this order.

    To 'validity': add the column of ends, fill it, index what is open. To 'subquery': drop the index and the column.
    As many for any number of rows. Raises `ValueError` without a key.
    """
    given = chain_of(table, key=key, schema=schema, names=Names(transaction_column_name, end_transaction_column_name))
    # A table of its own: the model's is as the database will be, not as it is.
    rows = Table(
        given.rows.name,
        MetaData(),
        *(Column(name) for name in given.key),
        Column(given.names.begins, transaction_id_type()),
        Column(end_transaction_column_name, transaction_id_type()),
        schema=getattr(given.rows, "schema", None),
    )
    ends = rows.c[end_transaction_column_name]
    match to:
        case "subquery":
            return _DropOpenIndex(open_index(rows, given.key, ends)), _DropColumn(ends)
        case "validity":
            filled = fill_end_transaction_ids(
                rows,
                key=given.key,
                transaction_column_name=given.names.begins,
                end_transaction_column_name=end_transaction_column_name,
            )
            return _AddColumn(ends), filled, _CreateOpenIndex(open_index(rows, given.key, ends))
        case _:
            raise ValueError(f"a strategy is 'validity' or 'subquery', not {to!r}")


def open_index(rows: Table, key: Sequence[str], ends: Column[Any]) -> Index:
    """Make the index that holds at most one open version for a key."""
    is_open = ends.is_(None)
    return Index(
        fit(f"uq_{rows.name}_open"),
        *(rows.c[name] for name in key),
        unique=True,
        postgresql_where=is_open,
        sqlite_where=is_open,
    )


class _CreateOpenIndex(CreateIndex):
    """CREATE INDEX, where there are partial indexes."""


class _DropOpenIndex(DropIndex):
    """DROP INDEX, where there are partial indexes."""


@compiles(_CreateOpenIndex, "mysql", "mariadb")
@compiles(_DropOpenIndex, "mysql", "mariadb")
def _no_partial_index(element: object, compiler: DDLCompiler, **_: Any) -> str:
    return "DO 0"


class _Column(ExecutableDDLElement):
    def __init__(self, changed: Column[Any]) -> None:
        self.changed = changed


class _AddColumn(_Column):
    """ALTER TABLE ... ADD COLUMN."""


class _DropColumn(_Column):
    """ALTER TABLE ... DROP COLUMN."""


@compiles(_AddColumn)
def _add(element: _AddColumn, compiler: DDLCompiler, **_: Any) -> str:
    return f"ALTER TABLE {_table(element, compiler)} ADD COLUMN {compiler.get_column_specification(element.changed)}"


@compiles(_DropColumn)
def _drop(element: _DropColumn, compiler: DDLCompiler, **_: Any) -> str:
    name = compiler.preparer.format_column(element.changed)
    return f"ALTER TABLE {_table(element, compiler)} DROP COLUMN {name}"


def _table(element: _Column, compiler: DDLCompiler) -> str:
    return compiler.preparer.format_table(element.changed.table)

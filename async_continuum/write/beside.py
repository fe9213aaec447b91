"""Write what belongs to a transaction beside its versions: the rows and statements of plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Executable,
    FromClause,
    Select,
    String,
    Table,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    null,
    select,
    true,
    update,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

from async_continuum.build import TableHistory
from async_continuum.declare import COMPANIONS, Companion
from async_continuum.write.compiled import Compiled
from async_continuum.write.pieces import TX, Pieces

Rows = tuple[Table, Sequence[Mapping[str, Any]]]
"""Rows of a companion that come with a new transaction row, without their transaction's id."""

ENTITY: ColumnElement[str] = bindparam("ac_entity", type_=String())


@dataclass(frozen=True, eq=False, slots=True)
class Writing:
    """Versions of one table that one step has written or taken away. Lives while the SQL is built."""

    history: TableHistory
    transactions: Table
    """The transaction table."""
    dialect: Dialect
    transaction_id: ColumnElement[int]
    entity: ColumnElement[str]
    """The name of the class whose objects have changed."""
    versions: FromClause
    """Their keys, under the names that the version table gives them, and their operation; where versions were taken
    away, those that the transaction has left."""
    certain: bool = False
    """Whether the statement runs only where there are some."""

    @property
    def any_versions(self) -> ColumnElement[bool]:
        """Say whether there are any."""
        return true() if self.certain else exists(select(null()).select_from(self.versions))


def beside(writing: Writing, *, first: bool) -> list[Executable]:
    """List what plugins write with versions."""
    extras = writing.history.extras
    return [*extras.versions_written(writing), *(extras.first_versions(writing) if first else ())]


def written_by(p: Pieces, transactions: Table, *, removed: bool = False) -> Writing:
    """Describe a step of a dialect that writes with one statement after the other.

    What goes with written versions is executed only where some were written: of the keys of one chunk it is not known.
    """
    versions = p.history.version_table
    mine: Select[Any] = select(*p.history.key_of(versions), versions.c[p.history.operation])
    mine = mine.where(p.begins(versions) == TX)
    if not removed:
        mine = mine.where(p.among(versions))
    certain = not removed and not p.keys.chunked
    return Writing(p.history, transactions, p.dialect, TX, ENTITY, mine.subquery("ac_written"), certain)


def execute_beside(connection: Connection, statement: Compiled, parameters: Mapping[str, Any]) -> None:
    """Execute a statement of a plugin, and name the plugin where the database refuses it."""
    try:
        statement.execute(connection, parameters)
    except DBAPIError as error:
        error.add_note(f"in a statement of the plugin {statement.statement.get_execution_options().get('plugin')}")
        raise


def insert_rows(connection: Connection, transaction_id: int, rows: Sequence[Rows]) -> None:
    """Insert what comes with a new transaction row."""
    for table, values in rows:
        column = _companion(table).transaction_id
        if values:
            connection.execute(insert(table), [{column.key: transaction_id, **each} for each in values])


def rows_statement(table: Table, names: Sequence[str], transaction_id: ColumnElement[int]) -> Any:
    """Insert rows that are handed over in one array for each column (PostgreSQL)."""
    arrays = [bindparam(f"ac_{table.name}_{name}", type_=ARRAY(table.c[name].type)) for name in names]
    given = func.unnest(*arrays).table_valued(*names).render_derived(name=f"ac_given_{table.name}")
    copied = select(transaction_id, *given.c)
    return insert(table).from_select([_companion(table).transaction_id.key, *names], copied, include_defaults=False)


def rows_parameters(rows: Sequence[Rows]) -> dict[str, list[Any]]:
    """Give the arrays of `rows_statement`."""
    return {
        f"ac_{table.name}_{name}": [each[name] for each in values]
        for table, values in rows
        for name in (values[0] or ())
    }


def companions(transactions: Table) -> Sequence[Companion]:
    """List the tables whose rows belong to the transactions of a table."""
    found: Sequence[Companion] = transactions.info.get(COMPANIONS, ())
    return found


def renumber_companions(connection: Connection, transactions: Table, old: int, new: int) -> None:
    """Move what belongs to a transaction to the id that it has now."""
    for companion in companions(transactions):
        values: dict[str, Any] = {column.key: case((column == old, new), else_=column) for column in companion.follows}
        values[companion.transaction_id.key] = new
        connection.execute(update(companion.table).where(companion.transaction_id == old).values(values))


def kept_by(transactions: Table, transaction_id: Any) -> list[ColumnElement[bool]]:
    """Say what else than a version keeps a transaction row; of one, or of each, where its id is a column."""
    return [
        exists(select(null()).select_from(each.table).where(each.transaction_id == transaction_id))
        for each in companions(transactions)
        if each.keeps
    ]


def drop_companions(connection: Connection, transactions: Table, transaction_id: int) -> None:
    """Take away what belonged to a transaction of which nothing is left."""
    for companion in companions(transactions):
        connection.execute(delete(companion.table).where(companion.transaction_id == transaction_id))


def drop_orphans(connection: Connection, transactions: Table) -> None:
    """Take away what belonged to transactions whose rows are gone."""
    for companion in companions(transactions):
        kept = select(null()).select_from(transactions).where(transactions.c.id == companion.transaction_id)
        connection.execute(delete(companion.table).where(~exists(kept.correlate(companion.table))))


def _companion(table: Table) -> Companion:
    found: Companion = table.info[COMPANIONS]
    return found

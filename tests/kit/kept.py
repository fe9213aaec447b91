"""Say which tables a manager keeps the history of: those of models, and those of links between them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Column, ColumnElement, Connection, FromClause, Table, and_, inspect

import async_continuum as ac


@dataclass(frozen=True, slots=True)
class History:
    """A live table and the table of its versions. Lives for one check."""

    name: str
    live: Table
    versions: Table
    transaction: Table
    key: tuple[str, ...]
    begins: str
    ends: str | None
    operation: str
    is_link: bool = False
    top: "History | None" = None
    """Of a table below, under joined inheritance, that of the topmost one."""
    names_class: str | None = None
    """The column of the topmost table that says of which class an entity is."""
    classes: tuple[object, ...] = ()
    """What it says of those that have a row in this table."""

    @property
    def shared(self) -> list[str]:
        """Name the columns that a version and the live row both hold."""
        own = {self.begins, self.ends, self.operation}
        return [name for name in self.versions.c.keys() if name in self.live.c and name not in own]  # noqa: SIM118

    def columns(self, rows: FromClause) -> list[ColumnElement[Any]]:
        return [rows.c[name] for name in self.key]

    def same_entity(self, left: FromClause, right: FromClause) -> ColumnElement[bool]:
        return and_(*(left.c[name] == right.c[name] for name in self.key))


def present(connection: Connection, manager: ac.VersioningManager) -> Iterator[History]:
    """List the histories of models and links whose tables exist here."""
    names: dict[str | None, set[str]] = {}

    def exists_here(table: Table) -> bool:
        if table.schema not in names:
            names[table.schema] = tables_in(connection, table.schema)
        return table.name in names[table.schema]

    for history in (*map(_of_model, manager.models), *map(_of_link, manager.coverage.links.values())):
        if all(map(exists_here, (history.live, history.versions, history.transaction))):
            yield history


def tables_in(connection: Connection, schema: str | None) -> set[str]:
    """Name the tables and views of a schema, or of the one that the connection translates it to; asked once on each."""
    translated = connection.get_execution_options().get("schema_translate_map") or {}
    where = translated.get(schema, schema)
    known = _known.setdefault(connection, {})
    if where not in known:
        look = inspect(connection)
        known[where] = {*look.get_table_names(where), *look.get_view_names(where)}
    return known[where]


# A connection lives for one check, in which nobody makes a table.
_known: WeakKeyDictionary[Connection, dict[str | None, set[str]]] = WeakKeyDictionary()


def _of_link(link: Any) -> History:
    kept = link.history
    transaction = _table(link.transaction_class)
    return History(
        kept.table.name,
        kept.table,
        kept.version_table,
        transaction,
        kept.key,
        kept.begins,
        kept.ends,
        kept.operation,
        is_link=True,
    )


def _of_model(model: type) -> History:
    mapper = inspect(model)
    live, versions = mapper.local_table, ac.version_table(model)
    begins = _key_of(versions, ac.tx_column_name(model))
    ends = _key_of(versions, ac.end_tx_column_name(model))
    assert begins is not None, f"{versions} has no column {ac.tx_column_name(model)}"
    key = tuple(column.key for column in mapper.primary_key if column.table is live)
    # Under joined inheritance the primary key is that of the topmost table, and each table below repeats it.
    key = key or tuple(column.key for column in live.primary_key)
    transaction = _table(ac.transaction_class(model))
    found = History(model.__name__, live, versions, transaction, key, begins, ends, _operation_column(versions, live))
    return _below(found, mapper)


def _below(found: History, mapper: Any) -> History:
    chain = list(mapper.iterate_to_root())
    concrete = next((place for place, each in enumerate(chain) if each.concrete), len(chain) - 1)
    root = chain[concrete]
    named = root.polymorphic_on
    if root.local_table is found.live or not ac.is_versioned(root.class_) or not isinstance(named, Column):
        return found
    classes = tuple(each.polymorphic_identity for each in root.self_and_descendants if found.live in each.tables)
    return replace(found, top=_of_model(root.class_), names_class=named.key, classes=classes)


def _table(model: type) -> Table:
    table = inspect(model).local_table
    assert isinstance(table, Table)
    return table


def _key_of(table: Table, name: str) -> str | None:
    return next((column.key for column in table.c if name in (column.name, column.key)), None)


def _operation_column(versions: Table, live: Table) -> str:
    (found,) = (
        column.key for column in versions.c if column.key not in live.c and isinstance(column.type, ac.OperationType)
    )
    return found

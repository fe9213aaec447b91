"""Mark the keys that a statement touches without reading them: they stay in the database, where versions are written.

PostgreSQL keeps them in settings of the transaction, one for each column of the key, which cost nothing and go with
the transaction; SQLite in a temporary table of the connection, empty but while a statement is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    Connection,
    MetaData,
    Select,
    Table,
    Text,
    any_,
    case,
    cast,
    func,
    insert,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ColumnElement
from sqlalchemy.types import NullType, TypeEngine

from async_continuum.dialects.keys import Columns, Keys, MarkedKeys

Parameters = Sequence[Mapping[str, Any]]


def marks_for(types: Sequence[TypeEngine[Any]], dialect: Dialect, *, paired: bool = False) -> Marks | None:
    """Choose where ``dialect`` keeps marked keys of these types; None where they must be read.

    ``paired``: each key beside the one that the statement makes of it, or beside itself where the row is inserted by a
    statement that updates others.
    """
    match dialect.name:
        case "postgresql" if not any(isinstance(type_.dialect_impl(dialect), ARRAY) for type_ in types):
            return SettingMarks(tuple(types), paired)
        case "sqlite":
            return TableMarks(len(types), paired)
    return None


@dataclass(frozen=True, eq=False)
class SettingMarks:
    """Keys marked in settings of PostgreSQL's transaction. Lives for one statement."""

    types: tuple[TypeEngine[Any], ...]
    paired: bool

    def keys(self, *, after: bool = False) -> MarkedKeys:
        """Give the marked keys; ``after``: those that a statement makes of them."""
        offset = len(self.types) if after else 0

        def among(columns: Columns, name: str) -> ColumnElement[bool]:
            start = len(self.types) if name == "fresh" else offset
            arrays = [self._array(start, i) for i in range(len(self.types))]
            if len(arrays) == 1:
                # An array that is read once, and looked up key by key: of what unnest gives PostgreSQL expects a part,
                # and joins it to all rows; read in the condition itself, it might be read for each of them.
                once = cast(select(arrays[0]).scalar_subquery(), ARRAY(self.types[0]))
                return columns[0] == any_(once)
            rows = func.unnest(*arrays).table_valued(*(f"k{i}" for i in range(len(arrays)))).render_derived()
            return tuple_(*columns).in_(select(*rows.c))

        return MarkedKeys(Keys(f"marked_{offset}", among, _nothing, count=func.cardinality(self._array(offset, 0))))

    def _array(self, offset: int, number: int) -> ColumnElement[Any]:
        return cast(func.current_setting(_setting(offset + number)), ARRAY(self.types[number]))

    def begin(self, connection: Connection, *, many: bool) -> None:
        """Make place for the marks of a statement; of one that is executed many times they add up."""
        if many:
            width = len(self.types) * (2 if self.paired else 1)
            connection.execute(select(*(_set(i, literal_column("'{}'")) for i in range(width))))

    def claim(self, connection: Connection, found: Select[Any], parameters: Parameters) -> int | None:
        """Mark the keys that a query finds; gives how many, if it is executed once."""
        many = len(parameters) > 1
        rows = found.subquery("ac_found")
        statement = select(
            func.count(),
            *(_set(i, _collected(column, i, many=many)) for i, column in enumerate(rows.c)),
        )
        if not many:
            return int(connection.execute(statement, dict(parameters[0]) if parameters else {}).one()[0])
        connection.execute(statement, [dict(given) for given in parameters])
        return None

    def returning(
        self, text: str, keys: Sequence[str], columns: Sequence[str], *, many: bool, inserted: str = ""
    ) -> str:
        """Have what a statement's text would return of its keys marked instead, and the rest returned as before.

        ``keys`` are the key's columns as the text knows them, ``columns`` the names of those that it returns already,
        by which SQLAlchemy may look for them, ``inserted`` the condition on rows whose keys are paired. As many rows
        are returned as the statement touches, be it of no column, so that the row count stays the same.
        """
        width = len(keys)
        names = ", ".join(f"c{i}" for i in range(len(columns)))
        shown = ", ".join(f"c{i} AS {name}" for i, name in enumerate(columns))
        marked = ", ".join([f"k{i}" for i in range(width)] + ["inserted"] * bool(inserted))
        returned = ", ".join([*keys, *[inserted] * bool(inserted)])
        returning = f"{text}{',' if columns else ' RETURNING'} {returned}"
        collected = [_collect(i, f"array_agg(k{i})", many=many) for i in range(width)]
        if inserted:
            new = " FILTER (WHERE inserted)"
            collected += [_collect(width + i, f"array_agg(k{i}){new}", many=many) for i in range(width)]
        settings = ", ".join(collected)
        return (
            f"WITH async_continuum_done ({names}{', ' if columns else ''}{marked}) AS ({returning}), "
            f"async_continuum_marked AS (SELECT {settings} FROM async_continuum_done) "
            f"SELECT {shown} FROM async_continuum_done WHERE (SELECT count(*) FROM async_continuum_marked) = 1"
        )

    def end(self, connection: Connection) -> None:
        """Leave nothing: the settings end with the transaction by themselves."""


def _name(number: int) -> str:
    return f"'async_continuum.keys_{number}'"


def _setting(number: int) -> ColumnElement[Any]:
    return literal_column(_name(number))


def _set(number: int, value: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.set_config(_setting(number), value, literal_column("true"))


def _collected(column: ColumnElement[Any], number: int, *, many: bool) -> ColumnElement[Any]:
    new: ColumnElement[Any] = func.coalesce(cast(func.array_agg(column), Text()), literal_column("'{}'"))
    if not many:
        return new
    old = func.current_setting(_setting(number))
    none: ColumnElement[Any] = literal_column("'{}'")
    joined = func.concat(func.left(old, literal_column("-1")), literal_column("','"), func.substr(new, 2))
    return case((old == none, new), (new == none, old), else_=joined)


def _collect(number: int, keys: str, *, many: bool) -> str:
    name, new = _name(number), f"coalesce(CAST({keys} AS text), '{{}}')"
    if many:
        old = f"current_setting({name})"
        new = (
            f"CASE WHEN {old} = '{{}}' THEN {new} WHEN {new} = '{{}}' THEN {old} "
            f"ELSE concat(left({old}, -1), ',', substr({new}, 2)) END"
        )
    return f"set_config({name}, {new}, true)"


@dataclass(frozen=True, eq=False)
class TableMarks:
    """Keys marked in a temporary table of SQLite's connection. Lives for one statement."""

    width: int
    paired: bool

    @property
    def table(self) -> Table:
        return _table(self.width * (2 if self.paired else 1))

    def keys(self, *, after: bool = False) -> MarkedKeys:
        """Give the marked keys; ``after``: those that a statement makes of them."""
        offset = self.width if after else 0
        marks = self.table

        def among(columns: Columns, name: str) -> ColumnElement[bool]:
            start = self.width if name == "fresh" else offset
            marked = [marks.c[f"k{start + i}"] for i in range(self.width)]
            found = select(*marked).where(marked[0].is_not(None)) if name == "fresh" else select(*marked)
            return columns[0].in_(found) if self.width == 1 else tuple_(*columns).in_(found)

        return MarkedKeys(Keys(f"marked_{marks.name}_{offset}", among, _nothing))

    def begin(self, connection: Connection, *, many: bool) -> None:
        """Make place for the marks of a statement."""
        columns = ", ".join(column.name for column in self.table.c)
        connection.exec_driver_sql(f"CREATE TEMP TABLE IF NOT EXISTS {self.table.name} ({columns})")
        # What an error has left there.
        self.end(connection)

    def claim(self, connection: Connection, found: Select[Any], parameters: Parameters) -> int | None:
        """Mark the keys that a query finds; gives how many, if it is executed once."""
        names = [f"k{i}" for i in range(len(found.selected_columns))]
        statement = insert(self.table).from_select(names, found)
        if len(parameters) > 1:
            connection.execute(statement, [dict(given) for given in parameters])
            return None
        return connection.execute(statement, dict(parameters[0]) if parameters else {}).rowcount

    def watch(self, connection: Connection, watched: Table, keys: Sequence[str]) -> None:
        """Have the keys of rows marked as they are inserted and updated, until `unwatch`."""
        quote = connection.dialect.identifier_preparer
        for verb in ("INSERT", "UPDATE"):
            # What an upsert updates it does not insert, and fires no trigger for.
            values = [f"new.{quote.quote(key)}" for key in keys] * (2 if self.paired and verb == "INSERT" else 1)
            names = ", ".join(f"k{i}" for i in range(len(values)))
            connection.exec_driver_sql(
                f"CREATE TEMP TRIGGER IF NOT EXISTS {self._trigger(connection, watched, verb)} AFTER {verb} "
                f"ON {name_on(connection, watched)} BEGIN "
                f"INSERT INTO {self.table.name} ({names}) VALUES ({', '.join(values)}); END"
            )

    def unwatch(self, connection: Connection, watched: Table) -> None:
        """Mark no more rows."""
        for verb in ("INSERT", "UPDATE"):
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {self._trigger(connection, watched, verb)}")

    def end(self, connection: Connection) -> None:
        """Leave nothing."""
        connection.exec_driver_sql(f"DELETE FROM temp.{self.table.name}")

    def _trigger(self, connection: Connection, watched: Table, verb: str) -> str:
        quote = connection.dialect.identifier_preparer.quote_identifier
        return quote(f"async_continuum_{verb.lower()}_{watched.fullname}")


def name_on(connection: Connection, table: Table) -> str:
    """Write where a connection has a table: no ``schema_translate_map`` changes what the driver is sent directly."""
    quote, translated = connection.dialect.identifier_preparer, connection.get_execution_options()
    schemas: Mapping[str | None, str | None] = translated.get("schema_translate_map") or {}
    schema, name = schemas.get(table.schema, table.schema), quote.quote(table.name)
    return name if schema is None else f"{quote.quote_schema(schema)}.{name}"


Marks = SettingMarks | TableMarks


@cache
def _table(width: int) -> Table:
    keys = [Column(f"k{i}", NullType()) for i in range(width)]
    return Table(f"async_continuum_marks_{width}", MetaData(), *keys, schema="temp")


def _nothing(_: object, __: str) -> dict[str, Any]:
    # No parameter: the statement says itself where the keys are.
    return {}

"""Read the database's own clock, in UTC, as the naive timestamp that the transaction table stores, and reckon in it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import DateTime, func, literal_column
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


def clock(dialect: Dialect) -> ColumnElement[Any]:
    """Give the moment at which the statement runs, not the one at which its transaction began."""
    match dialect.name:
        case "postgresql":
            return func.timezone("utc", func.clock_timestamp(), type_=DateTime())
        case "sqlite":
            # SQLite's clock has milliseconds; six digits, because moments are compared as text.
            return literal_column("strftime('%Y-%m-%d %H:%M:%f000', 'now')", DateTime())
        case "mysql" | "mariadb":
            return func.utc_timestamp(6, type_=DateTime())
        case _:
            return func.current_timestamp(type_=DateTime())


class _Near(FunctionElement[Any]):
    """A moment ten seconds away from a stored one: by how much the order of moments may differ from that of ids."""

    type = DateTime()
    sign = "-"
    inherit_cache = True


class shortly_before(_Near):
    """Ten seconds before a stored moment."""

    inherit_cache = True


class shortly_after(_Near):
    """Ten seconds after a stored moment."""

    sign = "+"
    inherit_cache = True


@compiles(_Near)
def _standard(element: _Near, compiler: SQLCompiler, **kw: Any) -> str:
    return f"({compiler.process(element.clauses, **kw)} {element.sign} INTERVAL '10' SECOND)"


@compiles(_Near, "sqlite")
def _sqlite(element: _Near, compiler: SQLCompiler, **kw: Any) -> str:
    moment = compiler.process(element.clauses, **kw)
    return f"strftime('%Y-%m-%d %H:%M:%f000', {moment}, '{element.sign}10 seconds')"

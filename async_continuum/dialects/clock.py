"""Read the database's own clock, in UTC, as the naive timestamp that the transaction table stores."""

from __future__ import annotations

from typing import Any

from sqlalchemy import DateTime, func, literal_column
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ColumnElement


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

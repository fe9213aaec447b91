"""Store what history adds to a row: moments, operations, transaction ids."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Integer, SmallInteger, literal_column
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ColumnElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from async_continuum.operation import Operation

DELETE_IN_SQL: ColumnElement[int] = literal_column(str(Operation.DELETE.value), type_=SmallInteger)
"""What `operation_type` is compared with to leave DELETE versions out: written into the statement.

Of a parameter, PostgreSQL expects in a generic plan that nearly no row differs from it, and then joins a whole table
before it restricts it: 43 ms rather than 3 for the tags of 100 versions.
"""


def transaction_id_type() -> TypeEngine[int]:
    """Give the type of a transaction id; SQLite counts up only a column that is INTEGER."""
    return _TRANSACTION_ID


_TRANSACTION_ID = BigInteger().with_variant(Integer(), "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware `datetime` in UTC in Python, SQLAlchemy-Continuum's naive UTC timestamp in the table."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Keep microseconds on MariaDB too, whose DATETIME would count whole seconds."""
        if dialect.name not in ("mariadb", "mysql"):
            return super().load_dialect_impl(dialect)
        # Here, because importing a dialect takes longer than importing all of this package.
        from sqlalchemy.dialects import mysql

        return dialect.type_descriptor(mysql.DATETIME(fsp=6))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} is naive: give a datetime with a timezone, such as datetime.now(UTC).")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class _Operations(dict[int | None, Operation | None]):
    def __missing__(self, value: Any) -> Operation:
        return Operation(value)


_OPERATIONS = _Operations({None: None} | {each.value: each for each in Operation})


class OperationType(TypeDecorator[Operation]):
    """An `Operation` in Python, a small integer in the table."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:
        return None if value is None else int(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Operation | None:
        return _OPERATIONS[value]

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Operation | None]:
        # For each row that is read, a look-up rather than three calls of Python functions.
        return _OPERATIONS.__getitem__

"""Compare two rows as they are stored, never under a collation or a type's own idea of equality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Integer, LargeBinary, Text, cast, collate, func, literal_column, or_, type_coerce
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ColumnElement
from sqlalchemy.types import NullType, UserDefinedType

_GROUP = 50

Pair = tuple[ColumnElement[Any], ColumnElement[Any]]


class _Record(UserDefinedType[Any]):
    """PostgreSQL's ``record``: a row as one value, which has an operator that compares images."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "record"


def differs(pairs: Sequence[Pair], dialect: Dialect) -> ColumnElement[bool]:
    """Say whether any of ``pairs`` is stored differently; NULL is a value like others, json and xml compare too."""
    match dialect.name:
        case "postgresql":
            left = cast(func.row(*(a for a, _ in pairs), type_=NullType()), _Record())
            right = cast(func.row(*(b for _, b in pairs), type_=NullType()), _Record())
            # The record image operators: https://www.postgresql.org/docs/current/functions-comparisons.html
            return left.bool_op("*<>")(right)
        case "sqlite":
            return _any([_differs_on_sqlite(a, b) for a, b in pairs])
        case "mysql" | "mariadb":
            return or_(*(cast(a, LargeBinary).is_distinct_from(cast(b, LargeBinary)) for a, b in pairs))
        case _:
            return or_(*(a.is_distinct_from(b) for a, b in pairs))


def _any(flags: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    # SQLite takes an OR of many for a tree as deep as they are many, and refuses one deeper than 1,000. Its max() of
    # several arguments is no aggregate.
    if len(flags) <= _GROUP:
        return or_(*flags)
    groups = [flags[start : start + _GROUP] for start in range(0, len(flags), _GROUP)]
    return func.max(*(or_(*group) for group in groups), type_=Integer()) == literal_column("1")


def _differs_on_sqlite(a: ColumnElement[Any], b: ColumnElement[Any]) -> ColumnElement[bool]:
    # 1 and 1.0 are equal to SQLite and not the same value.
    bytewise = collate(type_coerce(a, Text()), "BINARY").is_distinct_from(type_coerce(b, Text()))
    return or_(bytewise, func.typeof(a) != func.typeof(b))

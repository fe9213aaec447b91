"""Hand any number of keys to the database in one parameter, so that a table needs one SQL text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ARRAY, Integer, Text, and_, any_, bindparam, func, or_, select, tuple_
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ColumnElement
from sqlalchemy.types import LargeBinary, TypeEngine

Key = tuple[Any, ...]
Columns = Sequence[ColumnElement[Any]]

CHUNK = 400
_SIZES = (4, 16, 64, 256)


@dataclass(frozen=True, slots=True)
class Keys:
    """One way in which a dialect takes keys. Lives as long as the statements that are built with it."""

    name: str
    among: Callable[[Columns, str], ColumnElement[bool]]
    bind: Callable[[Any, str], dict[str, Any]]
    chunk: int | None = None
    """How many it takes at once; None for any number."""
    count: ColumnElement[int] | None = None
    """How many they are, where only the database knows."""

    @property
    def chunked(self) -> bool:
        """Say whether many keys take more than one execution."""
        return self.chunk is not None

    def batches(self, keys: AnyKeys) -> Iterator[AnyKeys]:
        """Split ``keys`` into what one execution takes: all of them, or chunks where the database has no better way."""
        if isinstance(keys, MarkedKeys) or self.chunk is None:
            yield keys
            return
        for start in range(0, len(keys), self.chunk):
            yield keys[start : start + self.chunk]


Part = Literal["none", "some", "all"]
"""How many of some keys are meant."""


@dataclass(frozen=True, slots=True)
class MarkedKeys:
    """Keys that stay where they are, in the database: a statement has marked them there. Lives for one statement."""

    way: Keys
    inserted: Part = "all"
    """How many of them are of rows that were inserted, where any are: those that are ``way.among`` "fresh"."""


AnyKeys = Sequence[Key] | MarkedKeys
Fresh = frozenset[Key] | MarkedKeys
"""Those of some keys whose rows were inserted: of marked ones, as many as these say."""


def each_once(some: AnyKeys, others: AnyKeys) -> list[AnyKeys]:
    """Give all of these keys, none twice where they are in Python."""
    if isinstance(some, MarkedKeys) or isinstance(others, MarkedKeys):
        return [some] if some is others else [keys for keys in (some, others) if keys]
    return [tuple(dict.fromkeys((*some, *others)))]


def fresh_part(keys: AnyKeys, fresh: Fresh) -> tuple[Part, Sequence[Key]]:
    """Say how many of ``keys`` are among ``fresh``, and give them where they are in Python."""
    if isinstance(keys, MarkedKeys) or isinstance(fresh, MarkedKeys):
        return (fresh.inserted if isinstance(fresh, MarkedKeys) else "none"), ()
    new = [key for key in keys if key in fresh] if fresh else []
    return ("none" if not new else "all" if len(new) == len(keys) else "some"), new


def keys_for(types: Sequence[TypeEngine[Any]], keys: AnyKeys, dialect: Dialect) -> Keys:
    """Choose the way in which ``dialect`` takes ``keys`` of these column types."""
    if isinstance(keys, MarkedKeys):
        return keys.way
    if len(keys) == 1:
        return _one(types)
    if all(_plain(type_) for type_ in types):
        if dialect.name == "postgresql" and not any(_is_array(type_, dialect) for type_ in types):
            return _arrays(types)
        if dialect.name == "sqlite" and not any(_is_binary(type_, dialect) for type_ in types):
            encode = _encoder(types, dialect)
            if _are_integers(types) or all(_survives_json(value) for key in keys for value in encode(key)):
                return _json(len(types), encode)
    elif len(types) > 1:
        return _alternatives(types, size=next((size for size in _SIZES if len(keys) <= size), _SIZES[-1]))
    return _chunks(types)


def _plain(type_: TypeEngine[Any]) -> bool:
    # A type that wraps its parameters in an expression cannot take them inside an array: nothing would match.
    return type_.bind_expression(bindparam("probe", type_=type_)) is None


def _is_array(type_: TypeEngine[Any], dialect: Dialect) -> bool:
    return isinstance(type_.dialect_impl(dialect), ARRAY)


def _is_binary(type_: TypeEngine[Any], dialect: Dialect) -> bool:
    return isinstance(type_.dialect_impl(dialect), LargeBinary)


def _are_integers(types: Sequence[TypeEngine[Any]]) -> bool:
    return all(isinstance(type_, Integer) for type_ in types)


def _survives_json(value: Any) -> bool:
    # SQLite's JSON text ends at a NUL; whatever is no JSON scalar is adapted by the driver.
    return isinstance(value, (int, float)) or (isinstance(value, str) and "\0" not in value)


def _encoder(types: Sequence[TypeEngine[Any]], dialect: Dialect) -> Callable[[Key], list[Any]]:
    processors = [type_.dialect_impl(dialect).bind_processor(dialect) for type_ in types]
    if not any(processors):
        return list
    return lambda key: [
        value if process is None else process(value) for process, value in zip(processors, key, strict=True)
    ]


def parameter(name: str) -> str:
    """Name a parameter as no column is called: SQLAlchemy would take it for the new value of that column."""
    return f"ac_{name}"


def _one(types: Sequence[TypeEngine[Any]]) -> Keys:
    # By far the most frequent number. PostgreSQL plans an equality once for a prepared statement, but an array of
    # unknown length anew each time, which costs more than the rest of such a statement.
    def among(columns: Columns, name: str) -> ColumnElement[bool]:
        binds = [bindparam(f"{parameter(name)}_{i}", type_=type_) for i, type_ in enumerate(types)]
        return and_(*(column == bind for column, bind in zip(columns, binds, strict=True)))

    def bind(keys: Sequence[Key], name: str) -> dict[str, Any]:
        return {f"{parameter(name)}_{i}": value for i, value in enumerate(keys[0])}

    return Keys("one", among, bind)


def _arrays(types: Sequence[TypeEngine[Any]]) -> Keys:
    def among(columns: Columns, name: str) -> ColumnElement[bool]:
        arrays = [bindparam(f"{parameter(name)}_{i}", type_=ARRAY(type_)) for i, type_ in enumerate(types)]
        if len(arrays) == 1:
            return columns[0] == any_(arrays[0])
        rows = func.unnest(*arrays).table_valued(*(f"k{i}" for i in range(len(arrays)))).render_derived()
        return tuple_(*columns).in_(select(*rows.c))

    def bind(keys: Sequence[Key], name: str) -> dict[str, Any]:
        return {f"{parameter(name)}_{i}": list(values) for i, values in enumerate(zip(*keys, strict=True))} or {
            f"{parameter(name)}_{i}": [] for i in range(len(types))
        }

    return Keys("arrays", among, bind)


def _json(width: int, encode: Callable[[Key], list[Any]]) -> Keys:
    def among(columns: Columns, name: str) -> ColumnElement[bool]:
        value = func.json_each(bindparam(parameter(name), type_=Text())).table_valued("value").c.value
        if width == 1:
            return columns[0].in_(select(value))
        return tuple_(*columns).in_(select(*(func.json_extract(value, f"$[{i}]") for i in range(width))))

    def bind(keys: Sequence[Key], name: str) -> dict[str, Any]:
        encoded = [encode(key) for key in keys]
        return {parameter(name): json.dumps([key[0] for key in encoded] if width == 1 else encoded)}

    return Keys("json", among, bind)


def _chunks(types: Sequence[TypeEngine[Any]]) -> Keys:
    def among(columns: Columns, name: str) -> ColumnElement[bool]:
        if len(types) == 1:
            return columns[0].in_(bindparam(parameter(name), expanding=True, type_=types[0]))
        return tuple_(*columns).in_(bindparam(parameter(name), expanding=True))

    def bind(keys: Sequence[Key], name: str) -> dict[str, Any]:
        return {parameter(name): [key[0] for key in keys] if len(types) == 1 else list(keys)}

    return Keys("chunks", among, bind, chunk=CHUNK)


def _alternatives(types: Sequence[TypeEngine[Any]], *, size: int) -> Keys:
    # SQLAlchemy compares a list of tuples without the expressions that their types wrap parameters in. There are some
    # sizes only, so that statements are reused; what is over repeats the last key, or matches nothing.
    ways = [_one(types) for _ in range(size)]

    def among(columns: Columns, name: str) -> ColumnElement[bool]:
        return or_(*(way.among(columns, f"{name}_{n}") for n, way in enumerate(ways)))

    def bind(keys: Sequence[Key], name: str) -> dict[str, Any]:
        rest = keys[-1] if keys else (None,) * len(types)
        whole = [*keys, *(rest for _ in range(size - len(keys)))]
        return {n: v for i, key in enumerate(whole) for n, v in ways[i].bind([key], f"{name}_{i}").items()}

    return Keys(f"alternatives of {size}", among, bind, chunk=size)

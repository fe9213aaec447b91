"""Put primary keys of any type into JSON, and read them back as the values that the ORM knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from async_continuum.errors import ImproperlyConfigured

_READERS: dict[type, Callable[[Any], Any]] = {
    UUID: UUID,
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    Decimal: Decimal,
    bytes: bytes.fromhex,
}


def to_json(key: Sequence[Any], types: Sequence[TypeEngine[Any]], dialect: Dialect, *, model: type) -> list[Any]:
    """Write a primary key as a JSON array. Raises `ImproperlyConfigured` for a value that has no place in one."""
    return [_written(value, type_, dialect, model) for value, type_ in zip(key, types, strict=True)]


def from_json(key: Sequence[Any], types: Sequence[TypeEngine[Any]], dialect: Dialect) -> tuple[Any, ...]:
    """Read a primary key as its columns give it."""
    return tuple(_read(value, type_, dialect) for value, type_ in zip(key, types, strict=True))


def _written(value: Any, type_: TypeEngine[Any], dialect: Dialect, model: type) -> Any:
    if isinstance(type_, TypeDecorator) and _overrides(type_, "process_bind_param"):
        value = type_.process_bind_param(value, dialect)
    match value:
        case Enum():
            return value.name
        case bool() | int() | float() | str():
            return value
        case UUID() | Decimal():
            return str(value)
        case date() | time():
            return value.isoformat()
        case bytes():
            return value.hex()
    raise ImproperlyConfigured(f"its key {value!r} has no place in JSON, so no activity can name it.", model=model)


def _read(value: Any, type_: TypeEngine[Any], dialect: Dialect) -> Any:
    if isinstance(type_, TypeDecorator):
        plain = _read(value, type_.impl_instance, dialect)
        return type_.process_result_value(plain, dialect) if _overrides(type_, "process_result_value") else plain
    kind = type_.python_type
    if issubclass(kind, Enum):
        return kind[value]
    reader = _READERS.get(kind)
    return reader(value) if reader is not None and isinstance(value, str) else value


def _overrides(type_: TypeDecorator[Any], method: str) -> bool:
    return getattr(type(type_), method) is not getattr(TypeDecorator, method)

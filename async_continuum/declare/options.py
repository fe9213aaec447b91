"""Read the options of a model, and refuse at once what is misspelt or makes no sense."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, TypedDict

from sqlalchemy.sql import ClauseElement

from async_continuum.declare.extras import NOTHING, Extras
from async_continuum.errors import ImproperlyConfigured

Strategy = Literal["validity", "subquery"]
Unrecorded = Literal["raise", "warn", "ignore"]
OnTruncate = Literal["record", "refuse"]


class Options(TypedDict, total=False):
    """Options of one class (``__versioned__``), or the defaults of all."""

    versioning: bool
    base_classes: tuple[type, ...] | None
    table_name: str
    exclude: Sequence[str]
    include: Sequence[str]
    native_versioning: bool
    create_models: bool
    create_tables: bool
    transaction_column_name: str
    end_transaction_column_name: str
    operation_type_column_name: str
    strategy: Strategy
    use_module_name: bool
    schema: str | None
    record_if: Callable[..., Any] | Any
    past_default: Mapping[str, Any]
    unrecorded: Unrecorded
    append_only: bool
    on_truncate: OnTruncate


class GlobalOptions(Options, total=False):
    """Options of ``make_versioned(options=...)``: the defaults of all classes, and those of the transaction table."""

    transaction_table_name: str
    transaction_cls: Any


@dataclass(frozen=True, slots=True)
class Settings:
    """The options in force for one class, all resolved. Lives as long as the class's blueprint."""

    versioning: bool = True
    base_classes: tuple[type, ...] = ()
    table_name: str = "%s_version"
    exclude: frozenset[str] = field(default=frozenset())
    include: frozenset[str] = field(default=frozenset())
    create_models: bool = True
    create_tables: bool = True
    transaction_column_name: str = "transaction_id"
    end_transaction_column_name: str = "end_transaction_id"
    operation_type_column_name: str = "operation_type"
    strategy: Strategy = "validity"
    record_if: Any = None
    use_module_name: bool = False
    schema: str | None = None
    past_default: Mapping[str, Any] = field(default_factory=dict)
    transaction_table_name: str = "transaction"
    transaction_cls: Any = None
    native_versioning: bool = False
    append_only: bool = False
    on_truncate: OnTruncate = "record"
    unrecorded: Unrecorded = "warn"
    extras: Extras = NOTHING
    """What plugins add; no option, but given with them."""


_GLOBAL_ONLY = frozenset({"transaction_table_name", "transaction_cls"})
_NAMES = frozenset(Options.__annotations__)
_SETTINGS = frozenset(Settings.__dataclass_fields__) - {"extras"}
_COLUMN_NAMES = ("transaction_column_name", "end_transaction_column_name", "operation_type_column_name")
_BOOLEANS = ("versioning", "native_versioning", "create_models", "create_tables", "use_module_name", "append_only")
_INSTEAD = {
    "create_composite_index": "the version table's primary key serves these queries: remove the option",
}


def read_options(options: Mapping[str, Any], *, defaults: Settings, model: type | None = None) -> Settings:
    """Resolve ``options`` over ``defaults``.

    Raises `ImproperlyConfigured`, naming the class, the option and the nearest valid name.
    """
    if not isinstance(options, Mapping):
        raise ImproperlyConfigured(
            f"`__versioned__` is {options!r}; it must be a dict of options, such as {{}}.", model=model
        )
    values: dict[str, Any] = {}
    for name, value in options.items():
        _check_name(name, model)
        _check_value(name, value, model)
        if name in _SETTINGS:
            values[name] = _normalized(name, value)
    settings = replace(defaults, **values)
    _check_column_names(settings, options, model)
    return settings


def nearest(name: str, valid: Sequence[str] | frozenset[str]) -> str:
    """Name the nearest valid word, or all of them."""
    # Here, because who makes no mistake need not wait for its import.
    from difflib import get_close_matches

    close = get_close_matches(name, sorted(valid), n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Valid: {', '.join(sorted(valid))}."


def _check_name(name: str, model: type | None) -> None:
    if name in _INSTEAD:
        raise ImproperlyConfigured(f"option {name!r} has no use here: {_INSTEAD[name]}.", model=model, option=name)
    if name in _GLOBAL_ONLY and model is not None:
        raise ImproperlyConfigured(
            f"option {name!r} holds for all classes: give it to make_versioned(options=...).", model=model, option=name
        )
    valid = _NAMES if model is not None else _NAMES | _GLOBAL_ONLY
    if name not in valid:
        raise ImproperlyConfigured(f"unknown option {name!r}. {nearest(name, valid)}", model=model, option=name)


def _check_value(name: str, value: Any, model: type | None) -> None:
    problem: str | None = None
    if name == "strategy" and value not in ("validity", "subquery"):
        problem = f"must be 'validity' or 'subquery', not {value!r}. {nearest(str(value), ('validity', 'subquery'))}"
    elif name == "unrecorded" and value not in ("raise", "warn", "ignore"):
        problem = f"must be 'raise', 'warn' or 'ignore', not {value!r}."
    elif name == "on_truncate" and value not in ("record", "refuse"):
        problem = f"must be 'record' or 'refuse', not {value!r}."
    elif name == "table_name" and not _is_template(value):
        problem = f"must hold one %s for the table's name and more, as '%s_version' does, not {value!r}."
    elif name in ("exclude", "include") and not _is_list_of_names(value):
        problem = f"must be a list of attribute names, not {value!r}."
    elif name in _BOOLEANS and not isinstance(value, bool):
        problem = f"must be True or False, not {value!r}."
    elif name in (*_COLUMN_NAMES, "transaction_table_name") and not (isinstance(value, str) and value):
        problem = f"must be a name, not {value!r}."
    elif name == "base_classes" and not (
        value is None or (isinstance(value, (tuple, list)) and all(isinstance(base, type) for base in value))
    ):
        problem = f"must be a tuple of classes, not {value!r}."
    elif name == "past_default" and not (value is None or _is_named_values(value)):
        problem = f"must be a dict of values by the names of excluded columns, not {value!r}."
    elif name == "schema" and not (value is None or (isinstance(value, str) and value)):
        problem = f"must be the name of a schema or None, not {value!r}."
    elif name == "record_if" and not (value is None or isinstance(value, ClauseElement) or callable(value)):
        problem = f"must be a SQL expression on the row, or a function of a PendingChange, not {value!r}."
    elif name == "transaction_cls" and not (value is None or callable(value)):
        problem = f"must be a class derived from TransactionBase, or a function that gives one, not {value!r}."
    if problem is not None:
        raise ImproperlyConfigured(f"option {name!r} {problem}", model=model, option=name)


def _is_template(value: Any) -> bool:
    if not isinstance(value, str) or value == "%s":
        return False
    return value.count("%s") == 1 and "%" not in value.replace("%s", "")


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(item, str) for item in value)


def _is_named_values(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


def _check_column_names(settings: Settings, options: Mapping[str, Any], model: type | None) -> None:
    names = [getattr(settings, name).lower() for name in _COLUMN_NAMES]
    for option in _COLUMN_NAMES:
        if option in options and names.count(options[option].lower()) > 1:
            raise ImproperlyConfigured(
                f"option {option!r} is {options[option]!r}, as another of {', '.join(_COLUMN_NAMES)} is: "
                "give each a name of its own.",
                model=model,
                option=option,
            )


def _normalized(name: str, value: Any) -> Any:
    match name:
        case "exclude" | "include":
            return frozenset(value)
        case "base_classes":
            return tuple(value or ())
        case "past_default":
            return MappingProxyType(dict(value or {}))
        case _:
            return value

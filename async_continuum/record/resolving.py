"""Resolve a context into what the rows of a transaction hold."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table

from async_continuum.build import identity_of
from async_continuum.errors import ImproperlyConfigured
from async_continuum.record.context import Context, IfStored
from async_continuum.record.values import is_mapped, key_of, now


def meta_values(context: Context, *, stored: bool) -> dict[str, Any]:
    """Resolve a context's meta, now; ``stored`` says whether there is a place for it.

    Raises `ImproperlyConfigured` where there is none: why something was done is never dropped.
    """
    if not stored:
        lost = {name: value for name, value in context.meta.items() if not isinstance(value, IfStored)}
        if lost:
            raise ImproperlyConfigured(
                f"the context gives meta={lost!r}, and nothing stores it: "
                "make_versioned(plugins=[TransactionMetaPlugin()]).",
                option="plugins",
            )
        return {}
    plain = {name: given.value if isinstance(given, IfStored) else given for name, given in context.meta.items()}
    return {name: now(value) for name, value in plain.items()}


def transaction_values(context: Context, table: Table, *, to_come: Any = None) -> dict[str, Any]:
    """Turn a context into values of the transaction table's columns.

    ``to_come`` stands for the key of a user that has none yet; without it such a user is refused.

    Raises `ImproperlyConfigured` for a value that the table has no column for: who did it is never dropped.
    """
    values = {}
    for name, value in context.columns.items():
        resolved = now(value)
        if is_mapped(resolved):
            resolved = to_come if to_come is not None and identity_of(resolved) is None else key_of(resolved)
        if name not in table.c and resolved is None:
            continue
        if name not in table.c:
            remedy = (
                "name the user class in make_versioned(user_cls=...)"
                if name == "user_id"
                else f"give the table {table.name!r} such a column"
            )
            raise ImproperlyConfigured(
                f"the context gives {name}={resolved!r}, but transactions have no {name!r}: {remedy}.",
                option="user_cls" if name == "user_id" else None,
            )
        values[name] = resolved
    for column in table.c:
        # Those of a class of the user's own. A statement within a statement does not ask for them by itself.
        default: Any = column.default
        if default is not None and column.key not in values and column.key not in ("id", "issued_at"):
            if default.is_scalar:
                values[column.key] = default.arg
            elif default.is_callable:
                values[column.key] = default.arg(None)
    return values

"""Read what an INSERT does with the rows that it finds in its way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, Insert
from sqlalchemy.sql import visitors

from async_continuum.build import TableHistory


def is_upsert(statement: Insert) -> bool:
    """Say whether an INSERT may touch rows that are there already."""
    # Private: the clause stands behind VALUES by dialects' own methods, such as ``on_conflict_do_update``.
    return statement._post_values_clause is not None or bool(statement._prefixes)


def _updates(statement: Insert) -> list[Any]:
    # Private, as above; SQLite takes several of them.
    clause: Any = statement._post_values_clause
    within = () if clause is None else visitors.iterate(clause)
    return [each for each in within if getattr(each, "__visit_name__", None) == "on_conflict_do_update"]


def updates_too(statement: Insert) -> bool:
    """Say whether an INSERT updates the rows that it finds in its way."""
    return bool(_updates(statement))


def moves_what_it_meets(history: TableHistory, statement: Insert) -> bool:
    """Say whether an INSERT may give another key to a row that it finds in its way."""
    primary = history.table.primary_key
    for clause in _updates(statement):
        target = {getattr(each, "key", each) for each in clause.inferred_target_elements or ()}
        constraint = getattr(clause, "constraint_target", None)
        if constraint is not None and constraint in (primary.name, f"{history.table.name}_pkey"):
            target |= {column.key for column in primary}
        # A list of pairs before SQLAlchemy 2.1.
        for key, value in by_key(dict(clause.update_values_to_set)).items():
            # What the row is found by it has already, and its own value changes nothing.
            known = isinstance(value, Column) and (value.table is history.table or key in target)
            if key in history.key and not (known and value.key == key):
                return True
    return False


def by_key(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Name values by the keys of their columns, which they may be given by."""
    return {getattr(column, "key", column): value for column, value in values.items()}

"""Say what stands in for a table in the past: the versions that were alive, with the table's own columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    Select,
    Table,
    and_,
    bindparam,
    cast,
    exists,
    inspect,
    null,
    or_,
    select,
)
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import ClauseElement, ColumnElement, FromClause, visitors
from sqlalchemy.types import NullType

from async_continuum.build import DELETE_IN_SQL, Blueprint, TableHistory, find_history
from async_continuum.past.signed import blueprints, parameter_for, secondaries

_PLACE = "the past"


@dataclass(frozen=True, eq=False, slots=True)
class StandIn:
    """What is read instead of one table. Lives as long as the table's history."""

    rows: Select[Any]
    alias: Any
    """Bears the anonymous name under which it stands where the table's own would be ambiguous."""
    missing: frozenset[str]
    """The keys of the columns that history does not hold, and for which no value was declared."""
    models: tuple[type, ...]


def stand_in(table: FromClause | None) -> StandIn | None:
    """Find what stands in for a table; None for one that keeps no history."""
    history = find_history(table) if isinstance(table, Table) else None
    if history is None:
        return None
    if _PLACE not in history.statements:
        history.statements[_PLACE] = _build(history)
    found: StandIn = history.statements[_PLACE]
    return found


def missing_in(expression: ClauseElement) -> Column[Any] | None:
    """Find a column without a past that an expression reads, also through subqueries; None where there is none."""
    for element in visitors.iterate(expression):
        if not isinstance(element, ColumnElement):
            continue
        for base in element.base_columns:
            if isinstance(base, Column):
                found = stand_in(base.table)
                if found is not None and base.key in found.missing:
                    return base
            elif base is not element and (below := missing_in(base)) is not None:
                return below
    return None


def nothing(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Give a NULL of a column's type, which no result takes for the column."""
    return null() if isinstance(column.type, NullType) else cast(null(), column.type)


def _build(history: TableHistory) -> StandIn:
    versions = history.version_table
    transaction_table, blueprints = _signed(history)
    defaults: dict[str, Any] = {}
    for blueprint in blueprints:
        defaults |= _defaults(blueprint, history.table)
    # Labelled, because SQLAlchemy shortens long names of a subquery's columns, which the queries read by their names.
    columns: list[Any] = [versions.c[name].label(versions.c[name].name) for name in history.columns]
    for name, value in defaults.items():
        columns.append(_value(value, history.table.c[name]).label(history.table.c[name].name))
    at: BindParameter[int] = bindparam(parameter_for(transaction_table), type_=versions.c[history.begins].type)
    return StandIn(
        rows=select(*columns).where(_alive(history, at)),
        alias=history.table.alias(),
        missing=frozenset(history.table.c.keys()) - {*history.columns, *defaults},
        models=tuple(blueprint.model for blueprint in blueprints),
    )


def _alive(history: TableHistory, at: BindParameter[int]) -> ColumnElement[bool]:
    versions = history.version_table
    begins = versions.c[history.begins]
    if history.ends is not None:
        ends = versions.c[history.ends]
        held = or_(ends.is_(None), ends > at)
    else:
        # What `ends_of` says, as an anti-join, because of a whole table it is not asked row by row.
        later = versions.alias("ac_later")
        same = [a == b for a, b in zip(history.key_of(later), history.key_of(versions), strict=True)]
        after = and_(later.c[history.begins] > begins, later.c[history.begins] <= at)
        held = ~exists(select(later.c[history.begins]).where(*same, after).correlate(versions))
    return and_(begins <= at, held, versions.c[history.operation] != DELETE_IN_SQL)


def _value(value: Any, column: Column[Any]) -> ColumnElement[Any]:
    if isinstance(value, ColumnElement):
        return value
    return nothing(column) if value is None else bindparam(None, value, type_=column.type, unique=True)


def _signed(history: TableHistory) -> tuple[Table, list[Blueprint]]:
    """Find the transaction table that signs a history, and the models that it is of; a link's is of none."""
    every = list(blueprints())
    mapped = [blueprint for blueprint in every if history in blueprint.histories]
    linking = (blueprint for blueprint in every if history.table in secondaries(blueprint))
    found = mapped[0] if mapped else next(linking, None)
    if found is None:
        raise LookupError(f"no model is mapped to {history.table.fullname}, and none is linked by it")
    return found.transaction_table, mapped


def _defaults(blueprint: Blueprint, table: Table) -> dict[str, Any]:
    mapper: Mapper[Any] = inspect(blueprint.model)
    declared = blueprint.settings.past_default
    found = {}
    column: Any
    for attribute, column in mapper.columns.items():
        if isinstance(column, Column) and column.table is table:
            for name in {attribute, column.key, column.name} & declared.keys():
                found[column.key] = declared[name]
    return found

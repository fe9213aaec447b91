"""See what statements do to association tables: the ORM sends them itself, and tells of no object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Delete,
    Insert,
    Table,
    Update,
    cast,
    select,
)
from sqlalchemy.engine import CursorResult
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BooleanClauseList

from async_continuum.build import LinkBlueprint

Key = tuple[Any, ...]


def changed_link(statement: object, links: Mapping[Table, LinkBlueprint]) -> LinkBlueprint | None:
    """Give the link whose table a statement changes, if it is one."""
    if isinstance(statement, (Insert, Update, Delete)) and isinstance(statement.table, Table):
        return links.get(statement.table)
    return None


def keys_given(link: LinkBlueprint, parameters: Sequence[Mapping[str, Any]]) -> list[Key] | None:
    """Read the keys of links out of a statement's parameters; None where they are not all there."""
    keys = []
    for given in parameters:
        key = tuple(given.get(name) for name in link.history.key)
        if None in key:
            return None
        keys.append(key)
    return keys or None


def keys_inserted(
    link: LinkBlueprint, parameters: Sequence[Mapping[str, Any]], result: CursorResult[Any]
) -> list[Key] | None:
    """Read the keys of inserted links out of what was sent; None where the database has made them up."""
    given = keys_given(link, parameters)
    if given is not None:
        return given
    sent: Any = result.last_inserted_params()
    if not isinstance(sent, Mapping):
        return keys_given(link, sent)
    keys = keys_given(link, [sent])
    if keys is not None:
        return keys
    # A statement with several rows of values numbers their parameters.
    keys = []
    for row in count():
        following = keys_given(link, [{name: sent.get(f"{name}_m{row}") for name in link.history.key}])
        if following is None:
            return keys or None
        keys += following
    return None


def keys_matched(
    link: LinkBlueprint, connection: Connection, statement: Update | Delete, parameters: Sequence[Mapping[str, Any]]
) -> list[tuple[Key, Key]]:
    """Read the keys of the links that an UPDATE or DELETE is about to change, now and afterwards, locking them."""
    named = _named(link, statement) if isinstance(statement, Delete) else None
    if named is not None:
        keys = [tuple(_value(bound, given) for bound in named) for given in parameters or [{}]]
        return [(key, key) for key in dict.fromkeys(keys) if None not in key]
    table = link.history.table
    before = [table.c[name] for name in link.history.key]
    found: dict[tuple[Key, Key], None] = {}
    for given in parameters or [{}]:
        after = before if isinstance(statement, Delete) else _assigned(link, statement, given)
        matched = select(*before, *(column.label(f"after_{n}") for n, column in enumerate(after))).with_for_update()
        if statement.whereclause is not None:
            matched = matched.where(statement.whereclause)
        rows = [tuple(row) for row in connection.execute(matched, dict(given))]
        found |= dict.fromkeys((row[: len(before)], row[len(before) :]) for row in rows)
    return list(found)


def _named(link: LinkBlueprint, statement: Delete) -> list[BindParameter[Any]] | None:
    """Give the parameters that name a link's key, where the statement deletes by nothing else."""
    clause = statement.whereclause
    if not isinstance(clause, BooleanClauseList) or clause.operator is not operators.and_:
        return None
    named: dict[Any, BindParameter[Any]] = {}
    for each in clause.clauses:
        if not isinstance(each, BinaryExpression) or each.operator is not operators.eq:
            return None
        if not isinstance(each.left, Column) or not isinstance(each.right, BindParameter):
            return None
        named[each.left] = each.right
    key = [link.history.table.c[name] for name in link.history.key]
    return [named[column] for column in key] if len(clause.clauses) == len(key) and named.keys() == set(key) else None


def _value(bound: BindParameter[Any], given: Mapping[str, Any]) -> Any:
    return given.get(bound.key, bound.effective_value)


def _assigned(link: LinkBlueprint, statement: Update, given: Mapping[str, Any]) -> list[ColumnElement[Any]]:
    """Give what an UPDATE makes of the key, as expressions over the row as it is."""
    table = link.history.table
    # Private: a statement tells nobody else what it assigns.
    values = {getattr(column, "key", column): value for column, value in (statement._values or {}).items()}
    assigned: list[ColumnElement[Any]] = []
    for name in link.history.key:
        column = table.c[name]
        value = values.get(name, given.get(name, column))
        bare = isinstance(value, BindParameter) or not isinstance(value, ColumnElement)
        # PostgreSQL takes a bare parameter in a list of columns for text.
        assigned.append(cast(value, column.type) if bare else value)
    return assigned

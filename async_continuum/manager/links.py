"""See what statements do to association tables: the ORM sends them itself, and tells of no object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, cast

from sqlalchemy import Connection, Delete, Insert, Table, Update, select
from sqlalchemy.engine import CursorResult

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
    sent = cast("Mapping[str, Any]", result.last_inserted_params())
    keys = keys_given(link, [sent])
    if keys is None:
        return None
    # A statement with several rows of values numbers the parameters of all but the first.
    for row in count(1):
        following = keys_given(link, [{name: sent.get(f"{name}_m{row}") for name in link.history.key}])
        if following is None:
            break
        keys += following
    return keys


def keys_matched(
    link: LinkBlueprint, connection: Connection, statement: Update | Delete, parameters: Sequence[Mapping[str, Any]]
) -> list[Key]:
    """Read the keys of the links that an UPDATE or DELETE is about to change, locking them."""
    given = keys_given(link, parameters) if isinstance(statement, Delete) else None
    if given is not None:
        return given
    table = link.history.table
    matched = select(*(table.c[name] for name in link.history.key)).with_for_update()
    if statement.whereclause is not None:
        matched = matched.where(statement.whereclause)
    keys: dict[Key, None] = {}
    for each in parameters or [{}]:
        keys |= dict.fromkeys(tuple(row) for row in connection.execute(matched, dict(each)))
    return list(keys)

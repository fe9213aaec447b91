"""Tell when an entity has left a table of its hierarchy by becoming one of another class: its versions end there."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, func, null, select
from sqlalchemy.sql import ClauseElement, ColumnElement, FromClause, visitors

from async_continuum.build import TableHistory
from async_continuum.operation import Operation


def left_at(history: TableHistory, versions: FromClause) -> ColumnElement[Any]:
    """Give the transaction that made the entity of a version one of a class without this table; NULL where none did.

    It is the topmost table's next version, alive, which names such a class. What is deleted has left by a DELETE.
    """
    leader = history.leader
    if leader is None or leader.mapper is None or leader.mapper.polymorphic_on is None:
        return null()
    following, later = leader.version_table.alias("ac_following_top"), leader.version_table.alias("ac_later_top")
    of = [each.polymorphic_identity for each in leader.mapper.self_and_descendants if history.table in each.tables]

    def then(element: ClauseElement, **_: Any) -> Any:
        return following.c.get(element.key) if isinstance(element, Column) and element.table is leader.table else None

    named: Any = visitors.replacement_traverse(leader.mapper.polymorphic_on, {}, then)
    next_begins = (
        select(func.min(later.c[leader.begins]))
        .where(*_same(leader, later, history, versions), later.c[leader.begins] > versions.c[history.begins])
        .correlate(versions)
        .scalar_subquery()
    )
    return (
        select(following.c[leader.begins])
        .where(
            *_same(leader, following, history, versions),
            following.c[leader.begins] == next_begins,
            following.c[leader.operation] != Operation.DELETE,
            versions.c[history.operation] != Operation.DELETE,
            named.not_in([each for each in of if each is not None]),
        )
        .correlate(versions)
        .scalar_subquery()
    )


def ends_at(history: TableHistory, versions: FromClause, next_begins: ColumnElement[Any]) -> ColumnElement[Any]:
    """Give the transaction at which a version has to end: where the next one begins, or where its entity left."""
    if history.leader is None:
        return next_begins
    # Where it left the table, there is no next one before.
    return func.coalesce(left_at(history, versions), next_begins)


def _same(
    leader: TableHistory, above: FromClause, history: TableHistory, versions: FromClause
) -> list[ColumnElement[bool]]:
    return [a == b for a, b in zip(leader.key_of(above), history.key_of(versions), strict=True)]

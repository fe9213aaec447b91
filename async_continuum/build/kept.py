"""Tell the rows of classes that keep their history from others in the same table, under inheritance."""

from __future__ import annotations

from sqlalchemy import exists, null, or_, select
from sqlalchemy.sql import ColumnElement, FromClause

from async_continuum.build.blueprint import find_blueprint
from async_continuum.build.table import TableHistory


def kept_rows(history: TableHistory, rows: FromClause) -> list[ColumnElement[bool]]:
    """Restrict rows of a table, or an alias of it, to those of classes whose history is kept: often to nothing less.

    Only a column can say so: where an expression names the class, or nothing does, every row is taken for one.
    """
    leader = history.leader or history
    if leader.mapper is None or leader.names_class is None:
        return []
    others = [
        each.polymorphic_identity
        for each in leader.mapper.self_and_descendants
        if not each.concrete and each.polymorphic_identity is not None and find_blueprint(each.class_) is None
    ]
    if not others:
        return []
    top = rows if leader is history else leader.table.alias("ac_top")
    named = top.c[leader.names_class]
    kept = or_(named.is_(None), named.not_in(others))
    if leader is history:
        return [kept]
    same = [a == b for a, b in zip(leader.key_of(top), history.key_of(rows), strict=True)]
    return [exists(select(null()).select_from(top).where(*same, kept).correlate(rows))]

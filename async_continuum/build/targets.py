"""Select what many entities were related to at one transaction: what a revert goes back to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, bindparam, inspect, select
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import FromClause

from async_continuum.build.blueprint import Blueprint, blueprint_of, find_history
from async_continuum.build.joins import Place, adapted, alive_in, either, moved_to_versions, staying


def past_targets(blueprint: Blueprint, name: str, parents: FromClause) -> Any:
    """Select (key of the parent, version of the target) for a relation as it was at the transaction ``:moment``.

    ``parents`` is an alias of the model's version table; the caller restricts it to the keys it wants.
    """
    mapper: Mapper[Any] = inspect(blueprint.model)
    prop = mapper.relationships[name]
    target = blueprint_of(prop.mapper.class_)
    tx: Any = bindparam("moment", type_=blueprint.history.version_table.c[blueprint.begins].type)
    now: Any = target.history.version_table
    above, local = _whole(blueprint, parents)
    to = moved_to_versions(*target.histories)
    source = select(*blueprint.history.key_of(parents), target.version_class)
    ordered = to
    if prop.secondary is None:
        source = source.join_from(above, target.version_class, adapted(prop.primaryjoin, local, to, plain=True))
    else:
        secondary: Any = prop.secondary
        history = find_history(secondary)
        links: Any = secondary if history is None else history.version_table.alias("ac_links")
        link = staying(secondary) if history is None else moved_to_versions(history, rows=links)
        ordered = either(to, link)
        source = source.join_from(above, links, adapted(prop.primaryjoin, local, link, plain=True))
        source = source.join(target.version_class, adapted(prop.secondaryjoin, link, to, plain=True))
        if history is not None:
            source = source.where(alive_in(history, links, tx))
    source = source.where(alive_in(blueprint.history, parents, tx), alive_in(target.history, now, tx))
    if prop.order_by:
        source = source.order_by(
            *(adapted(clause, ordered, ordered, plain=True, strict=False) for clause in prop.order_by)
        )
    return source


def _whole(blueprint: Blueprint, top: FromClause) -> tuple[FromClause, Place]:
    """Join the version tables of a class to an alias of the topmost one."""
    whole, places = top, [moved_to_versions(blueprint.history, rows=top)]
    for below in blueprint.histories[1:]:
        rows = below.version_table.alias(f"ac_parent_{len(places)}")
        same = [a == b for a, b in zip(below.key_of(rows), blueprint.history.key_of(top), strict=True)]
        whole = whole.join(rows, and_(*same, rows.c[below.begins] == top.c[blueprint.history.begins]))
        places.append(moved_to_versions(below, rows=rows))
    return whole, either(*places)

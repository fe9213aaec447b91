"""Tell a NULL from the null of JSON in what is set back: both are None to Python, and one of them was stored."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, inspect, select, update

from async_continuum.build import blueprint_of, find_history
from async_continuum.dialects import Key, MarkedKeys, keys_for
from async_continuum.revert.plan import Entity, RevertPlan
from async_continuum.revert.survey import Survey


async def store_nulls(survey: Survey, plan: RevertPlan) -> None:
    """Copy on the server what is None in the versions that objects have been set back to, where that may be two things.

    The ORM has written the null of JSON; one statement for a column, whatever the number of rows.
    """
    columns: dict[Column[Any], dict[Key, int]] = {}
    for entity in plan.updated:
        for name in survey.differing[entity]:
            column: Any = inspect(entity.model).columns[name]
            if column.type.should_evaluate_none and getattr(survey.stored[entity], name) is None:
                columns.setdefault(column, {})[entity.key] = _begins(survey, entity)
    for column, versions in columns.items():
        await _copy(survey, column, versions)


def _begins(survey: Survey, entity: Entity) -> int:
    begins: int = getattr(survey.stored[entity], blueprint_of(entity.model).begins)
    return begins


async def _copy(survey: Survey, column: Column[Any], chosen: dict[Key, int]) -> None:
    table: Any = column.table
    history = find_history(table)
    assert history is not None
    versions, live = history.version_table, history.key_of(table)
    named = [*history.key_of(versions), versions.c[history.begins]]
    session = survey.session
    dialect = session.sync_session.get_bind(clause=table).dialect
    keys, pairs = list(chosen), [(*key, begins) for key, begins in chosen.items()]
    way, of_versions = (keys_for([c.type for c in each], keys, dialect) for each in (live, named))
    same = [a == b for a, b in zip(history.key_of(versions), live, strict=True)]
    then = select(versions.c[column.key]).where(*same, of_versions.among(named, "then")).correlate(table)
    statement = update(table).where(way.among(live, "keys")).values({column: then.scalar_subquery()})
    for batch in of_versions.batches(pairs):
        assert not isinstance(batch, MarkedKeys)
        rows = [each[:-1] for each in batch]
        await session.execute(statement, {**way.bind(rows, "keys"), **of_versions.bind(batch, "then")})

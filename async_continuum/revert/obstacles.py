"""Say what stands in the way of a revert that the database has refused: which object, by which column, and whose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import PrimaryKeyConstraint, inspect, select
from sqlalchemy.orm import Mapper, RelationshipDirection, RelationshipProperty

from async_continuum.dialects import keys_for
from async_continuum.revert.called import Called, another_class, called, discriminator, goes_along, names_of
from async_continuum.revert.plan import Entity, Key, RevertPlan
from async_continuum.revert.rows import Row, coming, leaving, tables_of
from async_continuum.revert.survey import Survey
from async_continuum.revert.unique import Clash, clashes, twins, unique_rules

_NAMED = 5
"""How many obstacles an error names."""

_Among = Callable[[Any], bool]


class Obstacle(NamedTuple):
    """One reason why an object cannot be what it was. Lives as long as the error is made."""

    entity: Entity
    says: str


async def obstacles(survey: Survey, plan: RevertPlan) -> list[Obstacle]:
    """Find what cannot hold any more, once a revert has been rolled back. Reads, and changes nothing.

    A statement for each constraint of each table whose rows come back or change: the price of a refusal, not of a
    revert.
    """
    return await _broken(survey, plan, lambda _: True) or list(_unlinkable(survey))


async def put_off(survey: Survey, plan: RevertPlan) -> list[Obstacle]:
    """Find what the database would say at the commit only, once a revert has been flushed."""
    models = dict.fromkeys(entity.model for entity in (*plan.inserted, *plan.updated, *plan.deleted))
    every = {table.metadata: None for model in models for table in tables_of(model)}
    tables = (table for metadata in every for table in metadata.tables.values())
    if not any(_is_deferred(rule) for table in tables for rule in table.constraints):
        return []
    return await _broken(survey, plan, _is_deferred)


async def _broken(survey: Survey, plan: RevertPlan, among: _Among) -> list[Obstacle]:
    rows, gone = coming(survey, plan), leaving(survey, plan)
    found = []
    for table in dict.fromkeys(row.table for row in rows):
        own = [row for row in rows if row.table is table]
        found += [each async for each in _gone(survey, own, rows, among)]
        found += [each async for each in _taken(survey, own, rows, gone, among)]
    found = found or [each async for each in _referred_to(survey, gone, among)]
    return list(dict.fromkeys(found))


def _is_deferred(rule: Any) -> bool:
    """Say whether a constraint is checked at the commit; of keys it is no matter, since each row has its own."""
    return not isinstance(rule, PrimaryKeyConstraint) and (getattr(rule, "initially", None) or "").upper() == "DEFERRED"


def told(found: Sequence[Obstacle]) -> str:
    """Put obstacles into words."""
    more = f" And {len(found) - _NAMED} more." if len(found) > _NAMED else ""
    return " ".join(each.says for each in islice(found, _NAMED)) + more


def _unlinkable(survey: Survey) -> Iterator[Obstacle]:
    for relation in survey.found.relations:
        prop: RelationshipProperty[Any] = inspect(relation.parent.model).relationships[relation.name]
        if prop.direction is not RelationshipDirection.ONETOMANY or relation.deletes_orphans:
            continue
        fixed = [column for _, column in prop.synchronize_pairs if not column.nullable]
        for target in relation.unlinked:
            if fixed and target not in survey.stored:
                yield Obstacle(
                    target,
                    f"{target} is in {relation.parent}.{relation.name} now, and cannot be unlinked: "
                    f"its {names_of(target.model, fixed)} must not be NULL.",
                )


async def _gone(survey: Survey, rows: Sequence[Row], every: Sequence[Row], among: _Among) -> AsyncIterator[Obstacle]:
    """Find what rows of one table refer to and neither lives nor comes back with them."""
    model = rows[0].model
    for constraint in (each for each in rows[0].table.foreign_key_constraints if among(each)):
        there = constraint.referred_table
        referring = [element.parent for element in constraint.elements]
        referred = [element.column for element in constraint.elements]
        wanted = _keys(rows, referring)
        missing = set(wanted.values()) - set(_keys(every, referred).values())
        if missing:
            missing -= {tuple(row) for row in await _ask(survey, model, referred, referred, missing)}
        for row, key in wanted.items():
            if key in missing:
                lost = called(model, there, referred, key, link=None)
                says = f"{row.who} referred by its {names_of(row.model, referring)} to {lost}, which is gone."
                yield Obstacle(row.entity, says)


async def _taken(
    survey: Survey, rows: Sequence[Row], every: Sequence[Row], gone: Sequence[Row], among: _Among
) -> AsyncIterator[Obstacle]:
    """Find who has now what only one row of a table may have."""
    first, table = rows[0], rows[0].table
    dialect = survey.session.sync_session.get_bind(inspect(first.model)).dialect.name
    away, then = {row.place for row in gone}, {row.place: row for row in every}
    kinds = discriminator(first.model, table)
    found: list[Obstacle] = []
    passing: list[Obstacle] = []
    for rule in (each for each in unique_rules(table, dialect) if among(each.source)):
        # A row that is there keeps its key.
        asking = [row for row in rows if row.inserted] if rule.is_primary else rows
        for clash in await clashes(survey, rule, asking, [*first.identity, *kinds]):
            place = (table, clash.holder[: len(first.identity)])
            if place in away or (place == clash.row.place and not (rule.is_primary and clash.row.link is None)):
                continue
            holder = then.get(place)
            gives_up = holder is not None and not holder.inserted and _differs(holder, clash)
            (passing if gives_up else found).append(Obstacle(clash.row.entity, _had(clash, kinds)))
        for row, other in await twins(survey, rule, asking):
            says = f"{row.who} and {other.who} would have the same {names_of(row.model, rule.columns)}."
            found.append(Obstacle(row.entity, says))
    # What is to be given up is in the way only where nothing else is: it goes round.
    for obstacle in found or passing:
        yield obstacle


def _differs(row: Row, clash: Clash) -> bool:
    """Say whether a row is to have something else than it has now, where a rule looks."""
    columns = zip(clash.rule.columns, clash.theirs, strict=True)
    return any(column in row.values and row.values[column] != value for column, value in columns)


def _had(clash: Clash, kinds: Sequence[Any]) -> str:
    row, rule = clash.row, clash.rule
    width = len(row.identity)
    kind = clash.holder[width] if kinds else None
    holder: Called = called(row.model, row.table, row.identity, clash.holder[:width], kind=kind, link=row.link)
    if rule.is_primary and isinstance(row.who, Entity) and isinstance(holder, Entity):
        return another_class(holder, row.who)
    by = "" if rule.is_plain else f" ({rule.source.name!r} allows one)"
    if not rule.columns:
        return f"{holder} has now what {row.who} had{by}."
    mine = tuple(row.values.get(column, value) for column, value in zip(rule.columns, clash.theirs, strict=True))
    had = "had" if all(column in row.values for column in rule.columns) else "would have"
    has = "it" if mine == clash.theirs else _value(clash.theirs)
    return f"{row.who} {had} the {names_of(row.model, rule.columns)} {_value(mine)}, and {holder} has {has} now{by}."


def _value(values: Key) -> str:
    return repr(values[0] if len(values) == 1 else values)


async def _referred_to(survey: Survey, gone: Sequence[Row], among: _Among) -> AsyncIterator[Obstacle]:
    """Find what refers to that which would be taken away, and would stay."""
    away = {row.place for row in gone}
    for table in dict.fromkeys(row.table for row in gone):
        rows = [row for row in gone if row.table is table]
        model = rows[0].model
        every = (there for there in _tables_beside(model) if rows[0].link or there not in goes_along(model))
        for constraint in (each for there in every for each in there.foreign_key_constraints):
            if constraint.referred_table is not table or constraint.ondelete or not among(constraint):
                continue
            there, kinds = constraint.table, discriminator(model, constraint.table)
            referring = [element.parent for element in constraint.elements]
            owners = {key: row for row, key in _keys(rows, [each.column for each in constraint.elements]).items()}
            identity = list(there.primary_key) or referring
            for found in await _ask(survey, model, [*referring, *identity, *kinds], referring, set(owners)):
                owner, key = owners[tuple(found[: len(referring)])], tuple(found[len(referring) :])
                if (there, key[: len(identity)]) in away:
                    continue
                kind = key[-1] if kinds else None
                holder = called(model, there, identity, key[: len(identity)], kind=kind, link=None)
                names = names_of(holder.model if isinstance(holder, Entity) else model, referring)
                yield Obstacle(owner.entity, f"{holder} refers to {owner.who} by its {names}.")


def _tables_beside(model: type) -> list[Any]:
    mapper: Mapper[Any] = inspect(model)
    every = {getattr(each.local_table, "metadata", None): None for each in mapper.registry.mappers}
    return [table for metadata in every if metadata is not None for table in metadata.tables.values()]


async def _ask(
    survey: Survey, model: type, wanted: Sequence[Any], columns: Sequence[Any], keys: set[Key]
) -> list[Sequence[Any]]:
    if not keys:
        return []
    given = list(keys)
    mapper: Mapper[Any] = inspect(model)
    way = keys_for([column.type for column in columns], given, survey.session.sync_session.get_bind(mapper).dialect)
    rows: list[Any] = []
    for batch in way.batches(given):
        statement = select(*wanted).where(way.among(columns, "keys"))
        result = await survey.session.execute(
            statement, dict(way.bind(batch, "keys")), bind_arguments={"mapper": mapper}
        )
        rows += result.all()
    return rows


def _keys(rows: Iterable[Row], columns: Sequence[Any]) -> dict[Row, Key]:
    """Give the values of some columns, where a row has all of them: NULL refers to nothing."""
    found = {row: row.of(columns) for row in rows}
    return {row: key for row, key in found.items() if None not in key}

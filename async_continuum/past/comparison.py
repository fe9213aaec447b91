"""Compare the states of a model at two moments in one statement, which reads the versions made in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Dialect, Select, and_, case, inspect, literal, or_, select, union
from sqlalchemy.orm import Mapper, aliased, with_polymorphic
from sqlalchemy.sql import ClauseElement, ColumnElement, visitors

from async_continuum.build import Blueprint, blueprint_of, own_rows
from async_continuum.dialects import differs
from async_continuum.operation import Operation
from async_continuum.read import alive


@dataclass(frozen=True, eq=False, slots=True)
class Comparison:
    """A model at two transactions. Lives while its statement is built."""

    blueprint: Blueprint
    since: int
    until: int
    dialect: Dialect

    def statement(
        self, criteria: tuple[tuple[Any, ...], ...], operations: tuple[Operation, ...], order: tuple[Any, ...]
    ) -> Select[Any]:
        """Select (the version before, the version after) of all that differs.

        Each of ``criteria`` must be met by a version before or after; no ``operations`` stand for all.
        """
        blueprint, version_class = self.blueprint, self.blueprint.version_class
        before, after = (_entity(version_class, name) for name in ("before", "after"))
        touched = _touched(blueprint, *sorted((self.since, self.until)))

        def same(entity: Any) -> ColumnElement[bool]:
            return and_(*(touched.c[name] == getattr(entity, name) for name in blueprint.key))

        statement = select(before, after).select_from(touched)
        for entity, moment in ((before, self.since), (after, self.until)):
            there = and_(same(entity), alive(entity, blueprint, moment), *own_rows(entity, blueprint))
            statement = statement.outerjoin(entity, there)
        statement = statement.where(self._kept(before, after, operations or tuple(Operation)))
        for each in criteria:
            then = or_(*(alive(version_class, blueprint, moment) for moment in (self.since, self.until)))
            met = (
                select(literal(1))
                .select_from(version_class)
                .where(same(version_class), then, *each, *own_rows(version_class, blueprint))
            )
            statement = statement.where(met.correlate(touched).exists())
        ordered = [_as_is_after(clause, blueprint, before, after) for clause in order]
        return statement.order_by(*ordered, *touched.c)

    def _kept(self, before: Any, after: Any, wanted: tuple[Operation, ...]) -> ColumnElement[bool]:
        was, is_ = (getattr(each, self.blueprint.begins).is_not(None) for each in (before, after))
        sides = [list(_columns(entity, self.blueprint)) for entity in (before, after)]
        pairs = list(zip(*sides, strict=True))
        kinds = {Operation.INSERT: and_(~was, is_), Operation.DELETE: and_(was, ~is_)}
        if pairs:
            kinds[Operation.UPDATE] = and_(was, is_, differs(pairs, self.dialect))
        return or_(*(kind for operation, kind in kinds.items() if operation in wanted))


def _entity(version_class: Any, name: str) -> Any:
    """Make an alias that holds the columns of the classes below as well, where there are such."""
    if len(_of_its_tables(inspect(version_class))) == 1:
        return aliased(version_class, name=name)
    # Without the name, which SQLAlchemy 2.0.31 does not take together with `flat`.
    return with_polymorphic(version_class, "*", aliased=True, flat=True)


def _of_its_tables(mapper: Mapper[Any]) -> list[Mapper[Any]]:
    """List the classes of a hierarchy but the concrete ones, whose rows are in other tables."""
    return [each for each in mapper.self_and_descendants if each is mapper or not each.concrete]


def _columns(entity: Any, blueprint: Blueprint) -> Iterator[Any]:
    known = set(blueprint.key)
    for mapper in _of_its_tables(inspect(blueprint.version_class)):
        below = blueprint_of(mapper.class_)
        place = entity if below is blueprint else getattr(entity, mapper.class_.__name__)
        for name in below.attributes:
            # What a class inherits is compared once, in the class that has it.
            if name not in known:
                known |= {name} if below is blueprint else set()
                yield getattr(place, name)


def _touched(blueprint: Blueprint, low: int, high: int) -> Any:
    """Select the keys of all that got a version in between."""
    selects = []
    for history in blueprint.histories:
        versions = history.version_table
        begins = versions.c[history.begins]
        keys = [key.label(name) for key, name in zip(history.key_of(versions), blueprint.key, strict=True)]
        selects.append(select(*keys).where(begins > low, begins <= high))
    return (union(*selects) if len(selects) > 1 else selects[0].distinct()).subquery("ac_touched")


def _as_is_after(clause: Any, blueprint: Blueprint, before: Any, after: Any) -> Any:
    mapper: Mapper[Any] = inspect(blueprint.version_class)
    names = {(column.table.fullname, column.key): name for name, column in mapper.columns.items() if _is_plain(column)}

    def move(element: Any, **_: Any) -> Any:
        if not _is_plain(element):
            return None
        name = names.get((element.table.fullname, element.key))
        if name is None:
            return None
        return case((getattr(after, blueprint.begins).is_(None), getattr(before, name)), else_=getattr(after, name))

    return visitors.replacement_traverse(_plain(clause), {}, move)


def _plain(clause: Any) -> ClauseElement:
    element: ClauseElement = clause.__clause_element__() if hasattr(clause, "__clause_element__") else clause
    return element


def _is_plain(element: Any) -> bool:
    return isinstance(element, Column) and hasattr(element.table, "fullname")


def refuse_present(clauses: tuple[Any, ...], blueprint: Blueprint) -> None:
    """Refuse criteria on the model, which would be about the present. Raises `ValueError`."""
    tables = {history.table for history in blueprint.histories}
    for clause in clauses:
        for element in visitors.iterate(_plain(clause)):
            if isinstance(element, Column) and element.table in tables:
                raise ValueError(
                    f"{element} is about the present: ask about {blueprint.version_class.__name__}.{element.key}."
                )

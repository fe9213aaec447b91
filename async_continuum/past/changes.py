"""List what was inserted, updated and deleted between two moments, net: an immutable query that is awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, Select, and_, case, func, inspect, literal, or_, select, union, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper, aliased
from sqlalchemy.sql import ClauseElement, ColumnElement, visitors

from async_continuum.build import Blueprint, blueprint_of
from async_continuum.dialects import differs
from async_continuum.operation import Change, Operation
from async_continuum.past.moments import Moments
from async_continuum.past.session import present_of
from async_continuum.past.signed import parameter_for
from async_continuum.read import Moment, alive, difference

V = TypeVar("V")

_STREAMED = 500
# Transaction ids begin at 1: at this one nothing was alive.
_BEFORE_HISTORY = -1


@dataclass(frozen=True, slots=True)
class EntityChange(Generic[V]):
    """What became of one entity between two moments. Lives as long as whoever asked."""

    model: type[Any]
    key: tuple[Any, ...]
    operation: Operation
    before: V | None
    """The version alive at the first moment; None for what was inserted since."""
    after: V | None
    """The version alive at the second moment; None for what was deleted since."""
    changes: dict[str, Change]


@dataclass(frozen=True, slots=True, eq=False)
class ChangesBetween(Generic[V]):
    """What differs between two moments, model by model in the order of keys; awaiting it gives the list.

    Immutable: every method gives a new one. What was changed and changed back is not listed. The cost is that of the
    versions made in between, not of those that are stored.
    """

    _session: AsyncSession
    _blueprints: tuple[Blueprint, ...]
    _since: Moment
    _until: Moment
    _criteria: tuple[tuple[Any, ...], ...] = ()
    _operations: tuple[Operation, ...] = ()
    _order: tuple[Any, ...] = ()
    _limit: int | None = None
    _offset: int = 0

    def where(self, *criteria: Any) -> ChangesBetween[V]:
        """Keep the entities of which a version, before or after, meets ``criteria`` on the version class.

        Raises `ValueError` for criteria on the model, which would be about the present.
        """
        blueprint = self._only_model("where")
        _refuse_present(criteria, blueprint)
        return replace(self, _criteria=(*self._criteria, criteria))

    def only(self, *operations: Operation) -> ChangesBetween[V]:
        """Keep what was inserted, updated or deleted."""
        return replace(self, _operations=operations)

    def order_by(self, *clauses: Any) -> ChangesBetween[V]:
        """Order by attributes of the version class, as they are after, and before for what was deleted."""
        _refuse_present(clauses, self._only_model("order_by"))
        return replace(self, _order=(*self._order, *clauses))

    def limit(self, limit: int | None) -> ChangesBetween[V]:
        """Give at most so many."""
        return replace(self, _limit=limit)

    def offset(self, offset: int) -> ChangesBetween[V]:
        """Leave out so many of the first."""
        return replace(self, _offset=offset)

    async def all(self) -> list[EntityChange[V]]:
        """Give the list; the same as awaiting the query."""
        return [change async for change in self]

    # Python would otherwise fall back to awaiting nothing where somebody forgets `async`.
    __iter__ = None

    def __await__(self) -> Generator[Any, None, list[EntityChange[V]]]:
        return self.all().__await__()

    async def first(self) -> EntityChange[V] | None:
        """Give the first, or None."""
        found = await self.limit(1 if self._limit is None else min(1, self._limit))
        return found[0] if found else None

    async def count(self) -> int:
        """Count them, in the database."""
        total = max(sum(await self._counts()) - self._offset, 0)
        return total if self._limit is None else min(total, self._limit)

    async def __aiter__(self) -> AsyncIterator[EntityChange[V]]:
        statements = await self._statements()
        counts = [] if len(statements) == 1 or self._is_whole else await self._counts()
        skipped, left = self._offset, self._limit
        for i, (blueprint, statement) in enumerate(zip(self._blueprints, statements, strict=True)):
            if counts and skipped >= counts[i]:
                skipped -= counts[i]
                continue
            if left == 0:
                return
            page = statement.offset(skipped or None).limit(left)
            skipped = 0
            options = {"populate_existing": True, "yield_per": _STREAMED}
            rows = await self._session.stream(page, execution_options=options)
            try:
                async for before, after in rows:
                    left = None if left is None else left - 1
                    yield _change(blueprint, before, after)
            finally:
                await rows.close()

    @property
    def _is_whole(self) -> bool:
        return self._limit is None and not self._offset

    def _only_model(self, method: str) -> Blueprint:
        if len(self._blueprints) != 1:
            raise ValueError(f"{method}() is of one model: give changes_between() one.")
        return self._blueprints[0]

    async def _counts(self) -> list[int]:
        statements = await self._statements()
        counted = [
            select(literal(i), func.count()).select_from(each.order_by(None).subquery())
            for i, each in enumerate(statements)
        ]
        bind = {"mapper": inspect(self._blueprints[0].version_class)}
        rows = await self._session.execute(union_all(*counted), bind_arguments=bind)
        found = {int(row[0]): int(row[1]) for row in rows}
        return [found[i] for i in range(len(statements))]

    async def _statements(self) -> list[Select[Any]]:
        ends = [await self._ids(moment) for moment in (self._since, self._until)]
        return [
            self._statement(blueprint, *(each[blueprint.transaction_table.fullname] for each in ends))
            for blueprint in self._blueprints
        ]

    async def _ids(self, moment: Moment) -> dict[str, int]:
        sync = present_of(self._session)
        moments = Moments(moment)
        await self._session.run_sync(lambda _: moments.look_up(sync))
        found = {}
        for blueprint in self._blueprints:
            table = blueprint.transaction_table
            known = moments.known(sync.get_bind(mapper=inspect(blueprint.transaction_class)))
            highest = known[parameter_for(table)]
            found[table.fullname] = _BEFORE_HISTORY if highest is None else highest
        return found

    def _statement(self, blueprint: Blueprint, since: int, until: int) -> Select[Any]:
        version_class = blueprint.version_class
        before, after = (aliased(version_class, name=name, flat=True) for name in ("before", "after"))
        touched = _touched(blueprint, *sorted((since, until)))

        def same(entity: Any) -> ColumnElement[bool]:
            return and_(*(touched.c[name] == getattr(entity, name) for name in blueprint.key))

        statement = select(before, after).select_from(touched)
        for entity, moment in ((before, since), (after, until)):
            statement = statement.outerjoin(entity, and_(same(entity), alive(entity, blueprint, moment)))
        statement = statement.where(self._kept(blueprint, before, after))
        for criteria in self._criteria:
            then = or_(alive(version_class, blueprint, since), alive(version_class, blueprint, until))
            met = select(literal(1)).select_from(version_class).where(same(version_class), then, *criteria)
            statement = statement.where(met.correlate(touched).exists())
        ordered = [_as_is_after(clause, blueprint, before, after) for clause in self._order]
        return statement.order_by(*ordered, *touched.c)

    def _kept(self, blueprint: Blueprint, before: Any, after: Any) -> ColumnElement[bool]:
        was, is_ = getattr(before, blueprint.begins).is_not(None), getattr(after, blueprint.begins).is_not(None)
        names = [name for name in blueprint.attributes if name not in blueprint.key]
        dialect = present_of(self._session).get_bind(mapper=inspect(blueprint.version_class)).dialect
        pairs = [(_column(before, name), _column(after, name)) for name in names]
        kinds = {Operation.INSERT: and_(~was, is_), Operation.DELETE: and_(was, ~is_)}
        if pairs:
            kinds[Operation.UPDATE] = and_(was, is_, differs(pairs, dialect))
        wanted = self._operations or tuple(Operation)
        return or_(*(kind for operation, kind in kinds.items() if operation in wanted))


def _column(entity: Any, name: str) -> Any:
    return getattr(entity, name)


def _touched(blueprint: Blueprint, low: int, high: int) -> Any:
    """Select the keys of all that got a version in between."""
    selects = []
    for history in blueprint.histories:
        versions = history.version_table
        begins = versions.c[history.begins]
        keys = [key.label(name) for key, name in zip(history.key_of(versions), blueprint.key, strict=True)]
        selects.append(select(*keys).where(begins > low, begins <= high))
    return (union(*selects) if len(selects) > 1 else selects[0].distinct()).subquery("touched")


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


def _refuse_present(clauses: tuple[Any, ...], blueprint: Blueprint) -> None:
    tables = {history.table for history in blueprint.histories}
    for clause in clauses:
        for element in visitors.iterate(_plain(clause)):
            if isinstance(element, Column) and element.table in tables:
                raise ValueError(
                    f"{element} is about the present: ask about {blueprint.version_class.__name__}.{element.key}."
                )


def _change(blueprint: Blueprint, before: Any, after: Any) -> EntityChange[Any]:
    version = before if after is None else after
    own = blueprint_of(version)
    if before is None:
        operation = Operation.INSERT
    elif after is None:
        operation = Operation.DELETE
    else:
        operation = Operation.UPDATE
    key = tuple(getattr(version, name) for name in blueprint.key)
    return EntityChange(own.model, key, operation, before, after, difference(before, after))

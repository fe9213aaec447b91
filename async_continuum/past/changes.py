"""List what was inserted, updated and deleted between two moments, net: an immutable query that is awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, func, inspect, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from async_continuum.build import Blueprint, blueprint_of
from async_continuum.operation import Change, Operation
from async_continuum.past.comparison import Comparison, refuse_present
from async_continuum.past.moments import Moments
from async_continuum.past.session import present_of
from async_continuum.past.signed import parameter_for
from async_continuum.read import Moment, difference, not_below_0, refresh_held

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
        refuse_present(criteria, blueprint)
        return replace(self, _criteria=(*self._criteria, criteria))

    def only(self, *operations: Operation) -> ChangesBetween[V]:
        """Keep what was inserted, updated or deleted."""
        return replace(self, _operations=operations)

    def order_by(self, *clauses: Any) -> ChangesBetween[V]:
        """Order by attributes of the version class, as they are after, and before for what was deleted."""
        refuse_present(clauses, self._only_model("order_by"))
        return replace(self, _order=(*self._order, *clauses))

    def limit(self, limit: int | None) -> ChangesBetween[V]:
        """Give at most so many. Raises `ValueError` for fewer than none."""
        return replace(self, _limit=not_below_0("limit", limit))

    def offset(self, offset: int) -> ChangesBetween[V]:
        """Leave out so many of the first. Raises `ValueError` for fewer than none."""
        return replace(self, _offset=not_below_0("offset", offset))

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
            options = {"yield_per": _STREAMED, **await refresh_held(self._session, blueprint)}
            bind = self._bind_of(blueprint)
            rows = await self._session.stream(page, execution_options=options, bind_arguments={"bind": bind})
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
        """Count the changes of each model; one query for each database."""
        by_bind: dict[Any, list[Any]] = {}
        for i, (blueprint, statement) in enumerate(zip(self._blueprints, await self._statements(), strict=True)):
            counted = select(literal(i), func.count()).select_from(statement.order_by(None).subquery())
            by_bind.setdefault(self._bind_of(blueprint), []).append(counted)
        found: dict[int, int] = {}
        for bind, counts in by_bind.items():
            rows = await self._session.execute(union_all(*counts), bind_arguments={"bind": bind})
            found |= {int(row[0]): int(row[1]) for row in rows}
        return [found[i] for i in range(len(found))]

    async def _statements(self) -> list[Select[Any]]:
        since, until = [await self._ids(moment) for moment in (self._since, self._until)]
        return [
            Comparison(blueprint, since[blueprint], until[blueprint], self._bind_of(blueprint).dialect).statement(
                self._criteria, self._operations, self._order
            )
            for blueprint in self._blueprints
        ]

    async def _ids(self, moment: Moment) -> dict[Blueprint, int]:
        sync, moments = present_of(self._session), Moments(moment)
        await self._session.run_sync(lambda _: moments.look_up(sync))
        found = {}
        for blueprint in self._blueprints:
            highest = moments.known(self._bind_of(blueprint))[parameter_for(blueprint.transaction_table)]
            found[blueprint] = _BEFORE_HISTORY if highest is None else highest
        return found

    def _bind_of(self, blueprint: Blueprint) -> Any:
        return present_of(self._session).get_bind(mapper=inspect(blueprint.model))


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

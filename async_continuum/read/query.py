"""List the versions of one entity: an immutable query that is awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from dataclasses import dataclass, replace
from operator import index as as_index
from typing import Any, Generic, TypeVar, overload

from sqlalchemy import Select, false, func, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstanceState

from async_continuum.build import Blueprint, own_rows
from async_continuum.read.held import refresh_held, refreshing
from async_continuum.read.moment import Moment, alive, bound, first_from, require_known

V = TypeVar("V")

_STREAMED = 500


@dataclass(frozen=True, slots=True, eq=False)
class VersionQuery(Generic[V]):
    """The versions of one entity, oldest first. Immutable: every method gives a new one; awaiting it gives the list.

    ``query[0]`` is the first and ``query[-1]`` the newest, awaited, `IndexError` where there is none; ``query[2:5]``
    is a query of a slice; ``async for`` streams in constant memory.
    """

    _session: Callable[[], AsyncSession]
    _blueprint: Blueprint
    _entity: tuple[Any, ...] | InstanceState[Any]
    _criteria: tuple[Any, ...] = ()
    _options: tuple[Any, ...] = ()
    _order: tuple[Any, ...] = ()
    _limit: int | None = None
    _offset: int = 0
    _moments: tuple[Moment, ...] = ()
    _newest_of: tuple[VersionQuery[V], int] | None = None

    def where(self, *criteria: Any) -> VersionQuery[V]:
        """Keep the versions that meet ``criteria``, SQL expressions on the version class."""
        return replace(self, _criteria=(*self._criteria, *criteria))

    def options(self, *options: Any) -> VersionQuery[V]:
        """Apply loader options, such as ``selectinload(ArticleVersion.transaction)``."""
        return replace(self, _options=(*self._options, *options))

    def order_by(self, *clauses: Any) -> VersionQuery[V]:
        """Order otherwise than oldest first."""
        return replace(self, _order=(*self._order, *clauses))

    def limit(self, limit: int | None) -> VersionQuery[V]:
        """Give at most so many. Raises `ValueError` for fewer than none."""
        return replace(self, _limit=not_below_0("limit", limit))

    def offset(self, offset: int) -> VersionQuery[V]:
        """Leave out so many of the first. Raises `ValueError` for fewer than none."""
        return replace(self, _offset=not_below_0("offset", offset))

    def between(self, start: Moment, end: Moment) -> VersionQuery[V]:
        """Keep the versions made in [start, end], two moments."""
        begins = getattr(self._blueprint.version_class, self._blueprint.begins)
        made = (begins >= first_from(start, self._blueprint), begins <= bound(end, self._blueprint))
        return replace(self, _criteria=(*self._criteria, *made), _moments=(*self._moments, start, end))

    @property
    def statement(self) -> Select[V]:
        """The plain `Select` that awaiting this query executes."""
        return self._ordered(self._order or (self._begins.asc(),)).limit(self._limit).offset(self._offset or None)

    @property
    def _begins(self) -> Any:
        return getattr(self._blueprint.version_class, self._blueprint.begins)

    def _selected(self) -> Select[V]:
        version_class = self._blueprint.version_class
        key = self._key
        if key is None:
            return select(version_class).where(false())
        same = [getattr(version_class, name) == value for name, value in zip(self._blueprint.key, key, strict=True)]
        if self._newest_of is not None:
            query, length = self._newest_of
            newest = query._ordered((self._begins.desc(),)).with_only_columns(self._begins).limit(length)
            # Wrapped, because not every dialect takes a LIMIT inside IN.
            same.append(self._begins.in_(select(newest.subquery("ac_newest").c[0])))
        # An object is of its own class; a key may be of any class that the model's select() gives.
        same += [] if isinstance(self._entity, tuple) else own_rows(version_class, self._blueprint)
        return select(version_class).where(*same, *self._criteria).options(*self._options)

    def _ordered(self, order: tuple[Any, ...]) -> Select[V]:
        return self._selected().order_by(*order)

    @property
    def _key(self) -> tuple[Any, ...] | None:
        if isinstance(self._entity, tuple):
            return self._entity
        identity = self._entity.identity
        return None if identity is None else tuple(identity)

    async def _ready(self) -> AsyncSession:
        session = self._session()
        if isinstance(self._entity, InstanceState) and self._entity.pending and session.autoflush:
            await session.flush()
        for moment in self._moments:
            await require_known(session, moment, self._blueprint)
        return session

    @property
    def _among(self) -> tuple[Blueprint | None, tuple[Any, ...] | None]:
        # An eager loader brings versions of other classes, which are to be as stored, too.
        return (None, None) if self._options else (self._blueprint, self._key)

    async def _fetch(self, statement: Callable[[VersionQuery[V]], Select[V]]) -> list[V]:
        if isinstance(self._entity, InstanceState) and self._entity.transient:
            return []
        session = await self._ready()
        async with refreshing(session, *self._among) as options:
            # With populate_existing an eager loader overwrites what is set on live objects and cannot be flushed.
            gentle = bool(self._options and options) and not session.autoflush and bool(session.dirty)
            plain = replace(self, _options=()) if gentle else self
            result: Any = await session.scalars(statement(plain), execution_options=options)
            versions = list(result.unique())
            if gentle:
                versions = list((await session.scalars(statement(self))).unique())
        return versions

    async def all(self) -> list[V]:
        """Give the list; the same as awaiting the query."""
        return await self._fetch(lambda query: query.statement)

    # Python would otherwise fall back to __getitem__, and loop for ever over what nobody awaits.
    __iter__ = None

    def __await__(self) -> Generator[Any, None, list[V]]:
        return self.all().__await__()

    async def __aiter__(self) -> AsyncIterator[V]:
        if isinstance(self._entity, InstanceState) and self._entity.transient:
            return
        session = await self._ready()
        refreshed = await refresh_held(session, self._blueprint, self._key, loads_relations=bool(self._options))
        options = {"yield_per": _STREAMED, **refreshed}
        streamed: Any = await session.stream_scalars(self.statement, execution_options=options)
        try:
            async for found in streamed:
                yield found
        finally:
            await streamed.close()

    async def count(self) -> int:
        """Count the versions, in the database."""
        if isinstance(self._entity, InstanceState) and self._entity.transient:
            return 0
        session = await self._ready()
        counted = select(func.count()).select_from(self.statement.order_by(None).subquery())
        bind = {"mapper": inspect(self._blueprint.version_class)}
        return (await session.execute(counted, bind_arguments=bind)).scalar_one()

    async def at(self, moment: Moment) -> V | None:
        """Give the version alive at ``moment``; None before the entity was born and after it was deleted.

        Raises `ValueError` for a naive `datetime` and for an unknown transaction id.
        """
        bound(moment, self._blueprint)
        if isinstance(self._entity, InstanceState) and self._entity.transient:
            return None
        await require_known(self._session(), moment, self._blueprint)
        then = self.where(alive(self._blueprint.version_class, self._blueprint, moment))
        found = await then._fetch(lambda query: query._ordered((query._begins.desc(),)).limit(1))
        return found[0] if found else None

    async def first(self) -> V | None:
        """Give the first version, or None."""
        found = await self[:1]
        return found[0] if found else None

    async def last(self) -> V | None:
        """Give the last version, or None."""
        try:
            return await self[-1]
        except IndexError:
            return None

    @overload
    def __getitem__(self, index: int) -> Coroutine[Any, Any, V]: ...

    @overload
    def __getitem__(self, index: slice) -> VersionQuery[V]: ...

    def __getitem__(self, index: int | slice) -> Coroutine[Any, Any, V] | VersionQuery[V]:
        if isinstance(index, slice):
            return self._slice(index)
        return self._item(as_index(index))

    async def _item(self, index: int) -> V:
        found: list[V]
        if index >= 0:
            found = await self[index : index + 1]
        elif self._order or self._limit is not None or self._offset:
            listed = await self
            found = listed[index:][:1] if -index <= len(listed) else []
        else:
            newest_first = (self._begins.desc(),)
            found = await self._fetch(lambda query: query._ordered(newest_first).offset(-index - 1).limit(1))
        if not found:
            raise IndexError(f"there is no version {index} of this {self._blueprint.model.__name__}")
        return found[0]

    def _slice(self, index: slice) -> VersionQuery[V]:
        start, stop = index.start or 0, index.stop
        plain = not (self._order or self._offset or self._limit is not None)
        if start < 0 and stop is None and index.step in (None, 1) and plain:
            return replace(self, _newest_of=(self, -start))
        if start < 0 or (stop is not None and stop < 0) or index.step not in (None, 1):
            raise ValueError(
                "a slice of a query is [start:stop] from its first version on, or [-n:] of the newest: "
                "for others await the query and slice the list."
            )
        length = None if stop is None else max(stop - start, 0)
        if self._limit is not None:
            left = max(self._limit - start, 0)
            length = left if length is None else min(length, left)
        return replace(self, _offset=self._offset + start, _limit=length)


N = TypeVar("N", bound=int | None)


def not_below_0(name: str, number: N) -> N:
    """Take a number of rows. Raises `ValueError` for fewer than none, which databases take for something else."""
    if number is not None and number < 0:
        raise ValueError(f"{name} is not below 0: {number}")
    return number

"""Open a session in the past: of a session, an engine, a sessionmaker, a version, a transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar, overload

from sqlalchemy import event, inspect
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker

from async_continuum.build import Blueprint
from async_continuum.errors import wrong_session
from async_continuum.past.compiler import Live
from async_continuum.past.moments import Moments
from async_continuum.past.session import View, past_class, present_of, refuse_what_writes
from async_continuum.read import AnySession, Moment, require_async

S = TypeVar("S", bound=AsyncSession)


@overload
def as_of(source: S, moment: Moment, *, live: Live = ...) -> AbstractAsyncContextManager[S]: ...


@overload
def as_of(source: async_sessionmaker[S], moment: Moment, *, live: Live = ...) -> AbstractAsyncContextManager[S]: ...


@overload
def as_of(
    source: AsyncEngine | async_scoped_session[Any], moment: Moment, *, live: Live = ...
) -> AbstractAsyncContextManager[AsyncSession]: ...


def as_of(source: Any, moment: Moment, *, live: Live = "read") -> AbstractAsyncContextManager[Any]:
    """Open a session in which every select is answered as of ``moment``: ``async with as_of(session, moment) as past``.

    Of a session: inside its transaction and on its connections; what it has flushed counts as the present. Of an
    engine or a sessionmaker: in a session of its own. It is of the same class and has the same options, and an
    identity map of its own. It is read-only: what writes, locks or is text raises `ReadOnlySession`. A column that
    history excludes raises `ColumnNotVersioned`, unless the option ``past_default`` gives it a value. Models without
    history are read live, or refused with ``live="refuse"`` (`ClassNotVersioned`).

    The moment is looked up once, on entering. Before history began nothing was alive; the future is the newest state.
    Raises `ValueError` for a naive `datetime` and for an unknown transaction id.
    """
    if live not in ("read", "refuse"):
        raise ValueError(f"live={live!r}: give 'read' or 'refuse'")
    moments = Moments(moment)
    if isinstance(source, async_sessionmaker):
        return _of_maker(source, moments, live)
    if isinstance(source, AsyncEngine):
        return _of_maker(async_sessionmaker(source), moments, live)
    if not isinstance(source, (AsyncSession, async_scoped_session)):
        raise wrong_session(source, wanted="an AsyncSession, an AsyncEngine or an async_sessionmaker")
    return _of_session(require_async(source), moments, live)


@asynccontextmanager
async def _of_session(source: AsyncSession, moments: Moments, live: Live) -> AsyncIterator[AsyncSession]:
    past = await _opened(source, moments, live)
    try:
        yield past
    finally:
        await past.close()
        _view_of(past).is_over = True


@asynccontextmanager
async def _of_maker(maker: async_sessionmaker[Any], moments: Moments, live: Live) -> AsyncIterator[AsyncSession]:
    async with maker() as source:
        if not source.in_transaction():
            await source.begin()
        async with _of_session(source, moments, live) as past:
            yield past


async def opened_as_of(source: AnySession, moment: Moment, *, live: Live = "read") -> AsyncSession:
    """Give a session in the past of another, which holds nothing of its own that would have to be closed."""
    return await _opened(require_async(source), Moments(moment), live)


class _Kept:
    """Keeps a session in the past as long as an object of it lives; a pickled object has none."""

    __slots__ = ("past",)

    def __init__(self, past: AsyncSession | None) -> None:
        self.past = past

    def __reduce__(self) -> Any:
        return _Kept, (None,)


async def object_as_of(source: AnySession, blueprint: Blueprint, key: Any, moment: Moment) -> Any | None:
    """Give one object as it was, or None where it was not alive; it keeps its session in the past."""
    past = await opened_as_of(source, moment)
    found: Any = await past.get(blueprint.model, key)
    if found is not None:
        inspect(found).info["async_continuum.past"] = _Kept(past)
    return found


async def _opened(source: AsyncSession, moments: Moments, live: Live) -> AsyncSession:
    sync: Any = present_of(source)
    options: dict[str, Any] = {"autoflush": sync.autoflush, "expire_on_commit": sync.expire_on_commit}
    # Since SQLAlchemy 2.1.
    if getattr(sync, "execution_options", None):
        options["execution_options"] = sync.execution_options
    past = type(source)(
        # Absent where they were not given, in SQLAlchemy 2.0. What is used is what the source's get_bind() says.
        bind=getattr(source, "bind", None),
        binds=getattr(source, "binds", None),
        sync_session_class=past_class(type(sync)),
        info={key: value for key, value in sync.info.items() if not _is_ours(key)},
        **options,
    )
    past.sync_session.past_view = View(sync, moments, live)  # type: ignore[attr-defined]
    event.listen(past.sync_session, "do_orm_execute", refuse_what_writes)
    await source.run_sync(lambda _: moments.look_up(sync))
    return past


def _is_ours(key: Any) -> bool:
    # What recording keeps in a session is of that session.
    return f"{key if isinstance(key, str) else type(key).__module__}".startswith("async_continuum")


def _view_of(past: AsyncSession) -> View:
    view: View = past.sync_session.past_view  # type: ignore[attr-defined]
    return view

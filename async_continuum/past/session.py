"""Open a session in the past: the user's own queries, on the source's connections, answered as of one moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar, overload

from sqlalchemy import Connection, Dialect, FunctionElement, event, inspect
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import ORMExecuteState, Session

from async_continuum.build import Blueprint
from async_continuum.errors import ReadOnlySession, wrong_session
from async_continuum.past.compiler import Live, past_dialect
from async_continuum.past.guard import InThePast
from async_continuum.past.moments import Moments, Schemas
from async_continuum.read import Moment, require_async

S = TypeVar("S", bound=AsyncSession)

_WRITE = "write through an ordinary session."


class PastConnection(Connection):
    """Another face of a connection: the same transaction, read as of a moment. Lives for one statement."""

    _moments: Moments

    @classmethod
    def over(cls, connection: Connection, dialect: Dialect, moments: Moments) -> PastConnection:
        """Make one. A copy, because the source goes on to use its connection for the present."""
        face = cls.__new__(cls)
        vars(face).update(vars(connection), dialect=dialect, _moments=moments)
        return face

    def execute(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        """Execute a statement as of the moment."""
        given = self._with_moment(statement, parameters, execution_options)
        return super().execute(statement, given, execution_options=execution_options)

    def scalar(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        """Execute a statement as of the moment, and give the first value."""
        given = self._with_moment(statement, parameters, execution_options)
        return super().scalar(statement, given, execution_options=execution_options)

    def _with_moment(self, statement: Any, parameters: Any, options: Any) -> Any:
        moment = self._moments.parameters(self, self._schemas(statement, options or {}))
        if isinstance(parameters, Sequence):
            return [{**each, **moment} for each in parameters]
        return {**(parameters or {}), **moment}

    def _schemas(self, statement: Any, options: Mapping[str, Any]) -> Schemas:
        # As a connection merges them itself: what the call says wins, then what the connection says.
        for each in (options, self.get_execution_options(), statement.get_execution_options()):
            if "schema_translate_map" in each:
                return each["schema_translate_map"] or {}
        return {}


@dataclass(slots=True)
class View:
    """From where a session in the past looks, and at when. Lives as long as that session."""

    source: Session
    moments: Moments
    live: Live
    is_over: bool = False


class PastSession(InThePast, Session):
    """Reads the past and writes nothing. Lives inside the session that it was made from, on its connections."""

    past_view: View

    def get_bind(self, *args: Any, **kw: Any) -> Any:
        """Give what the source session would use."""
        return self.past_view.source.get_bind(*args, **kw)

    # Private: the one place where a session gets what it executes with. It has no transaction of its own, so that
    # neither its commit nor its rollback nor its end touches the source's, and no second connection is taken.
    def _connection_for_bind(self, engine: Any, execution_options: Any = None, **kw: Any) -> Connection:
        view = self.past_view
        if view.is_over:
            raise InvalidRequestError("This session in the past is over: its `async with` block has ended.")
        connection = view.source.connection(bind_arguments={"bind": engine})
        return PastConnection.over(connection, past_dialect(connection.dialect, view.live), view.moments)

    def connection(self, *args: Any, **kw: Any) -> NoReturn:
        """Refuse: what is executed on a connection is not read as of a moment."""
        raise ReadOnlySession("connection()", because="it would show the present. Take the source's own.")

    def flush(self, objects: Any = None) -> None:
        """Refuse whatever would be written. Raises `ReadOnlySession`."""
        for instance in self._changed():
            raise ReadOnlySession(f"a flush of {_named(instance)}", because=_WRITE)

    def _changed(self) -> list[Any]:
        return [*self.new, *self.deleted, *(each for each in self.dirty if self.is_modified(each))]

    # Private: what a commit asks before it flushes. An attribute that was set to what it was is nothing to write.
    def _is_clean(self) -> bool:
        return not self._changed()

    def bulk_save_objects(self, *args: Any, **kw: Any) -> NoReturn:
        """Refuse. Raises `ReadOnlySession`."""
        raise ReadOnlySession("bulk_save_objects()", because=_WRITE)

    def bulk_insert_mappings(self, *args: Any, **kw: Any) -> NoReturn:
        """Refuse. Raises `ReadOnlySession`."""
        raise ReadOnlySession("bulk_insert_mappings()", because=_WRITE)

    def bulk_update_mappings(self, *args: Any, **kw: Any) -> NoReturn:
        """Refuse. Raises `ReadOnlySession`."""
        raise ReadOnlySession("bulk_update_mappings()", because=_WRITE)


def _refuse_what_writes(state: ORMExecuteState) -> None:
    # Here, before the ORM takes a way of its own for a bulk statement. A function called alone is a select.
    if not state.is_select and not isinstance(state.statement, FunctionElement):
        raise ReadOnlySession(
            state.statement,
            named=_kind(state),
            because="only a select() can be answered from history. Write through an ordinary session.",
        )


def _kind(state: ORMExecuteState) -> str | None:
    # An ORM statement cannot be relied on to be printed here.
    table = getattr(getattr(state.statement, "element", state.statement), "table", None)
    kinds = {"an INSERT into": state.is_insert, "an UPDATE of": state.is_update, "a DELETE from": state.is_delete}
    return next((f"{kind} {table}" for kind, is_it in kinds.items() if is_it and table is not None), None)


def _named(instance: Any) -> str:
    identity = inspect(instance).identity
    return f"{type(instance).__name__} {'(new)' if identity is None else identity}"


def _past_class(base: Any) -> type[PastSession]:
    # Kept by nobody but its base, so that it goes with it.
    known = (each for each in base.__subclasses__() if issubclass(each, PastSession))
    found: type[PastSession] | None = next(known, None)
    return found or type(f"Past{base.__name__}", (PastSession, base), {"__module__": base.__module__})


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


async def opened_as_of(source: AsyncSession, moment: Moment, *, live: Live = "read") -> AsyncSession:
    """Give a session in the past of another, which holds nothing of its own that would have to be closed."""
    return await _opened(require_async(source), Moments(moment), live)


async def object_as_of(source: AsyncSession, blueprint: Blueprint, key: Any, moment: Moment) -> Any | None:
    """Give one object as it was, or None where it was not alive; it keeps its session in the past."""
    past = await opened_as_of(source, moment)
    found: Any = await past.get(blueprint.model, key)
    if found is not None:
        inspect(found).info["async_continuum.past"] = past
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
        sync_session_class=_past_class(type(sync)),
        info={key: value for key, value in sync.info.items() if not _is_ours(key)},
        **options,
    )
    past.sync_session.past_view = View(sync, moments, live)  # type: ignore[attr-defined]
    event.listen(past.sync_session, "do_orm_execute", _refuse_what_writes)
    await source.run_sync(lambda _: moments.look_up(sync))
    return past


def _is_ours(key: Any) -> bool:
    # What recording keeps in a session is of that session.
    return f"{key if isinstance(key, str) else type(key).__module__}".startswith("async_continuum")


def present_of(session: AsyncSession) -> Session:
    """Give the session of the present: of one in the past, that which it was made from."""
    sync = session.sync_session
    return sync.past_view.source if isinstance(sync, PastSession) else sync


def _view_of(past: AsyncSession) -> View:
    view: View = past.sync_session.past_view  # type: ignore[attr-defined]
    return view

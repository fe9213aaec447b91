"""Be a session in the past: the user's own queries, on the source's connections, answered as of one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy import Connection, Dialect, FunctionElement, inspect
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction

from async_continuum.errors import ReadOnlySession
from async_continuum.past.compiler import Live, past_dialect
from async_continuum.past.guard import InThePast
from async_continuum.past.moments import Moments, Schemas

_WRITE = "write through an ordinary session."


class PastConnection(Connection):
    """Another face of a connection: the same transaction, read as of a moment. Lives for one statement."""

    _moments: Moments
    _present: Connection

    @classmethod
    def over(cls, connection: Connection, dialect: Dialect, moments: Moments) -> PastConnection:
        """Make one. A copy, because the source goes on to use its connection for the present."""
        face = cls.__new__(cls)
        vars(face).update(vars(connection), dialect=dialect, _moments=moments, _present=connection)
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
        moment = self._moments.parameters(self._present, self._schemas(statement, options or {}))
        if isinstance(parameters, Sequence):
            return [{**each, **moment} for each in parameters]
        return {**(parameters or {}), **moment}

    def _schemas(self, statement: Any, options: Mapping[str, Any]) -> Schemas:
        # As a connection merges them itself: what the call says wins, then what the connection says.
        for each in (options, self.get_execution_options(), statement.get_execution_options()):
            if "schema_translate_map" in each:
                return each["schema_translate_map"] or {}
        return {}


@dataclass(eq=False, slots=True)
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

    def begin_nested(self) -> SessionTransaction:
        """Begin a savepoint of the source's transaction, which is this session's as well."""
        return self.past_view.source.begin_nested()

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


def refuse_what_writes(state: ORMExecuteState) -> None:
    """Listen to what a session is about to execute. Raises `ReadOnlySession`."""
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


def past_class(base: Any) -> type[PastSession]:
    """Give the class of sessions in the past that derives from the source's own."""
    # Kept by nobody but its base, so that it goes with it.
    known = (each for each in base.__subclasses__() if issubclass(each, PastSession))
    found: type[PastSession] | None = next(known, None)
    return found or type(f"Past{base.__name__}", (PastSession, base), {"__module__": base.__module__})


def present_of(session: AsyncSession) -> Session:
    """Give the session of the present: of one in the past, that which it was made from."""
    sync = session.sync_session
    return sync.past_view.source if isinstance(sync, PastSession) else sync

"""See every statement on the connections of recorded sessions, and have recorded what the ORM tells of no object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, WeakSet, ref

from sqlalchemy import Connection, Delete, Engine, Insert, Table, Update, event
from sqlalchemy.orm import Session
from sqlalchemy.sql.expression import UpdateBase

from async_continuum.build import LinkBlueprint
from async_continuum.manager.announcement import may_write
from async_continuum.manager.coverage import Coverage
from async_continuum.manager.holding import hold_within_flush
from async_continuum.manager.links import keys_inserted, keys_matched
from async_continuum.manager.pending import Pending, unrecorded
from async_continuum.manager.preparing import prepare, prepare_inside
from async_continuum.manager.recorder import Recorder
from async_continuum.manager.statements import changed_table, changes_within, will_tell_keys
from async_continuum.manager.wrapped import unwrapped, wrapped
from async_continuum.native import records
from async_continuum.record import is_disabled
from async_continuum.write import OWN

_OPTION = "async_continuum"
"""Under this a statement names, weakly, what was prepared for it, for where its result is seen.

The statement itself may live as long as the engine, with what was compiled of it.
"""

_EVENTS = ("before_execute", "before_cursor_execute", "after_execute", "savepoint", "rollback_savepoint")


class Watch:
    """Listens to the engines of one manager's sessions. Lives as long as the manager is active.

    To engines rather than connections: those come and go with each transaction, and most change nothing versioned.
    """

    def __init__(
        self,
        coverage: Coverage,
        recorder: Callable[[Session], Recorder | None],
        is_flushing: Callable[[Session], bool],
    ) -> None:
        self._coverage = coverage
        self._recorder = recorder
        self._is_flushing = is_flushing
        self._engines: WeakSet[Engine] = WeakSet()
        self._sessions: WeakKeyDictionary[Connection, ReferenceType[Session]] = WeakKeyDictionary()
        # Those in CTEs of a statement that is being executed now, by its context.
        self._inside: WeakKeyDictionary[Any, list[Pending]] = WeakKeyDictionary()

    def begin(self, session: Session, connection: Connection) -> None:
        """Record what is executed on a connection for a session; where several share it, for the first."""
        engine = _origin(connection.engine)
        if engine not in self._engines:
            self._engines.add(engine)
            for name in _EVENTS:
                event.listen(engine, name, getattr(self, f"_{name}"), retval=name.startswith("before"))
        first = self._session_of(connection)
        if first is None:
            self._sessions[connection] = ref(session)

    def end(self) -> None:
        """See nothing any more."""
        for engine in list(self._engines):
            for name in _EVENTS:
                event.remove(engine, name, getattr(self, f"_{name}"))
        self._engines.clear()
        self._sessions.clear()

    def _session_of(self, connection: Connection) -> Session | None:
        found = self._sessions.get(connection)
        session = None if found is None else found()
        # A connection may outlive the session that has joined its transaction.
        return session if session is not None and session.in_transaction() else None

    def _before_execute(
        self, connection: Connection, statement: Any, many: Any, one: Any, options: Mapping[str, Any]
    ) -> tuple[Any, Any, Any]:
        change = unwrapped(statement)
        if isinstance(change, UpdateBase) and OWN not in options:
            kept = self._kept(change, connection)
            # Most of what is executed changes nothing of which history is kept.
            if kept is not None or self._coverage.waiting:
                session = self._session_of(connection)
                if session is not None:
                    given = many or ([one] if one else [])
                    sent = self._before(session, connection, change, kept, given, options)
                    recorder = self._recorder(session) if self._is_flushing(session) else None
                    if recorder is not None and recorder.changes.missing and kept is not None:
                        sent, given = hold_within_flush(recorder, connection, kept[1], sent, given)
                        many, one = (given, {}) if len(given) > 1 else ([], dict(*given))
                    if sent is not change:
                        statement = wrapped(statement, sent, _OPTION)
        return statement, many, one

    def _before(
        self,
        session: Session,
        connection: Connection,
        statement: Any,
        kept: tuple[Any, Any] | None,
        parameters: Sequence[Mapping[str, Any]],
        options: Mapping[str, Any],
    ) -> Any:
        flushing = self._is_flushing(session)
        if flushing and self._coverage.waiting and isinstance(statement, (Delete, Update)):
            recorder = self._recorder(session)
            if recorder is not None and recorder.changes.has_doomed():
                recorder.record_doomed(connection)
        if kept is None:
            return statement
        link = isinstance(kept[0], LinkBlueprint)
        if flushing and not link and _is_sent_by_a_mapper(connection, options):
            return statement
        if _OPTION in statement.get_execution_options() or is_disabled(None if link else kept[0].model):
            return statement
        recorder = self._recorder(session)
        if recorder is None:
            return statement
        if _is_elsewhere(kept[1].table, connection, options):
            unrecorded(kept[0], statement)
            return statement
        if flushing and link and self._is_of_the_flush(connection, kept[0], statement, parameters, recorder):
            return statement
        pending = prepare(self, connection, *kept, statement, parameters, recorder, flushing=flushing)
        recorder.gaps.begin(pending)
        return pending.statement.execution_options(**{_OPTION: ref(pending)})

    def _is_of_the_flush(
        self, connection: Connection, link: Any, statement: Any, parameters: Any, recorder: Recorder
    ) -> bool:
        """Leave links that a flush makes and unmakes, key by key, to be recorded with the rest of it."""
        if isinstance(statement, Insert):
            return bool(parameters) and will_tell_keys(link.history, statement, parameters)
        for before, after in keys_matched(link, connection, statement, parameters):
            if isinstance(statement, Delete):
                recorder.changes.will_go(connection, link, before)
                continue
            if before != after:
                recorder.changes.will_move(connection, link, before)
            recorder.changes.linked(connection, link, [after])
        if recorder.changes.has_doomed():
            recorder.record_doomed(connection)
        return True

    def _before_cursor_execute(
        self, connection: Connection, cursor: Any, text: str, parameters: Any, context: Any, many: bool
    ) -> tuple[str, Any]:
        own = context is not None and OWN in context.execution_options
        if self._coverage.native and not own and self._coverage.has_triggers(connection) and may_write(text, context):
            session = self._session_of(connection)
            recorder = None if session is None else self._recorder(session)
            if session is not None and recorder is not None:
                statement = None if context is None else context.invoked_statement
                table = getattr(statement, "table", None)
                if recorder.announcement.sees_writes:
                    recorder.expect_later_ids(connection)
                recorder.announcement.before_write(connection, table, flushing=self._is_flushing(session))
        # DDL has none.
        if context is None or own:
            return text, parameters
        if context.isinsert or context.isupdate or context.isdelete:
            pending = self._pending(context.invoked_statement)
            if pending is not None:
                pending.context = context
                text = pending.rewritten(text, context)
        if getattr(context.compiled, "ctes", None):
            self._before_inside(connection, context)
        return text, parameters

    def _savepoint(self, connection: Connection, _: str | None) -> None:
        session = self._session_of(connection)
        recorder = None if session is None else self._recorder(session)
        if recorder is not None:
            recorder.ledgers.savepoint_on(connection)

    def _rollback_savepoint(self, connection: Connection, _: str, __: None) -> None:
        session = self._session_of(connection)
        recorder = None if session is None else self._recorder(session)
        if recorder is not None:
            recorder.savepoint_rolled_back(connection)

    def _before_inside(self, connection: Connection, context: Any) -> None:
        """Prepare the statements in the CTEs of another."""
        if not any(self._kept(cte.element, connection) for cte in context.compiled.ctes):
            return
        session = self._session_of(connection)
        recorder = None if session is None else self._recorder(session)
        if recorder is None:
            return
        named = {bind.key for bind in context.compiled.bind_names if not bind.unique}
        sets = [{name: each[name] for name in named if name in each} for each in context.compiled_parameters]
        self._inside[context] = prepared = []
        for statement in changes_within(unwrapped(context.invoked_statement)):
            kept = self._kept(statement, connection)
            if kept is None or is_disabled(None if isinstance(kept[0], LinkBlueprint) else kept[0].model):
                continue
            if _is_elsewhere(kept[1].table, connection, context.execution_options):
                unrecorded(kept[0], statement)
            else:
                prepared.append(prepare_inside(self, connection, *kept, statement, sets, recorder))

    def _pending(self, statement: Any) -> Pending | None:
        """Give what this watch has prepared for a statement."""
        named: ReferenceType[Pending] | None = statement.get_execution_options().get(_OPTION)
        pending = None if named is None else named()
        return None if pending is None or pending.owner is not self else pending

    def _kept(self, statement: Any, connection: Connection) -> tuple[Any, Any] | None:
        table = changed_table(statement) if isinstance(statement, UpdateBase) else None
        kept = None if table is None else self._coverage.kept(table)
        if kept is None:
            return None
        # What triggers record is theirs.
        return None if kept[1].settings.native_versioning and records(kept[1], connection) else kept

    def _after_execute(
        self, connection: Connection, statement: Any, many: Any, one: Any, options: Mapping[str, Any], result: Any
    ) -> None:
        for inside in self._inside.pop(result.context, ()) if self._inside else ():
            with inside.recorder.gaps.closed():
                inside.record(None)
        change = unwrapped(statement)
        if not isinstance(change, UpdateBase) or OWN in options:
            return
        pending = self._pending(statement)
        if pending is not None:
            with pending.recorder.gaps.closed():
                pending.record(result)
        elif isinstance(change, Insert):
            self._after_link_in_flush(connection, change, many or ([one] if one else []), result)

    def _after_link_in_flush(self, connection: Connection, statement: Insert, parameters: Any, result: Any) -> None:
        table = changed_table(statement)
        link = None if table is None else self._coverage.links.get(table)
        session = None if link is None else self._session_of(connection)
        if link is None or session is None or not self._is_flushing(session) or is_disabled(None):
            return
        if records(link.history, connection):
            return
        recorder = self._recorder(session)
        if recorder is not None:
            recorder.changes.linked(connection, link, keys_inserted(link, parameters, result) or ())


def _origin(engine: Engine) -> Engine:
    """Give the engine that one with execution options of its own was made from: both have its events, so once."""
    # Private: nobody else says from which.
    while isinstance(made_from := getattr(engine, "_proxied", None), Engine):
        engine = made_from
    return engine


def _is_sent_by_a_mapper(connection: Connection, options: Mapping[str, Any]) -> bool:
    """Say whether the flush sends a statement for its objects, which their mappers tell of."""
    # It is compiled into a cache of the mapper; the connection may have a cache, or none, of its own.
    cache = "compiled_cache"
    return cache in options and options[cache] is not connection.get_execution_options().get(cache, connection)


def _is_elsewhere(table: Table, connection: Connection, options: Mapping[str, Any]) -> bool:
    """Say whether a statement is sent to another schema than the connection has the table in, and its history."""
    name = "schema_translate_map"
    if name not in options:
        return False
    here: Mapping[str | None, str | None] = connection.get_execution_options().get(name) or {}
    there: Mapping[str | None, str | None] = options[name] or {}
    return there.get(table.schema, table.schema) != here.get(table.schema, table.schema)

"""Listen to the sessions of one manager: begin, flush, savepoint, commit, rollback, end."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction

from async_continuum.manager.agreeing import agree
from async_continuum.manager.coverage import Coverage
from async_continuum.manager.listeners import Listeners
from async_continuum.manager.recorder import Recorder
from async_continuum.manager.savepoints import watch
from async_continuum.manager.watching import Watch
from async_continuum.read import ask_with_one_parameter


class Sessions:
    """Carries the events of sessions to their recorders. Lives as long as its manager is active.

    A session's recorder stands in ``session.info`` under ``owner``, the manager, until its transaction ends.
    """

    def __init__(self, owner: object, coverage: Coverage, covers: Callable[[Session], bool]) -> None:
        self._owner = owner
        self._coverage = coverage
        self._covers = covers
        self._flushing = (owner, "flushing")
        self._watch = Watch(coverage, self.recorder, self._is_flushing)

    def recorder(self, session: Session) -> Recorder | None:
        """Give the recorder of a session, a new one if need be; None for a session that is not recorded."""
        recorder: Recorder | None = session.info.get(self._owner)
        if recorder is None and self._covers(session):
            recorder = session.info[self._owner] = Recorder(session, self._coverage)
        return recorder

    def begin(self, listened: type[Session], listeners: Listeners) -> None:
        """Listen to the sessions of a class."""
        for name in (
            "do_orm_execute",
            "before_flush",
            "after_flush",
            "after_flush_postexec",
            "before_commit",
            "after_begin",
            "after_rollback",
            "after_soft_rollback",
            "after_transaction_create",
            "after_transaction_end",
        ):
            listeners.listen(listened, name, getattr(self, f"_{name}"))

    def end(self) -> None:
        """See no statements any more."""
        self._watch.end()

    def _is_flushing(self, session: Session) -> bool:
        return self._flushing in session.info

    def _do_orm_execute(self, state: ORMExecuteState) -> None:
        self._coverage.homes.route(state)
        if state.is_relationship_load and state.execution_options.get("yield_per"):
            # Before 2.0.50 SQLAlchemy took the option of a stream for the loads of its relations too, and refused it
            # there, wherever somebody listens to this event.
            state.update_execution_options(yield_per=None)
        ask_with_one_parameter(state)

    def _before_flush(self, session: Session, _: object, __: object) -> None:
        self._coverage.homes.bind(session)
        session.info[self._flushing] = True
        recorder: Recorder | None = session.info.get(self._owner)
        if recorder is not None:
            recorder.before_flush()

    def _after_flush(self, session: Session, _: object) -> None:
        session.info.pop(self._flushing, None)
        recorder: Recorder | None = session.info.get(self._owner)
        if recorder is not None:
            recorder.record_flush()
        if self._coverage.plugins.sees_flushes:
            recorder = self.recorder(session)
            if recorder is not None:
                recorder.show_flush()

    def _after_flush_postexec(self, session: Session, _: object) -> None:
        recorder: Recorder | None = session.info.get(self._owner)
        if recorder is not None:
            recorder.flushed()

    def _before_commit(self, session: Session) -> None:
        if session.get_nested_transaction() is not None:
            return
        # The commit flushes only after this event; what it would write belongs to the transaction as well.
        session.flush()
        recorder: Recorder | None = session.info.get(self._owner)
        if recorder is not None:
            recorder.gaps.refuse()
            recorder.finish()
            agree(session)

    def _after_begin(self, session: Session, _: SessionTransaction, connection: Connection) -> None:
        watch(connection)
        if self._covers(session):
            self._watch.begin(session, connection)

    def _after_rollback(self, session: Session) -> None:
        session.info.pop(self._flushing, None)
        # The outermost transaction ends before its after_soft_rollback, and then the recorder is gone.
        recorder: Recorder | None = session.info.get(self._owner)
        if recorder is not None and session.get_nested_transaction() is None:
            recorder.rolled_back(None)

    def _after_soft_rollback(self, session: Session, transaction: SessionTransaction) -> None:
        session.info.pop(self._flushing, None)
        recorder: Recorder | None = session.info.get(self._owner)
        if recorder is not None:
            recorder.rolled_back(transaction)

    def _after_transaction_create(self, session: Session, transaction: SessionTransaction) -> None:
        if not transaction.nested:
            return
        recorder: Recorder | None = session.info.get(self._owner)
        if recorder is not None:
            recorder.ledgers.savepoint(transaction)

    def _after_transaction_end(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            session.info.pop(self._flushing, None)
            session.info.pop(self._owner, None)

"""Let no transaction commit whose history would not say what a statement has done, or would say what it has not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session, SessionTransaction


class Waiting(Protocol):
    """A statement that is being executed."""

    @property
    def left_behind(self) -> str | None:
        """Say what may stand of it in the rows or in history, where it fails; None for nothing."""


class Gaps:
    """Where history and the rows of one session's transaction have parted. Lives in its recorder.

    A flush that fails is rolled back. A statement that fails need not be: its caller may catch the error, and some
    databases let the transaction go on.
    """

    __slots__ = ("_failed", "_session", "_waiting")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waiting: dict[Waiting, SessionTransaction | None] = {}
        self._failed: list[tuple[BaseException, SessionTransaction | None]] = []

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Remember the error with which the recording of a statement fails."""
        try:
            yield
        except BaseException as error:
            self._failed.append((error, self._session.get_nested_transaction()))
            raise

    def begin(self, statement: Waiting) -> None:
        """Keep a statement that is about to be executed."""
        self._waiting[statement] = self._session.get_nested_transaction()

    def end(self, statement: Waiting) -> None:
        """Let go of a statement that was executed; one that has failed stays."""
        self._waiting.pop(statement, None)

    def refuse(self) -> None:
        """Raise `InvalidRequestError` where the transaction must not be committed."""
        for statement in self._waiting:
            if statement.left_behind is not None:
                raise InvalidRequestError(f"this transaction cannot be committed: {statement.left_behind}. {_REMEDY}")
        if self._failed:
            error, _ = self._failed[0]
            raise InvalidRequestError(
                "this transaction cannot be committed: the recording of a statement in it has failed, and history "
                f"would not say what was done. {_REMEDY} The error was: {error!r}"
            ) from error

    def rolled_back(self, transaction: SessionTransaction | None) -> None:
        """Forget what went with a transaction or savepoint; None for all."""
        self._failed = [each for each in self._failed if not _within(each[1], transaction)]
        self._waiting = {each: at for each, at in self._waiting.items() if not _within(at, transaction)}


_REMEDY = "Roll back, to a savepoint before the statement (session.begin_nested()) or all of it."


def _within(inner: SessionTransaction | None, outer: SessionTransaction | None) -> bool:
    while inner is not None and inner is not outer:
        inner = inner.parent
    return outer is None or inner is outer

"""Let no transaction commit that has done what could not be recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session, SessionTransaction


class Gaps:
    """What one session's transaction has done without a history, since recording it failed. Lives in its recorder.

    A flush that fails is rolled back; a statement that is executed stays, and its caller may catch the error.
    """

    __slots__ = ("_found", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._found: list[tuple[BaseException, SessionTransaction | None]] = []

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Remember the error with which the recording of an executed statement fails."""
        try:
            yield
        except BaseException as error:
            self._found.append((error, self._session.get_nested_transaction()))
            raise

    def refuse(self) -> None:
        """Raise `InvalidRequestError` where a statement stands that is not recorded."""
        if self._found:
            error, _ = self._found[0]
            raise InvalidRequestError(
                "this transaction cannot be committed: the recording of a statement in it has failed, and what the "
                "statement did would have no history. Roll back, to a savepoint before the statement or all of it. "
                f"The error was: {error!r}"
            ) from error

    def rolled_back(self, transaction: SessionTransaction | None) -> None:
        """Forget what went with a transaction or savepoint; None for all."""
        self._found = [found for found in self._found if transaction is not None and not _within(found[1], transaction)]


def _within(inner: SessionTransaction | None, outer: SessionTransaction) -> bool:
    while inner is not None and inner is not outer:
        inner = inner.parent
    return inner is outer

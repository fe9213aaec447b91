"""Let a user add to what is recorded: the hooks, each with what it is given, when it runs and what it may do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from sqlalchemy import Column, Connection, Executable, Table
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from async_continuum.build import TableHistory
from async_continuum.declare import AddedColumn
from async_continuum.plugins.building import TransactionBuild
from async_continuum.write import Rows, Writing

Hook = TypeVar("Hook", bound=Callable[..., Any])


@dataclass(frozen=True, eq=False, slots=True)
class Signing:
    """A transaction row that is about to be written. Lives for one hook."""

    session: Session
    transaction_class: Any
    meta: Mapping[str, Any]
    """What the context says of the transaction besides its columns; a callable has been called."""


@dataclass(frozen=True, eq=False, slots=True)
class Flushed:
    """A flush that has been recorded. Lives for one hook."""

    session: Session
    sign: Callable[[Any], tuple[Connection, int]]
    """Gives the connection and the transaction id for a ``Transaction`` class, taking an id where there is none."""


def done_by_triggers(hook: Hook) -> Hook:
    """Mark a hook whose work triggers do where they record; another one in its place is refused there."""
    hook.done_by_triggers = True  # type: ignore[attr-defined]
    return hook


class Plugin:
    """Base of all plugins: synchronous hooks that are called inside the flush. Lives as long as its manager is active.

    Override what is needed; each does nothing by itself. A hook may execute statements only where it is given a
    connection, and must not flush or commit. An error that it raises fails the flush, and names the plugin.
    """

    stores_meta: ClassVar[bool] = False
    """Whether it stores what ``versioning_context(meta=...)`` gives. Without such a plugin, meta is refused."""

    def transaction_built(self, build: TransactionBuild) -> None:
        """Add tables, classes and relations beside a ``Transaction`` class.

        Runs once for each registry, when its first versioned model is declared. What is made with ``build`` is taken
        away by `remove_versioning`.
        """

    def version_columns(self, history: TableHistory) -> Sequence[AddedColumn]:
        """Give columns that a version table gets beside those of its table, each with the SQL that fills it.

        Runs when the version table is built, and again when its table has got more columns. The SQL is asked for when
        a statement is first built, from a `Copying`; it is part of the one statement that copies the rows.
        """
        return ()

    def deleted_value(self, history: TableHistory, column: Column[Any]) -> ColumnElement[Any] | None:
        """Give the SQL of what a DELETE version holds in a column that is not of the key; None: what was stored last.

        Runs when a statement is first built. The first plugin with an answer decides.
        """
        return None

    def context(self, session: Session) -> Mapping[str, Any]:
        """Give who and why, as the arguments of `versioning_context`, where neither task nor session says otherwise.

        Runs each time that a transaction row is about to be written.
        """
        return {}

    def transaction_rows(self, signing: Signing) -> Sequence[Rows]:
        """Give rows of the plugin's own tables that come with a new transaction row.

        Runs each time that a transaction row is about to be written. On PostgreSQL they are written by the same
        statement, elsewhere by one more for each table. The rows of a table have the same keys, without their
        transaction's id.
        """
        return ()

    def first_versions(self, writing: Writing) -> Sequence[Executable]:
        """Give INSERT, UPDATE or DELETE statements to run with the first versions of a class in a transaction.

        Runs when a statement is first built. Afterwards the statement runs once for each class and transaction (again
        where those versions were taken away in between, and for each chunk of keys that a database takes): on
        PostgreSQL within the statement that writes the versions, elsewhere after it.
        """
        return ()

    def versions_written(self, writing: Writing) -> Sequence[Executable]:
        """Give INSERT, UPDATE or DELETE statements to run whenever versions of a class are written.

        As `first_versions`, but for each flush; an entity that changes again is among ``writing.versions`` again.
        """
        return ()

    def versions_removed(self, writing: Writing) -> Sequence[Executable]:
        """Give statements to run after versions were taken away, because the transaction has undone its own changes.

        Then ``writing.versions`` are those of the table that the transaction has left.
        """
        return ()

    def vacuumed(self, history: TableHistory, transactions: Table, entity: str) -> Sequence[Executable]:
        """Give statements to run after `vacuum` has taken repetitions out of the history of a class.

        What belongs to transactions that went with them is taken away by itself.
        """
        return ()

    def flushed(self, flush: Flushed) -> None:
        """Look at what the ORM has flushed, after it was recorded.

        Runs at the end of every flush of a recorded session, before its objects lose their pending state.
        """

    def renumbered(self, connection: Connection, transaction_class: Any, old: int, new: int) -> None:
        """Follow a transaction that has got a later id, because a younger one overtook it.

        Runs after all rows were moved, also those of tables made with `TransactionBuild.table`.
        """

"""Say what a history may hold besides its rows: added columns, and statements that go with the writing of versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Executable, Table
from sqlalchemy.sql import ColumnElement

COMPANIONS = "async_continuum.companions"
"""Where a transaction table's ``info`` lists its companions."""


@dataclass(frozen=True, eq=False, slots=True)
class AddedColumn:
    """A column that a version table has and its table has not. Lives as long as the history."""

    column: Column[Any]
    value: Callable[[Any], ColumnElement[Any]]
    """Gives the SQL that fills it, from a `Copying`; whenever a version is written anew, it is filled anew."""
    beside: str | None = None
    """The column that it is about: the version class then calls it like that column's attribute."""
    says_changed: bool = False
    """Whether it says that the transaction has changed that column, net: then triggers fill it, and nothing else."""


@dataclass(frozen=True, eq=False, slots=True)
class Companion:
    """A table whose rows belong to transactions. Lives as long as the transaction class."""

    table: Table
    transaction_id: Column[Any]
    """Says whose each row is; follows the transaction to a later id."""
    follows: tuple[Column[Any], ...] = ()
    """Other columns of it that may hold the id of the same transaction."""
    keeps: bool = False
    """Whether a row of it is reason enough for its transaction to stay, where no version is left."""
    model: type | None = None
    """The class that is mapped to it."""
    names: Column[Any] | None = None
    """Says of which class the transaction has changed something, where a row says nothing else."""


class Extras:
    """What is added to the histories of one manager: by itself nothing. Lives as long as the manager is active."""

    @property
    def writes(self) -> bool:
        """Whether any statement goes with the writing of versions."""
        return False

    def version_columns(self, history: Any) -> Sequence[AddedColumn]:
        """List the columns that the version table of a `TableHistory` has besides those of the table."""
        return ()

    def deleted_value(self, history: Any, column: Column[Any]) -> ColumnElement[Any] | None:
        """Give what a DELETE version holds in a column, where that is not the last stored value."""
        return None

    def first_versions(self, writing: Any) -> Sequence[Executable]:
        """Give what runs with the first versions that a transaction writes of an entity's table."""
        return ()

    def versions_written(self, writing: Any) -> Sequence[Executable]:
        """Give what runs whenever versions are written."""
        return ()

    def versions_removed(self, writing: Any) -> Sequence[Executable]:
        """Give what runs after versions of the running transaction were taken away again."""
        return ()

    def vacuumed(self, history: Any, transactions: Table, entity: str) -> Sequence[Executable]:
        """Give what runs after `vacuum` has taken repetitions out of the history of a class."""
        return ()


NOTHING = Extras()

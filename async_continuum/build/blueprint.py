"""Freeze how a model maps to its history, so that every later step resolves no name again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, inspect

from async_continuum.build.table import TableHistory
from async_continuum.declare import Settings, parent_of
from async_continuum.errors import ClassNotVersioned

# The blueprint stands on the class and on the table themselves, so that it goes when they go.
ATTRIBUTE = "__blueprint__"
# Of a class that keeps no history itself, and whose tables hold rows of one below it that does.
HIDDEN = "__hidden_blueprint__"
INFO = "async_continuum"


@dataclass(frozen=True, eq=False, slots=True)
class Blueprint:
    """How one model maps to its history. Lives as long as the model, or until `remove_versioning`."""

    model: type
    histories: tuple[TableHistory, ...]
    version_class: Any
    transaction_class: Any
    settings: Settings
    attributes: tuple[str, ...]
    key: tuple[str, ...]
    columns: frozenset[str]
    """Every attribute of the model that is a column, kept or not."""
    width: int
    """How many columns the model's tables had when this was built."""
    hidden: bool = False
    """Whether the model keeps no history itself, but a class below it does."""

    @property
    def history(self) -> TableHistory:
        """The table that holds the entity's key: the topmost under joined inheritance, else the only one.

        Raises `ClassNotVersioned` for a class that has none itself, and whose versions are those of classes below it.
        """
        if not self.histories:
            raise ClassNotVersioned(self.model)
        return self.histories[0]

    @property
    def own(self) -> TableHistory:
        """The table that this class adds; under single table inheritance that of the class above it."""
        return self.histories[-1] if self.histories else self.history

    @property
    def above(self) -> Blueprint | None:
        """The blueprint of the class that this one inherits its rows from."""
        parent = parent_of(inspect(self.model))
        return None if parent is None else find_any(parent.class_)

    @property
    def transaction_table(self) -> Table:
        table: Table = self.transaction_class.__table__
        return table

    @property
    def begins(self) -> str:
        return self.settings.transaction_column_name

    @property
    def ends(self) -> str:
        return self.settings.end_transaction_column_name

    @property
    def operation(self) -> str:
        return self.settings.operation_type_column_name


def find_any(model: type) -> Blueprint | None:
    """Find the blueprint of a class, also one that keeps no history itself."""
    found = find_blueprint(model)
    return found if found is not None else model.__dict__.get(HIDDEN)


def find_blueprint(target: object) -> Blueprint | None:
    """Find the blueprint of a model, a version class, or an object of either; None where it keeps no history."""
    cls = target if isinstance(target, type) else type(target)
    blueprint = cls.__dict__.get(ATTRIBUTE)
    return blueprint if isinstance(blueprint, Blueprint) else None


def blueprint_of(target: object) -> Blueprint:
    """Find the blueprint of a model, a version class, or an object of either.

    Raises `ClassNotVersioned`.
    """
    blueprint = target.__dict__.get(ATTRIBUTE) if isinstance(target, type) else find_blueprint(target)
    if not isinstance(blueprint, Blueprint):
        raise ClassNotVersioned(target if isinstance(target, type) else type(target))
    return blueprint


def blueprint_of_object(target: object) -> Blueprint:
    """Find the blueprint of an object of a model.

    Raises `ClassNotVersioned`, and `TypeError` for a class and for a version of one.
    """
    blueprint = blueprint_of(target)
    name = blueprint.model.__name__
    if isinstance(target, type):
        raise TypeError(f"expected an object of {name}, got the class {target.__name__}")
    if type(target) is not blueprint.model:
        raise TypeError(f"expected an object of {name}, got the version {target!r}")
    return blueprint


def find_history(table: Table) -> TableHistory | None:
    """Find the history of a table; None where none is kept."""
    history = table.info.get(INFO)
    return history if isinstance(history, TableHistory) else None


def history_of(table: Table) -> TableHistory:
    """Find the history of a table. Raises `ClassNotVersioned`."""
    history = find_history(table)
    if history is None:
        raise ClassNotVersioned(table)
    return history


def blueprints_of(transaction_class: Any) -> list[Blueprint]:
    """List the blueprints of every model whose changes this transaction class signs."""
    return [blueprint_of(model) for model in transaction_class.__versioned_models__]

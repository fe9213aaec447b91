"""Freeze how a model maps to its history, so that every later step resolves no name again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, inspect
from sqlalchemy.orm import Mapper

from async_continuum.build.mapped import unmap_class, withdraw
from async_continuum.build.table import TableHistory, build_table, extend_table, refuse_clash
from async_continuum.build.version_class import add_derived, added_properties, attributes_of, build_version_class
from async_continuum.declare import Settings, kept_columns, key_columns, versioned_table
from async_continuum.errors import ClassNotVersioned

# The blueprint stands on the class and on the table themselves, so that it goes when they go.
_ATTRIBUTE = "__blueprint__"
_INFO = "async_continuum"


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
    """How many columns the model's table had when this was built."""

    @property
    def history(self) -> TableHistory:
        """The table that holds the entity's key; the only one of a plainly mapped class."""
        return self.histories[0]

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


def build(mapper: Mapper[Any], settings: Settings, *, base: type, transaction_class: Any) -> Blueprint:
    """Build version table and version class of a model and leave the blueprint on it."""
    table = versioned_table(mapper)
    names = [key for key, column in mapper.columns.items() if getattr(column, "table", None) is table]
    columns = kept_columns(mapper, settings)
    history = build_table(table, columns, key_columns(mapper), settings, model=mapper.class_, attributes=names)
    version_class = None
    if settings.create_models:
        version_class = build_version_class(mapper, history, settings, base=base, transaction_class=transaction_class)
    return _attach(mapper, history, version_class, transaction_class, settings)


def complete(blueprint: Blueprint) -> Blueprint:
    """Take in all that was added to the model until its mapper is configured, derived attributes too."""
    blueprint = extend(blueprint)
    if blueprint.version_class is not None:
        add_derived(blueprint.version_class, inspect(blueprint.model), blueprint.history)
    return blueprint


def extend(blueprint: Blueprint) -> Blueprint:
    """Take in what was added to the model after its class was declared; the same blueprint where nothing was."""
    history = blueprint.history
    if len(history.table.c) == blueprint.width:
        return blueprint
    mapper: Mapper[Any] = inspect(blueprint.model)
    columns = kept_columns(mapper, blueprint.settings)
    refuse_clash(columns, mapper.columns.keys(), blueprint.settings, model=blueprint.model)
    history = extend_table(history, columns, model=blueprint.model)
    version_class = blueprint.version_class
    if version_class is not None:
        version_mapper: Mapper[Any] = inspect(version_class)
        for name, key in attributes_of(mapper, history).items():
            if not version_mapper.has_property(name):
                version_mapper.add_property(name, history.version_table.c[key])
        for name, column in added_properties(history, attributes_of(mapper, history)).items():
            if not version_mapper.has_property(name):
                version_mapper.add_property(name, column)
        version_class.__blueprint__ = None
    return _attach(mapper, history, version_class, blueprint.transaction_class, blueprint.settings)


def _attach(
    mapper: Mapper[Any], history: TableHistory, version_class: Any, transaction_class: Any, settings: Settings
) -> Blueprint:
    model: Any = mapper.class_
    attributes = attributes_of(mapper, history)
    blueprint = Blueprint(
        model=model,
        histories=(history,),
        version_class=version_class,
        transaction_class=transaction_class,
        settings=settings,
        attributes=tuple(attributes),
        key=tuple(mapper.get_property_by_column(column).key for column in mapper.primary_key),
        columns=frozenset(mapper.columns.keys()),
        width=len(history.table.c),
    )
    setattr(model, _ATTRIBUTE, blueprint)
    history.table.info[_INFO] = history
    if version_class is not None:
        setattr(version_class, _ATTRIBUTE, blueprint)
    models = transaction_class.__versioned_models__
    if model not in models:
        models.append(model)
    return blueprint


def detach(blueprint: Blueprint) -> None:
    """Take the history of a model away again: blueprint, version table and version class; stored rows stay."""
    history = blueprint.history
    delattr(blueprint.model, _ATTRIBUTE)
    history.table.info.pop(_INFO, None)
    history.version_table.metadata.remove(history.version_table)
    if blueprint.version_class is not None:
        withdraw(blueprint.version_class)
        unmap_class(blueprint.version_class)


def find_blueprint(target: object) -> Blueprint | None:
    """Find the blueprint of a model, a version class, or an object of either; None where it keeps no history."""
    cls = target if isinstance(target, type) else type(target)
    blueprint = cls.__dict__.get(_ATTRIBUTE)
    return blueprint if isinstance(blueprint, Blueprint) else None


def blueprint_of(target: object) -> Blueprint:
    """Find the blueprint of a model, a version class, or an object of either.

    Raises `ClassNotVersioned`.
    """
    blueprint = target.__dict__.get(_ATTRIBUTE) if isinstance(target, type) else find_blueprint(target)
    if not isinstance(blueprint, Blueprint):
        raise ClassNotVersioned(target if isinstance(target, type) else type(target))
    return blueprint


def find_history(table: Table) -> TableHistory | None:
    """Find the history of a table; None where none is kept."""
    history = table.info.get(_INFO)
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

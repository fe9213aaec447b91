"""Freeze how a model maps to its history, so that every later step resolves no name again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Column, Table, inspect
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import ClauseElement

from async_continuum.build.conditions import refuse_another
from async_continuum.build.mapped import unmap_class, withdraw
from async_continuum.build.table import TableHistory, build_table, extend_table, follow, refuse_clash
from async_continuum.build.version_class import Above, add_derived, add_missing, attributes_of, build_version_class
from async_continuum.declare import (
    Settings,
    attribute_of,
    kept_columns,
    key_columns,
    parent_of,
    refuse_inherited,
    refuse_past_default,
    versioned_table,
)
from async_continuum.errors import ClassNotVersioned, ImproperlyConfigured

# The blueprint stands on the class and on the table themselves, so that it goes when they go.
_ATTRIBUTE = "__blueprint__"
# Of a class that keeps no history itself, and whose tables hold rows of one below it that does.
_HIDDEN = "__hidden_blueprint__"
_INFO = "async_continuum"
_OF_A_HIERARCHY = (
    "strategy",
    "transaction_column_name",
    "end_transaction_column_name",
    "operation_type_column_name",
    "create_models",
)


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
        """The table that holds the entity's key: the topmost under joined inheritance, else the only one."""
        return self.histories[0]

    @property
    def own(self) -> TableHistory:
        """The table that this class adds; under single table inheritance that of the class above it."""
        return self.histories[-1]

    @property
    def above(self) -> Blueprint | None:
        """The blueprint of the class that this one inherits its rows from."""
        parent = parent_of(inspect(self.model))
        return None if parent is None else _find(parent.class_)

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


def build(
    mapper: Mapper[Any], settings: Settings, *, base: type, transaction_class: Any, hidden: bool = False
) -> Blueprint:
    """Build version table and version class of a model and leave the blueprint on it.

    Under inheritance those of the classes above come first, also where these keep no history themselves.
    """
    above = _above(mapper, settings, base, transaction_class)
    histories = _histories(mapper, settings, above)
    refuse_past_default(mapper, [history.table.c[name] for history in histories for name in history.columns])
    version_class = None
    if settings.create_models:
        known = None if above is None else Above(inspect(above.model), above.histories, above.version_class)
        version_class = build_version_class(
            mapper, histories, settings, base=base, transaction_class=transaction_class, above=known
        )
    return _attach(mapper, histories, version_class, transaction_class, settings, hidden=hidden)


def _above(mapper: Mapper[Any], settings: Settings, base: type, transaction_class: Any) -> Blueprint | None:
    parent = parent_of(mapper)
    if parent is None:
        return None
    known = _find(parent.class_)
    if known is None:
        return build(parent, settings, base=base, transaction_class=transaction_class, hidden=True)
    for option in _OF_A_HIERARCHY:
        if getattr(settings, option) != getattr(known.settings, option):
            raise ImproperlyConfigured(
                f"option {option!r} is {getattr(settings, option)!r}, and {getattr(known.settings, option)!r} for "
                f"{known.model.__name__}, from which it inherits: one hierarchy is versioned in one way.",
                model=mapper.class_,
                option=option,
            )
    return known


def _histories(mapper: Mapper[Any], settings: Settings, above: Blueprint | None) -> tuple[TableHistory, ...]:
    table = versioned_table(mapper)
    inherited = () if above is None else above.histories
    if above is not None and isinstance(settings.record_if, ClauseElement):
        refuse_another(settings, above.settings, model=mapper.class_)
    if above is not None:
        refuse_inherited(mapper, [history.table.c[name] for history in inherited for name in history.columns])
    for history in inherited:
        if history.table is table:
            _take_columns(history, mapper, settings)
            history.shared = inherited[0].shared = True
            return inherited
    columns = kept_columns(mapper, settings)
    names = [name for column in table.c if (name := attribute_of(mapper, column)) is not None]
    # What is recorded of an entity is said by its topmost table; the others follow.
    own = replace(settings, record_if=None) if inherited else settings
    history = build_table(table, columns, key_columns(mapper), own, model=mapper.class_, attributes=names)
    history.decided.update(column.key for column in table.c)
    if inherited:
        follow(history, inherited[0])
    elif isinstance(mapper.polymorphic_on, Column) and mapper.polymorphic_on.table is table:
        history.names_class = mapper.polymorphic_on.key
    return (*inherited, history)


def _take_columns(history: TableHistory, mapper: Mapper[Any], settings: Settings) -> None:
    columns = kept_columns(mapper, settings, decided=history.decided)
    refuse_clash(columns, mapper.columns.keys(), settings, model=mapper.class_)
    history.decided.update(column.key for column in history.table.c if attribute_of(mapper, column) is not None)
    history.decided.update(column.key for column in columns)
    if columns:
        extend_table(history, columns, model=mapper.class_)


def complete(blueprint: Blueprint) -> Blueprint:
    """Take in all that was added to the model until its mapper is configured, derived attributes too."""
    blueprint = extend(blueprint)
    if blueprint.version_class is not None:
        if blueprint.above is not None:
            complete(blueprint.above)
        add_derived(blueprint.version_class, inspect(blueprint.model), blueprint.histories)
    return blueprint


def extend(blueprint: Blueprint) -> Blueprint:
    """Take in what was added to the model after its class was declared; the same blueprint where nothing was."""
    if _width(blueprint.histories) == blueprint.width:
        return blueprint
    if blueprint.above is not None:
        extend(blueprint.above)
    mapper: Mapper[Any] = inspect(blueprint.model)
    _take_columns(blueprint.own, mapper, blueprint.settings)
    if blueprint.version_class is not None:
        add_missing(blueprint.version_class, mapper, blueprint.histories)
    return _attach(
        mapper,
        blueprint.histories,
        blueprint.version_class,
        blueprint.transaction_class,
        blueprint.settings,
        hidden=blueprint.hidden,
    )


def _width(histories: tuple[TableHistory, ...]) -> int:
    return sum(len(history.table.c) for history in histories)


def _attach(
    mapper: Mapper[Any],
    histories: tuple[TableHistory, ...],
    version_class: Any,
    transaction_class: Any,
    settings: Settings,
    *,
    hidden: bool,
) -> Blueprint:
    model: Any = mapper.class_
    blueprint = Blueprint(
        model=model,
        histories=histories,
        version_class=version_class,
        transaction_class=transaction_class,
        settings=settings,
        attributes=tuple(attributes_of(mapper, histories)),
        key=tuple(mapper.get_property_by_column(column).key for column in mapper.primary_key),
        columns=frozenset(mapper.columns.keys()),
        width=_width(histories),
        hidden=hidden,
    )
    setattr(model, _HIDDEN if hidden else _ATTRIBUTE, blueprint)
    for history in histories:
        history.table.info[_INFO] = history
    if version_class is not None:
        setattr(version_class, _ATTRIBUTE, blueprint)
    models = transaction_class.__versioned_models__
    if model not in models and not hidden:
        models.append(model)
    return blueprint


def detach(blueprint: Blueprint) -> None:
    """Take the history of a model away again: blueprint, version table and version class; stored rows stay.

    Those of the classes below it must have gone before.
    """
    above = blueprint.above
    delattr(blueprint.model, _HIDDEN if blueprint.hidden else _ATTRIBUTE)
    if above is None or above.own is not blueprint.own:
        history = blueprint.own
        history.table.info.pop(_INFO, None)
        history.version_table.metadata.remove(history.version_table)
    if blueprint.version_class is not None:
        withdraw(blueprint.version_class)
        unmap_class(blueprint.version_class)
    if above is not None and above.hidden and not any(_has_any(each) for each in _below(above)):
        detach(above)


def _below(blueprint: Blueprint) -> Iterator[type]:
    mapper: Mapper[Any] = inspect(blueprint.model)
    return (each.class_ for each in mapper.self_and_descendants if each is not mapper)


def _has_any(model: type) -> bool:
    return _find(model) is not None


def _find(model: type) -> Blueprint | None:
    """Find the blueprint of a class, also one that keeps no history itself."""
    found = find_blueprint(model)
    return found if found is not None else model.__dict__.get(_HIDDEN)


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

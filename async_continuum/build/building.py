"""Build the history of a model: its version tables, its version class, the blueprint that holds them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Column, inspect
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import ClauseElement, visitors

from async_continuum.build.blueprint import ATTRIBUTE, HIDDEN, INFO, Blueprint, find_any
from async_continuum.build.concrete import concrete_base, forget_to_come, unite, united
from async_continuum.build.conditions import refuse_another
from async_continuum.build.derived import attributes_of
from async_continuum.build.mapped import unmap_class, withdraw
from async_continuum.build.table import TableHistory, build_table, extend_table, follow, refuse_clash
from async_continuum.build.version_class import Above, add_derived, add_missing, build_version_class
from async_continuum.declare import (
    Settings,
    attribute_of,
    decided_columns,
    kept_columns,
    key_columns,
    lineage,
    parent_of,
    refuse_inherited,
    refuse_past_default,
    versioned_table,
)
from async_continuum.errors import ImproperlyConfigured

_OF_A_HIERARCHY = (
    "strategy",
    "transaction_column_name",
    "end_transaction_column_name",
    "operation_type_column_name",
    "create_models",
    "native_versioning",
    "append_only",
    "on_truncate",
)


def build(
    mapper: Mapper[Any], settings: Settings, *, base: type, transaction_class: Any, hidden: bool = False
) -> Blueprint:
    """Build version table and version class of a model and leave the blueprint on it.

    Under inheritance those of the classes above come first, also where these keep no history themselves.
    """
    above = _above(mapper, settings, base, transaction_class)
    histories = _histories(mapper, settings, above)
    with _taken_back(histories, above):
        refuse_past_default(mapper, [history.table.c[name] for history in histories for name in history.columns])
        version_class = None
        if settings.create_models:
            known = None if above is None else Above(inspect(above.model), above.histories, above.version_class)
            version_class = build_version_class(
                mapper,
                histories,
                settings,
                base=concrete_base(mapper, settings, base),
                transaction_class=transaction_class,
                above=known,
            )
        return _attach(mapper, histories, version_class, transaction_class, settings, hidden=hidden)


@contextmanager
def _taken_back(histories: Sequence[TableHistory], above: Blueprint | None) -> Iterator[None]:
    """Take what was built for a class away again where the class is refused."""
    try:
        yield
    except BaseException:
        for history in histories:
            if above is None or history not in above.histories:
                history.version_table.metadata.remove(history.version_table)
        _let_go(above)
        raise


def _above(mapper: Mapper[Any], settings: Settings, base: type, transaction_class: Any) -> Blueprint | None:
    parent = parent_of(mapper)
    if parent is None:
        return None
    known = find_any(parent.class_)
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
    history.decided.update(decided_columns(mapper))
    if inherited:
        follow(history, inherited[0])
        return (*inherited, history)
    history.mapper = mapper
    if mapper.polymorphic_on is not None:
        named = [each for each in visitors.iterate(mapper.polymorphic_on) if isinstance(each, Column)]
        history.class_columns = frozenset(each.key for each in named if each.table is table)
    if isinstance(mapper.polymorphic_on, Column) and mapper.polymorphic_on.table is table:
        history.names_class = mapper.polymorphic_on.key
    return (*inherited, history)


def forget_statements(mapper: Mapper[Any]) -> None:
    """Forget what was compiled for the tables of a hierarchy: one more class is known."""
    for each in lineage(mapper):
        above = find_any(each.class_)
        for history in () if above is None else above.histories:
            history.statements.clear()


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


def unite_with_below(blueprint: Blueprint) -> None:
    """Let a version class give those of concrete classes below it as well, where its model does."""
    for each in united(blueprint):
        if each.model is not blueprint.model:
            complete(each)
    unite(blueprint)


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
    setattr(model, HIDDEN if hidden else ATTRIBUTE, blueprint)
    for history in histories:
        history.table.info[INFO] = history
    if version_class is not None:
        setattr(version_class, ATTRIBUTE, blueprint)
    models = transaction_class.__versioned_models__
    if model not in models and not hidden:
        models.append(model)
    return blueprint


def detach(blueprint: Blueprint) -> None:
    """Take the history of a model away again: blueprint, version table and version class; stored rows stay.

    Those of the classes below it must have gone before.
    """
    above = blueprint.above
    delattr(blueprint.model, HIDDEN if blueprint.hidden else ATTRIBUTE)
    if above is None or above.own is not blueprint.own:
        history = blueprint.own
        history.table.info.pop(INFO, None)
        history.version_table.metadata.remove(history.version_table)
    if blueprint.version_class is not None:
        withdraw(blueprint.version_class)
        unmap_class(blueprint.version_class)
    forget_to_come(blueprint.model)
    _let_go(above)


def _let_go(above: Blueprint | None) -> None:
    # The history of a class that keeps none itself is there for those below it.
    if above is not None and above.hidden and not any(_has_any(each) for each in _below(above)):
        detach(above)


def _below(blueprint: Blueprint) -> Iterator[type]:
    mapper: Mapper[Any] = inspect(blueprint.model)
    return (each.class_ for each in mapper.self_and_descendants if each is not mapper)


def _has_any(model: type) -> bool:
    return find_any(model) is not None

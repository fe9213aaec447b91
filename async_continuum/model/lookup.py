"""Find the history of a class or an object: its version class, its table, its versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Protocol, TypeVar, cast, overload

from sqlalchemy import Select, Table, inspect, select
from sqlalchemy.orm import InstanceState, Mapper, Session
from sqlalchemy.sql import ColumnElement

from async_continuum import read
from async_continuum.build import (
    Blueprint,
    blueprint_of,
    blueprint_of_object,
    blueprints_of,
    find_blueprint,
    history_of,
    united,
)
from async_continuum.errors import ClassNotVersioned, ImproperlyConfigured
from async_continuum.model.transaction import TransactionBase
from async_continuum.model.version import Version
from async_continuum.model.versioned import Versioned, awaitable_versions, require_version_class
from async_continuum.operation import Change, Operation
from async_continuum.past import ChangesBetween, transaction_classes
from async_continuum.read import AnySession, Moment, VersionQuery

M = TypeVar("M")
V = TypeVar("V", bound=Version[Any])

_ABSENT: Any = object()


class _Stored(Protocol):
    """An object of a declarative class. No class is one, which has the attribute, too, but as a `ClassVar`."""

    __mapper__: ClassVar[Mapper[Any]]


S = TypeVar("S", bound=_Stored | Versioned)


def version_class(model: type[M]) -> type[Version[M]]:
    """Give the mapped version class of a model.

    Raises `ClassNotVersioned`, and `ImproperlyConfigured` where the option ``create_models`` leaves it out.
    """
    blueprint = blueprint_of(model)
    if blueprint.version_class is model:
        raise ClassNotVersioned(model)
    return cast("type[Version[M]]", require_version_class(blueprint))


def parent_class(version: type[Version[M]]) -> type[M]:
    """Give the model of a version class. Raises `ClassNotVersioned`."""
    blueprint = blueprint_of(version)
    if blueprint.version_class is not version:
        raise ClassNotVersioned(version)
    return cast("type[M]", blueprint.model)


def transaction_class(model: type[Any]) -> type[TransactionBase]:
    """Give the mapped ``Transaction`` class that signs the changes of a model. Raises `ClassNotVersioned`."""
    return cast("type[TransactionBase]", blueprint_of(model).transaction_class)


def version_table(target: type[Any] | Table) -> Table:
    """Give the version table of a model or of a table. Raises `ClassNotVersioned`."""
    if isinstance(target, Table):
        return history_of(target).version_table
    return blueprint_of(target).own.version_table


def is_versioned(target: object) -> bool:
    """Say whether the history of a class, an object or a table is kept."""
    if isinstance(target, Table):
        return "async_continuum" in target.info
    blueprint = find_blueprint(target)
    cls = target if isinstance(target, type) else type(target)
    return blueprint is not None and blueprint.model is cls and bool(blueprint.histories)


def tx_column_name(target: object) -> str:
    """Give the name of the column that holds the transaction id of a version."""
    return blueprint_of(target).begins


def end_tx_column_name(target: object) -> str:
    """Give the name of the column that holds the id of the transaction which ended a version."""
    return blueprint_of(target).ends


@overload
def versions_of(session: AnySession, model: type[M], key: Any) -> VersionQuery[Version[M]]: ...


@overload
def versions_of(session: AnySession, model: Version[M]) -> VersionQuery[Version[M]]: ...


@overload
def versions_of(session: Version[M]) -> VersionQuery[Version[M]]: ...


@overload
def versions_of(session: AnySession, model: S) -> VersionQuery[Version[S]]: ...


@overload
def versions_of(session: S) -> VersionQuery[Version[S]]: ...


def versions_of(session: Any, model: Any = None, key: Any = _ABSENT) -> VersionQuery[Version[Any]]:
    """Give the versions of an entity, alive or deleted: by class and key, by its object, or by a version of it.

    ``versions_of(session, Article, 1)``, a tuple or a dict for a composite key; ``versions_of(article)`` in the
    object's own session, ``versions_of(session, article)`` in another. Raises `NoSession`, `TypeError` for a class
    without a key, and `ValueError` for a key that does not fit.
    """
    named = session if model is None else model
    if isinstance(named, type) and key is _ABSENT:
        name = named.__name__
        raise TypeError(f"{name} is a class: give a key with it, versions_of(session, {name}, key), or an object")
    if model is None:
        return awaitable_versions(session)
    source = read.require_async(session)
    if not isinstance(model, type):
        return awaitable_versions(model, source)
    blueprint = blueprint_of(model)
    require_version_class(blueprint)
    if key is None:
        raise ValueError(f"give the key of the {model.__name__}: versions_of(session, {model.__name__}, key)")
    return VersionQuery(lambda: source, blueprint, read.key_from(key, blueprint))


def deleted(model: type[M]) -> Select[Version[M]]:
    """Give the `Select` of the newest DELETE version of every entity of ``model`` that is gone."""
    blueprint = blueprint_of(model)
    version: Any = version_class(model)
    operation, ends = getattr(version, blueprint.operation), getattr(version, blueprint.ends)
    return select(version).where(operation == Operation.DELETE, ends.is_(None))


def alive_at(version: Any, moment: Moment) -> ColumnElement[bool]:
    """Restrict a version class, or an alias of one, to what was alive at ``moment``; SQL, no IO.

    Raises `ValueError` for a naive `datetime`, and `TypeError` for anything else than a version class.
    """
    found = inspect(version, raiseerr=False)
    mapper: Mapper[Any] | None = None if isinstance(found, InstanceState) else getattr(found, "mapper", None)
    if mapper is None:
        raise TypeError(f"alive_at() takes a version class or an alias of one, not {version!r}")
    blueprint = blueprint_of(mapper.class_)
    if blueprint.version_class is not mapper.class_:
        name = mapper.class_.__name__
        raise TypeError(f"alive_at() takes a version class or an alias of one, not {name}: version_class({name})")
    return read.alive(version, blueprint, moment)


async def changesets(session: AnySession, versions: Iterable[V]) -> dict[V, dict[str, Change]]:
    """Give the changeset of each of many versions, in a number of queries that does not grow with theirs."""
    return await read.changesets(session, versions)


@overload
def changes_between(
    session: AnySession, model: type[M], since: Moment, until: Moment
) -> ChangesBetween[Version[M]]: ...


@overload
def changes_between(
    session: AnySession, model: Iterable[type[Any]] | None, since: Moment, until: Moment
) -> ChangesBetween[Version[Any]]: ...


def changes_between(session: Any, model: Any, since: Moment, until: Moment) -> ChangesBetween[Any]:
    """Give the query of what was inserted, updated and deleted between two moments, net; no IO yet.

    Of one model, of several, or with None of all that are versioned. With ``until`` before ``since`` it says what
    would have to be done to go back. Raises `ClassNotVersioned`; awaiting it raises `ValueError` for an unknown
    transaction id.
    """
    if not (model is None or isinstance(model, (type, Iterable))):
        raise TypeError(f"changes_between() takes a model, a list of models or None, not {model!r}")
    models = [model] if isinstance(model, type) else _all_models() if model is None else list(model)
    for each in models:
        version_class(each)
    # Concrete classes below one have tables of their own.
    blueprints = dict.fromkeys(below for each in models for below in united(blueprint_of(each)))
    return ChangesBetween(read.require_async(session), tuple(_each_once(blueprints)), since, until)


def _each_once(blueprints: Iterable[Blueprint]) -> Iterator[Blueprint]:
    """Leave out a class whose entities one above it, in the same tables, tells as well."""
    chosen = {inspect(each.version_class): each for each in blueprints}
    for mapper, blueprint in chosen.items():
        above: Any = mapper
        while above is not None and (above is mapper or above not in chosen):
            above = None if above.concrete else above.inherits
        if above is None:
            yield blueprint


def _all_models() -> list[type[Any]]:
    signing = transaction_classes()
    if len(signing) > 1:
        raise ImproperlyConfigured("several registries keep history: name the models whose changes are meant.")
    blueprints: list[Blueprint] = [found for each in signing for found in blueprints_of(each)]
    return [found.model for found in blueprints if found.version_class is not None]


async def count_versions(instance: Any) -> int:
    """Count the versions of an object, in its own session. Raises `NoSession`."""
    blueprint_of_object(instance)
    return await awaitable_versions(instance).count()


def changeset(instance: Any) -> dict[str, Change]:
    """Give what has been set on a live object and is not flushed yet; no IO.

    The old value of an attribute that was not loaded is not known, and is given as None.
    """
    return read.pending_changeset(instance)


def is_modified(instance: Any) -> bool:
    """Say whether a versioned attribute of an object has been set to another value and not flushed yet; no IO."""
    return bool(changeset(instance))


def is_modified_or_deleted(instance: Any) -> bool:
    """Say whether an object is modified, or marked for deletion in its session; no IO."""
    blueprint_of_object(instance)
    session = inspect(instance).session
    return (session is not None and instance in session.deleted) or is_modified(instance)


def versioned_objects(session: AnySession | Session) -> list[Any]:
    """List the objects in a session whose history is kept; no IO."""
    source = read.require_sync(session)
    return [instance for instance in source if is_versioned(instance)]


def is_session_modified(session: AnySession | Session) -> bool:
    """Say whether a session holds a change of a versioned object that is not flushed yet; no IO."""
    source = read.require_sync(session)
    pending = (*source.new, *source.deleted)
    return any(is_versioned(instance) for instance in pending) or any(
        is_versioned(instance) and is_modified(instance) for instance in source.dirty
    )

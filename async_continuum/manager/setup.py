"""Switch versioning on and off, and do for a whole session what needs its transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, MetaData, event
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.interfaces import EXT_CONTINUE

from async_continuum.build import ATTRIBUTE, blueprint_of, blueprints_of
from async_continuum.declare import GlobalOptions, Settings, read_options
from async_continuum.errors import ImproperlyConfigured
from async_continuum.manager.intake import Configuration
from async_continuum.manager.manager import VersioningManager
from async_continuum.manager.scope import mapper_scope, session_scope
from async_continuum.manager.signature import Signature
from async_continuum.model import TransactionBase, Versioned
from async_continuum.plugins import Plugin, read_plugins
from async_continuum.read import AnySession, require_async

R = TypeVar("R")

versioning_manager = VersioningManager()
"""The manager that `make_versioned` uses where it is given none."""

_active: list[VersioningManager] = []


def make_versioned(
    mapper: Any = Mapper,
    session: Any = Session,
    manager: VersioningManager = versioning_manager,
    plugins: Sequence[Plugin] | None = None,
    options: GlobalOptions | None = None,
    user_cls: type | str | None = "User",
) -> VersioningManager:
    """Keep the history of every class that declares it, whenever it is declared, and give the manager.

    ``mapper`` (a mapper class, a mapped class or a declarative base) and ``session`` (a session class or a
    sessionmaker) restrict what is versioned and what is recorded. Twice with the same arguments is once.

    ``plugins`` are instances of `Plugin`, built-in ones or your own, called in their order.

    Raises `ImproperlyConfigured` for an unknown option or a bad value.
    """
    _refuse_wrong_arguments(manager, user_cls)
    settings = read_options(options or {}, defaults=Settings(extras=read_plugins(plugins)))
    given = settings.transaction_cls
    if isinstance(given, type) and not issubclass(given, TransactionBase):
        raise ImproperlyConfigured(
            f"option 'transaction_cls' is {given.__qualname__}: derive it from TransactionBase.",
            option="transaction_cls",
        )
    manager.activate(Configuration(mapper_scope(mapper), session_scope(session), settings, user_cls))
    if manager not in _active:
        _active.append(manager)
    return manager


def _refuse_wrong_arguments(manager: object, user_cls: object) -> None:
    if not isinstance(manager, VersioningManager):
        raise ImproperlyConfigured(f"manager={manager!r} is no VersioningManager().", option="manager")
    if not isinstance(user_cls, (type, str, type(None))):
        raise ImproperlyConfigured(
            f"user_cls={user_cls!r} is neither the class of your users nor its name; None switches it off.",
            option="user_cls",
        )


def remove_versioning(
    mapper: Any = Mapper, session: Any = Session, manager: VersioningManager = versioning_manager
) -> None:
    """Undo `make_versioned` completely: listeners, version tables and attributes; stored history stays.

    ``mapper`` and ``session`` are accepted as SQLAlchemy-Continuum does; the manager knows what it listens to.
    """
    del mapper, session
    manager.deactivate()
    if manager in _active:
        _active.remove(manager)


def get_versioning_manager(target: Any) -> VersioningManager:
    """Give the manager that keeps the history of a class or an object. Raises `ClassNotVersioned`."""
    blueprint = blueprint_of(target)
    for manager in _active:
        if blueprint.model in manager.models:
            return manager
    raise ImproperlyConfigured("its manager is not active.", model=blueprint.model)


def _refuse_uncovered(mapper: Mapper[Any], _: Connection, __: Any) -> Any:
    """Fail the flush of a `Versioned` class whose history nobody keeps: it would be lost in silence."""
    model = mapper.class_
    # Once for each row of a flush: nothing is called for those whose history is kept.
    if ATTRIBUTE in model.__dict__ or not model.__versioned__.get("versioning", True):
        return EXT_CONTINUE
    if not any(manager.leaves_out(mapper) for manager in _active):
        raise ImproperlyConfigured(
            "it is Versioned, but no manager keeps its history: call make_versioned() once in the process.",
            model=model,
        )
    return EXT_CONTINUE


for _name in ("before_insert", "before_update", "before_delete"):
    event.listen(Versioned, _name, _refuse_uncovered, propagate=True, raw=True, retval=True)


async def current_transaction(session: AnySession, *, model: type | None = None) -> TransactionBase:
    """Give the object of the session's running transaction, to set fields on.

    Its row and id come with the first recorded flush, at the latest at commit; it stays even where nothing changes,
    since it was asked for. ``model`` says whose transaction is meant, where several managers or registries record
    the session. Raises `ImproperlyConfigured` where that is needed.
    """
    asynchronous = require_async(session)
    source = asynchronous.sync_session
    manager, transaction_class = _transaction_class(source, model)
    recorder = manager.recorder(source)
    if recorder is None:
        raise ImproperlyConfigured(f"{type(source).__name__} is outside the scope of make_versioned(session=...).")
    if not source.in_transaction():
        # The request is the transaction's, and must end with it.
        source.begin()
    manager.coverage.homes.bind(source, transaction_class)
    signature = recorder.signatures.get(transaction_class)
    if signature is not None:
        return signature.transaction  # type: ignore[no-any-return]
    known = recorder.ledgers.id_of(transaction_class)
    if known is None and recorder.announcement.sees_writes:
        known = await asynchronous.run_sync(lambda _: recorder.learn(transaction_class, {}))
    if known is not None:
        transaction = await asynchronous.get_one(transaction_class, known)
        recorder.signatures[transaction_class] = Signature(transaction, stored=known)
        return transaction
    fresh = transaction_class()
    recorder.signatures[transaction_class] = Signature(fresh)
    return fresh


def _transaction_class(session: Session, model: type | None) -> tuple[VersioningManager, type[TransactionBase]]:
    if model is not None:
        return get_versioning_manager(model), blueprint_of(model).transaction_class
    found = [(manager, cls) for manager in _active if manager.covers(session) for cls in manager.transaction_classes]
    if len(found) > 1:
        # Where several might, what this session has recorded, or holds, says whose it is.
        at_work = [each for each in found if _is_at_work(session, *each)]
        found = at_work if len(at_work) == 1 else found
    if len(found) != 1:
        raise ImproperlyConfigured(
            "no manager records this session: call make_versioned() first."
            if not found
            else "several managers or registries record this session: say which, current_transaction(session, model=X)."
        )
    return found[0]


def _is_at_work(session: Session, manager: VersioningManager, transaction_class: type[TransactionBase]) -> bool:
    recorder = manager.recorder(session)
    if recorder is not None and any(cls is transaction_class for (_, cls), _ in recorder.ledgers):
        return True
    signed = tuple(blueprint.model for blueprint in blueprints_of(transaction_class))
    return any(isinstance(instance, signed) for instance in session)


def active_managers(session: Session) -> list[VersioningManager]:
    """List the managers that record a session."""
    return [manager for manager in _active if manager.covers(session)]


def all_managers() -> tuple[VersioningManager, ...]:
    """List the managers that are active."""
    return tuple(_active)


def complete_metadata(metadata: MetaData) -> None:
    """Build every version table of a metadata, as `create_all` does by itself before it creates them."""
    for manager in list(_active):
        manager.complete(metadata)

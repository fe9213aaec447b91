"""Bring the rooms together: build what is declared, record what is flushed, undo it all on request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, MetaData, Table, inspect
from sqlalchemy.orm import Mapper, Session, SessionTransaction
from sqlalchemy.orm.mapper import _all_registries

from async_continuum.build import (
    TableHistory,
    add_user,
    blueprint_of,
    build,
    build_link,
    build_transaction_class,
    complete,
    detach,
    detach_link,
    extend,
    find_blueprint,
    has_late_secondary,
    mappers_of,
    relate,
    remove_transaction_class,
    resolve_types,
    secondaries,
)
from async_continuum.declare import Settings, declared_options, read_options
from async_continuum.errors import ImproperlyConfigured
from async_continuum.manager.coverage import Coverage
from async_continuum.manager.listeners import Listeners
from async_continuum.manager.recorder import Recorder
from async_continuum.manager.savepoints import watch
from async_continuum.manager.scope import MapperScope, SessionScope
from async_continuum.manager.tracking import Tracker
from async_continuum.model import Version, awaitable_versions
from async_continuum.read import TransactionBase


@dataclass(frozen=True, slots=True)
class Configuration:
    """What `make_versioned` was given. Lives as long as the manager is active."""

    mappers: MapperScope
    sessions: SessionScope
    settings: Settings
    user_cls: type | str | None


class VersioningManager:
    """Versions the models and records the sessions of one scope. Lives as long as the process; active in between
    `make_versioned` and `remove_versioning`.

    Several may be active, each on models of its own.
    """

    def __init__(self) -> None:
        self._configuration: Configuration | None = None
        self._listeners = Listeners()
        self._coverage = Coverage()
        self._transaction_classes: dict[Any, Any] = {}
        self._attached: list[type] = []
        self._links_to_come: dict[str, tuple[Mapper[Any], Settings]] = {}
        self._untyped: list[TableHistory] = []

    @property
    def is_active(self) -> bool:
        """Whether `make_versioned` has been called for it."""
        return self._configuration is not None

    @property
    def models(self) -> tuple[type, ...]:
        """The model classes whose history is kept."""
        return tuple(self._coverage.models)

    @property
    def transaction_classes(self) -> tuple[type[TransactionBase], ...]:
        """The ``Transaction`` classes, one for each registry."""
        return tuple(self._transaction_classes.values())

    def activate(self, configuration: Configuration) -> None:
        """Begin to version and to record. The same configuration twice is once.

        Raises `ImproperlyConfigured` for another one, and for a model that cannot be versioned.
        """
        if self._configuration is not None:
            if self._configuration != configuration:
                raise ImproperlyConfigured(
                    "make_versioned() was called before with other arguments: call remove_versioning() first, or give "
                    "each scope a manager of its own, make_versioned(mapper=OtherBase, manager=VersioningManager())."
                )
            return
        self._configuration = configuration
        configuration.sessions.hold()
        try:
            self._listen(configuration)
            # Private: SQLAlchemy has no public list of all registries; models may be declared before this call.
            for registry in list(_all_registries()):
                for mapper in mappers_of(registry):
                    self._mapper_constructed(mapper, mapper.class_)
        except BaseException:
            self.deactivate()
            raise

    def deactivate(self) -> None:
        """Stop, and undo everything but what is stored."""
        if self._configuration is not None:
            self._configuration.sessions.release()
        self._listeners.remove_all()
        for model in self._coverage.models:
            blueprint = find_blueprint(model)
            if blueprint is not None:
                detach(blueprint)
        for link in self._coverage.links.values():
            detach_link(link)
        for model in self._attached:
            del model.awaitable_versions  # type: ignore[attr-defined]
        for transaction_class in self._transaction_classes.values():
            remove_transaction_class(transaction_class)
        self.__init__()  # type: ignore[misc]

    def covers(self, session: Session) -> bool:
        """Say whether a session is recorded by this manager."""
        return self._configuration is not None and self._configuration.sessions.covers(session)

    def leaves_out(self, mapper: Mapper[Any]) -> bool:
        """Say whether a class in this manager's scope keeps no history because an option says so."""
        if self._configuration is None or not self._configuration.mappers.covers(mapper):
            return False
        options = declared_options(mapper.class_) or {}
        return not read_options(options, defaults=self._configuration.settings, model=mapper.class_).versioning

    def recorder(self, session: Session) -> Recorder | None:
        """Give the recorder of a session, a new one if need be; None for a session that is not recorded."""
        recorder: Recorder | None = session.info.get(self)
        if recorder is None and self.covers(session):
            recorder = session.info[self] = Recorder(session, self._coverage)
        return recorder

    # -- building

    def _listen(self, configuration: Configuration) -> None:
        listen = self._listeners.listen
        listen(configuration.mappers.mapper, "after_mapper_constructed", self._mapper_constructed)
        listen(MetaData, "before_create", self._before_create)
        listen(Table, "after_parent_attach", self._table_attached)
        # On every class at once: a listener for each model would be called for each attribute of each other one.
        listen(object, "attribute_instrument", self._attribute_instrument, propagate=True)
        sessions = configuration.sessions.listened
        listen(sessions, "before_flush", self._before_flush)
        listen(sessions, "after_flush", self._after_flush)
        listen(sessions, "after_flush_postexec", self._after_flush_postexec)
        listen(sessions, "before_commit", self._before_commit)
        listen(sessions, "after_begin", self._after_begin)
        listen(sessions, "after_soft_rollback", self._after_soft_rollback)
        listen(sessions, "after_transaction_create", self._after_transaction_create)
        listen(sessions, "after_transaction_end", self._after_transaction_end)

    def _mapper_constructed(self, mapper: Mapper[Any], model: type) -> None:
        configuration = self._active
        self._find_user([mapper])
        self._resolve_types()
        options = declared_options(model)
        if options is None or issubclass(model, (Version, TransactionBase)) or not configuration.mappers.covers(mapper):
            return
        settings = read_options(options, defaults=configuration.settings, model=model)
        if not settings.versioning or find_blueprint(model) is not None:
            return
        build(mapper, settings, base=Version, transaction_class=self._transaction_class_for(mapper))
        self._coverage.models.append(model)
        self._coverage.changed()
        self._untyped.extend(blueprint_of(model).histories)
        self._resolve_types()
        if not hasattr(model, "awaitable_versions"):
            model.awaitable_versions = awaitable_versions  # type: ignore[attr-defined]
            self._attached.append(model)
        listen = self._listeners.listen
        listen(mapper, "before_mapper_configured", self._before_mapper_configured)
        listen(mapper, "mapper_configured", self._mapper_configured)
        self._find_links(mapper, settings)
        tracker = Tracker(model, self.recorder)
        for name in ("after_insert", "before_update", "after_update", "before_delete"):
            listen(mapper, name, getattr(tracker, name), raw=True, retval=True)

    def _transaction_class_for(self, mapper: Mapper[Any]) -> Any:
        if mapper.registry not in self._transaction_classes:
            transaction_class = build_transaction_class(mapper, TransactionBase, self._active.settings)
            self._transaction_classes[mapper.registry] = transaction_class
            self._find_user(mappers_of(mapper.registry))
        return self._transaction_classes[mapper.registry]

    def _find_user(self, mappers: Iterable[Mapper[Any]], *, anywhere: bool = False) -> None:
        wanted = self._active.user_cls
        if wanted is None:
            return
        for mapper in mappers:
            model = mapper.class_
            if model is not wanted and wanted not in (model.__name__, f"{model.__module__}.{model.__qualname__}"):
                continue
            for registry, transaction_class in self._transaction_classes.items():
                near = registry is mapper.registry or not isinstance(wanted, str) or anywhere
                if near and "user_id" not in transaction_class.__table__.c:
                    add_user(transaction_class, mapper)

    def _require_user(self) -> None:
        wanted = self._active.user_cls
        classes = self._transaction_classes.values()
        if wanted is None or all("user_id" in cls.__table__.c for cls in classes):
            return
        self._find_user((mapper for known in list(_all_registries()) for mapper in mappers_of(known)), anywhere=True)
        if not all("user_id" in cls.__table__.c for cls in classes):
            name = wanted if isinstance(wanted, str) else wanted.__qualname__
            raise ImproperlyConfigured(
                f"user_cls={name!r} is no mapped class. Name the class of your users, make_versioned(user_cls=...), "
                "or switch it off with make_versioned(user_cls=None).",
                option="user_cls",
            )

    def _resolve_types(self) -> None:
        self._untyped = [history for history in self._untyped if not resolve_types(history)]

    def _before_mapper_configured(self, mapper: Mapper[Any], model: type) -> None:
        self._require_user()
        self._resolve_types()
        complete(blueprint_of(model))

    def _mapper_configured(self, mapper: Mapper[Any], model: type) -> None:
        blueprint = blueprint_of(model)
        self._find_links(mapper, blueprint.settings)
        relate(blueprint)

    def _find_links(self, mapper: Mapper[Any], settings: Settings) -> None:
        for given in secondaries(mapper, settings):
            table = mapper.registry.metadata.tables.get(given) if isinstance(given, str) else given
            if table is None:
                self._links_to_come[str(given)] = (mapper, settings)
            else:
                self._build_link(table, mapper, settings)

    def _build_link(self, table: Table, mapper: Mapper[Any], settings: Settings) -> None:
        transaction_class = self._transaction_class_for(mapper)
        link = build_link(table, settings, model=mapper.class_, transaction_class=transaction_class)
        if link is not None:
            self._coverage.links[table] = link
            self._coverage.changed()

    def _table_attached(self, table: Table, metadata: MetaData) -> None:
        wanted = self._links_to_come.get(table.key)
        if wanted is not None and wanted[0].registry.metadata is metadata:
            del self._links_to_come[table.key]
            self._build_link(table, *wanted)

    def _attribute_instrument(self, model: type, _key: str, _attribute: object) -> None:
        blueprint = find_blueprint(model)
        if blueprint is not None and extend(blueprint) is not blueprint:
            self._coverage.changed()

    def _before_create(self, target: MetaData, connection: Connection, **_: Any) -> None:
        models = [model for model in self._coverage.models if blueprint_of(model).history.table.metadata is target]
        if models:
            self._require_user()
            self._resolve_types()
        for model in models:
            extend(blueprint_of(model))
        before = set(target.tables)
        for model in models:
            if has_late_secondary(inspect(model)):
                inspect(model).registry.configure()
        for name in sorted(set(target.tables) - before):
            target.tables[name].create(connection, checkfirst=True)

    @property
    def _active(self) -> Configuration:
        assert self._configuration is not None
        return self._configuration

    # -- recording, inside the flush's greenlet

    def _before_flush(self, session: Session, _: object, __: object) -> None:
        recorder: Recorder | None = session.info.get(self)
        if recorder is not None:
            recorder.watch.flushing = True
            recorder.before_flush()

    def _after_flush(self, session: Session, _: object) -> None:
        recorder: Recorder | None = session.info.get(self)
        if recorder is not None and (recorder.changes or recorder.watch.flushing):
            recorder.record_flush()

    def _after_flush_postexec(self, session: Session, _: object) -> None:
        recorder: Recorder | None = session.info.get(self)
        if recorder is not None:
            recorder.flushed()

    def _before_commit(self, session: Session) -> None:
        if session.get_nested_transaction() is not None:
            return
        # The commit flushes only after this event; what it would write belongs to the transaction as well.
        session.flush()
        recorder: Recorder | None = session.info.get(self)
        if recorder is not None:
            recorder.finish()

    def _after_begin(self, session: Session, _: SessionTransaction, connection: Connection) -> None:
        watch(connection)
        if self._coverage.links:
            recorder = self.recorder(session)
            if recorder is not None:
                recorder.watch.begin(connection)

    def _after_soft_rollback(self, session: Session, transaction: SessionTransaction) -> None:
        recorder: Recorder | None = session.info.get(self)
        if recorder is not None:
            recorder.rolled_back(transaction)

    def _after_transaction_create(self, session: Session, transaction: SessionTransaction) -> None:
        recorder: Recorder | None = session.info.get(self)
        if recorder is not None and transaction.nested:
            recorder.ledgers.savepoint(transaction)

    def _after_transaction_end(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            recorder: Recorder | None = session.info.pop(self, None)
            if recorder is not None:
                recorder.watch.end()

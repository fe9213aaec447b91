"""Take in models, association tables and users as they are declared, in any order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, MetaData, Table, inspect
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.mapper import _all_registries

from async_continuum.build import (
    Blueprint,
    TableHistory,
    add_user,
    blueprint_of,
    build,
    build_abstract,
    build_link,
    build_transaction_class,
    complete,
    detach,
    detach_abstract,
    detach_link,
    expect_relation,
    extend,
    find_blueprint,
    forget_statements,
    has_late_secondary,
    is_abstract,
    mappers_of,
    needs_user,
    relate,
    remove_transaction_class,
    resolve_types,
    secondaries,
    unite_with_below,
)
from async_continuum.declare import Settings, declared_options, settings_of
from async_continuum.errors import ImproperlyConfigured
from async_continuum.manager.coverage import Coverage
from async_continuum.manager.listeners import Listeners
from async_continuum.manager.scope import MapperScope, SessionScope
from async_continuum.manager.tracking import Tracker
from async_continuum.manager.triggers import Triggers, refuse_unsupported
from async_continuum.model import TransactionBase, Version, awaitable_versions
from async_continuum.plugins import TransactionBuild


@dataclass(frozen=True, slots=True)
class Configuration:
    """What `make_versioned` was given. Lives as long as the manager is active."""

    mappers: MapperScope
    sessions: SessionScope
    settings: Settings
    user_cls: type | str | None


class Intake:
    """Builds the history of every class that declares it. Lives as long as its manager is active."""

    def __init__(
        self,
        configuration: Configuration,
        coverage: Coverage,
        listeners: Listeners,
        tracker: Callable[[type], Tracker],
    ) -> None:
        self._configuration = configuration
        self._coverage = coverage
        self._listeners = listeners
        self._tracker = tracker
        self._attached: list[type] = []
        self._abstract: list[Blueprint] = []
        self._links_to_come: dict[str, tuple[Mapper[Any], Settings]] = {}
        self._untyped: list[TableHistory] = []
        self._beside: list[TransactionBuild] = []
        self.transaction_classes: dict[Any, Any] = {}

    def begin(self) -> None:
        """Take in what is declared already, and listen for what comes."""
        listen = self._listeners.listen
        listen(self._configuration.mappers.mapper, "after_mapper_constructed", self._mapper_constructed)
        listen(MetaData, "before_create", self._before_create)
        triggers = Triggers(self._coverage)
        listen(MetaData, "after_create", triggers.after_create)
        listen(MetaData, "before_drop", triggers.before_drop)
        listen(MetaData, "before_drop", self._before_drop)
        listen(Table, "after_parent_attach", self._table_attached)
        # On every class at once: a listener for each model would be called for each attribute of each other one.
        listen(object, "attribute_instrument", self._attribute_instrument, propagate=True)
        # Private: SQLAlchemy has no public list of all registries; models may be declared before make_versioned().
        for registry in list(_all_registries()):
            for mapper in mappers_of(registry):
                self._mapper_constructed(mapper, mapper.class_)

    def undo(self) -> None:
        """Take every history away again: tables, classes and attributes; stored rows stay."""
        # A class before those from which it inherits.
        for model in reversed(self._coverage.models):
            blueprint = find_blueprint(model)
            if blueprint is not None:
                detach(blueprint)
        for abstract in reversed(self._abstract):
            detach_abstract(abstract)
        for link in self._coverage.links.values():
            detach_link(link)
        for model in self._attached:
            del model.awaitable_versions  # type: ignore[attr-defined]
        for beside in self._beside:
            beside.undo()
        for transaction_class in self.transaction_classes.values():
            remove_transaction_class(transaction_class)

    def _mapper_constructed(self, mapper: Mapper[Any], model: type) -> None:
        configuration = self._configuration
        self._find_user([mapper])
        self._resolve_types()
        if mapper.inherits is not None:
            forget_statements(mapper.inherits)
        options = declared_options(model)
        if options is None or issubclass(model, (Version, TransactionBase)) or not configuration.mappers.covers(mapper):
            return
        if is_abstract(mapper):
            # A view of the classes below it, with no rows of its own; mapped when mappers are configured.
            abstract = build_abstract(mapper)
            if abstract is not None:
                self._abstract.append(abstract)
                self._listeners.listen(mapper, "mapper_configured", self._abstract_configured)
            return
        settings = settings_of(mapper, configuration.settings)
        if not settings.versioning or find_blueprint(model) is not None:
            return
        self._give_up_link(mapper.local_table)
        build(mapper, settings, base=Version, transaction_class=self._transaction_class_for(mapper))
        self._coverage.models.append(model)
        self._coverage.changed()
        refuse_unsupported(blueprint_of(model), self._coverage.plugins)
        self._untyped.extend(blueprint_of(model).histories)
        self._resolve_types()
        if not hasattr(model, "awaitable_versions"):
            model.awaitable_versions = awaitable_versions  # type: ignore[attr-defined]
            self._attached.append(model)
        listen = self._listeners.listen
        listen(mapper, "before_mapper_configured", self._before_mapper_configured)
        listen(mapper, "mapper_configured", self._mapper_configured)
        self._find_links(mapper, settings)
        tracker = self._tracker(model)
        for name in ("after_insert", "before_update", "after_update", "before_delete"):
            listen(mapper, name, getattr(tracker, name), raw=True, retval=True)

    def _transaction_class_for(self, mapper: Mapper[Any]) -> Any:
        if mapper.registry not in self.transaction_classes:
            transaction_class = build_transaction_class(mapper, TransactionBase, self._configuration.settings)
            self.transaction_classes[mapper.registry] = transaction_class
            # Known before the plugins build, so that what they have made by then is undone where one fails.
            beside = TransactionBuild(transaction_class, self._configuration.sessions.covers)
            self._beside.append(beside)
            self._coverage.plugins.transaction_built(beside)
            self._find_user(mappers_of(mapper.registry))
        return self.transaction_classes[mapper.registry]

    def _find_user(self, mappers: Iterable[Mapper[Any]], *, anywhere: bool = False) -> None:
        wanted = self._configuration.user_cls
        if wanted is None:
            return
        for mapper in mappers:
            model = mapper.class_
            if model is not wanted and wanted not in (model.__name__, f"{model.__module__}.{model.__qualname__}"):
                continue
            for registry, transaction_class in self.transaction_classes.items():
                near = registry is mapper.registry or not isinstance(wanted, str) or anywhere
                if near and needs_user(transaction_class):
                    add_user(transaction_class, mapper)

    def _require_user(self) -> None:
        wanted = self._configuration.user_cls
        classes = self.transaction_classes.values()
        if wanted is None or not any(map(needs_user, classes)):
            return
        self._find_user((mapper for known in list(_all_registries()) for mapper in mappers_of(known)), anywhere=True)
        if any(map(needs_user, classes)):
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
        unite_with_below(complete(blueprint_of(model)))

    def _mapper_configured(self, mapper: Mapper[Any], model: type) -> None:
        blueprint = blueprint_of(model)
        self._find_links(mapper, blueprint.settings)
        relate(blueprint)

    def _abstract_configured(self, mapper: Mapper[Any], model: type) -> None:
        relate(blueprint_of(model))

    def _find_links(self, mapper: Mapper[Any], settings: Settings) -> None:
        for given in secondaries(mapper, settings):
            table = mapper.registry.metadata.tables.get(given) if isinstance(given, str) else given
            if table is None:
                self._links_to_come[str(given)] = (mapper, settings)
            else:
                self._build_link(table, mapper, settings)

    def _build_link(self, table: Table, mapper: Mapper[Any], settings: Settings) -> None:
        transaction_class = self._transaction_class_for(mapper)
        defaults = self._configuration.settings
        link = build_link(table, settings, defaults, model=mapper.class_, transaction_class=transaction_class)
        if link is not None:
            self._coverage.links[table] = link
            # Association tables are often declared before the tables that they refer to.
            self._untyped.append(link.history)
            self._coverage.changed()

    def _give_up_link(self, table: Any) -> None:
        # The table of an association object: another model's ``secondary`` has named it before its class was there.
        link = self._coverage.links.pop(table, None)
        if link is not None:
            detach_link(link)
            self._coverage.changed()

    def _table_attached(self, table: Table, metadata: MetaData) -> None:
        wanted = self._links_to_come.get(table.key)
        if wanted is not None and wanted[0].registry.metadata is metadata:
            del self._links_to_come[table.key]
            self._build_link(table, *wanted)

    def _attribute_instrument(self, model: type, name: str, _attribute: object) -> None:
        blueprint = find_blueprint(model)
        # Every manager hears of every class, and of the version classes.
        if blueprint is None or blueprint.model is not model:
            return
        if blueprint.transaction_class not in self.transaction_classes.values():
            return
        if extend(blueprint) is not blueprint:
            self._coverage.changed()
        if expect_relation(blueprint_of(model), name):
            self._find_links(inspect(model), blueprint.settings)

    def complete(self, target: MetaData) -> list[str]:
        """Build what declarations alone did not tell of yet; give the keys of the tables that this adds."""
        models = [model for model in self._coverage.models if blueprint_of(model).history.table.metadata is target]
        if models:
            self._require_user()
            self._resolve_types()
        before = set(target.tables)
        for model in models:
            settings = extend(blueprint_of(model)).settings
            # A relationship that is added to its class later is announced only when mappers are configured.
            self._find_links(inspect(model), settings)
            if has_late_secondary(inspect(model)):
                inspect(model).registry.configure()
        return sorted(set(target.tables) - before)

    def _before_create(self, target: MetaData, connection: Connection, **_: Any) -> None:
        for name in self.complete(target):
            target.tables[name].create(connection, checkfirst=True)

    def _before_drop(self, target: MetaData, connection: Connection, *, tables: Collection[Table], **_: Any) -> None:
        added = self.complete(target)
        for table, link in self._coverage.links.items():
            if table in tables and link.history.version_table.key in added:
                link.history.version_table.drop(connection, checkfirst=True)

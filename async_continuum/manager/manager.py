"""Bring the rooms together: build what is declared, record what is flushed, undo it all on request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import MetaData
from sqlalchemy.orm import Mapper, Session

from async_continuum.build import blueprint_of
from async_continuum.declare import declared_options, read_options
from async_continuum.errors import ImproperlyConfigured
from async_continuum.manager.choosing import ChoosyTracker
from async_continuum.manager.coverage import Coverage
from async_continuum.manager.gone import missing
from async_continuum.manager.intake import Configuration, Intake
from async_continuum.manager.listeners import Listeners
from async_continuum.manager.native_tracking import NativeTracker
from async_continuum.manager.recorder import Recorder
from async_continuum.manager.sessions import Sessions
from async_continuum.manager.tracking import Tracker
from async_continuum.model import TransactionBase
from async_continuum.plugins import Plugins


class VersioningManager:
    """Versions the models and records the sessions of one scope. Lives as long as the process; active in between
    `make_versioned` and `remove_versioning`.

    Several may be active, each on models of its own.
    """

    def __init__(self) -> None:
        self._configuration: Configuration | None = None
        self._listeners = Listeners()
        self._coverage = Coverage()
        self._sessions = Sessions(self, self._coverage, self.covers)
        self._intake: Intake | None = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise missing(self, name)

    @property
    def is_active(self) -> bool:
        """Whether `make_versioned` has been called for it."""
        return self._configuration is not None

    @property
    def models(self) -> tuple[type, ...]:
        """The model classes whose history is kept."""
        return tuple(self._coverage.models)

    @property
    def coverage(self) -> Coverage:
        """The models and association tables whose history is kept."""
        return self._coverage

    @property
    def transaction_classes(self) -> tuple[type[TransactionBase], ...]:
        """The ``Transaction`` classes, one for each registry."""
        return () if self._intake is None else tuple(self._intake.transaction_classes.values())

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
        if isinstance(configuration.settings.extras, Plugins):
            self._coverage.plugins = configuration.settings.extras
        configuration.sessions.hold()
        try:
            self._sessions.begin(configuration.sessions.listened, self._listeners)
            self._intake = Intake(configuration, self._coverage, self._listeners, self._tracker)
            self._intake.begin()
        except BaseException:
            self.deactivate()
            raise

    def deactivate(self) -> None:
        """Stop, and undo everything but what is stored."""
        if self._configuration is not None:
            self._configuration.sessions.release()
        self._listeners.remove_all()
        self._sessions.end()
        if self._intake is not None:
            self._intake.undo()
        self.__init__()  # type: ignore[misc]

    def complete(self, metadata: MetaData) -> None:
        """Build every version table of a metadata, those that wait for mappers to be configured too."""
        if self._intake is not None:
            self._intake.complete(metadata)

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
        return self._sessions.recorder(session)

    def _tracker(self, model: type) -> Tracker:
        if blueprint_of(model).settings.native_versioning:
            return NativeTracker(model, self._sessions.recorder, self._coverage)
        record_if = blueprint_of(model).settings.record_if
        if callable(record_if):
            return ChoosyTracker(model, self._sessions.recorder, record_if)
        return Tracker(model, self._sessions.recorder)

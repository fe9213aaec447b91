"""Ask all plugins of a manager at once, and name the one that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sqlalchemy import Column, Connection, Executable, Table
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from async_continuum.build import TableHistory
from async_continuum.declare import NOTHING, AddedColumn, Extras
from async_continuum.errors import ImproperlyConfigured, VersioningError
from async_continuum.plugins.base import Flushed, Plugin, Signing
from async_continuum.plugins.building import TransactionBuild
from async_continuum.write import Copying, Rows, Writing


@dataclass(frozen=True)
class Plugins(Extras):
    """The plugins of one manager, in the order given. Lives as long as the manager is active."""

    plugins: tuple[Plugin, ...]

    @cached_property
    def _overriding(self) -> dict[str, tuple[Plugin, ...]]:
        return {}

    def overriding(self, hook: str) -> tuple[Plugin, ...]:
        """List the plugins that have something to do at a hook."""
        known = self._overriding.get(hook)
        if known is None:
            known = tuple(each for each in self.plugins if getattr(type(each), hook) is not getattr(Plugin, hook))
            self._overriding[hook] = known
        return known

    def not_done_by_triggers(self, hook: str) -> tuple[Plugin, ...]:
        """List the plugins that have something to do at a hook, which triggers do not do for them."""
        return tuple(
            each for each in self.overriding(hook) if not getattr(getattr(each, hook), "done_by_triggers", False)
        )

    @cached_property
    def stores_meta(self) -> bool:
        """Whether any of them stores what a context's meta says."""
        return any(plugin.stores_meta for plugin in self.plugins)

    @cached_property
    def sees_flushes(self) -> bool:
        """Whether any of them looks at flushes, versioned or not."""
        return bool(self.overriding("flushed"))

    @cached_property
    def writes(self) -> bool:
        return any(map(self.overriding, ("first_versions", "versions_written", "versions_removed")))

    def version_columns(self, history: TableHistory) -> Sequence[AddedColumn]:
        return [
            replace(each, value=_named(plugin, each.value))
            for plugin, added in self._each("version_columns", history)
            for each in added
        ]

    def deleted_value(self, history: TableHistory, column: Column[Any]) -> ColumnElement[Any] | None:
        return next((value for _, value in self._each("deleted_value", history, column) if value is not None), None)

    def first_versions(self, writing: Writing) -> Sequence[Executable]:
        return self._statements("first_versions", writing)

    def versions_written(self, writing: Writing) -> Sequence[Executable]:
        return self._statements("versions_written", writing)

    def versions_removed(self, writing: Writing) -> Sequence[Executable]:
        return self._statements("versions_removed", writing)

    def vacuumed(self, history: TableHistory, transactions: Table, entity: str) -> Sequence[Executable]:
        made = self._each("vacuumed", history, transactions, entity)
        return [statement for _, statements in made for statement in statements]

    def transaction_built(self, build: TransactionBuild) -> None:
        """Let the plugins build beside a transaction class."""
        for _ in self._each("transaction_built", build):
            pass

    def contexts(self, session: Session) -> list[Mapping[str, Any]]:
        """List what the plugins say of who and why, the first one's to win."""
        return [given for _, given in self._each("context", session)]

    def transaction_rows(self, signing: Signing) -> list[Rows]:
        """List the rows that come with a transaction row."""
        return [(table, rows) for _, given in self._each("transaction_rows", signing) for table, rows in given if rows]

    def flushed(self, flush: Flushed) -> None:
        """Show the plugins a flush."""
        for _ in self._each("flushed", flush):
            pass

    def renumbered(self, connection: Connection, transaction_class: Any, old: int, new: int) -> None:
        """Tell the plugins of a later id."""
        for _ in self._each("renumbered", connection, transaction_class, old, new):
            pass

    def _statements(self, hook: str, writing: Writing) -> list[Executable]:
        # Named, so that an error of the database names the plugin too.
        return [
            statement.execution_options(plugin=type(plugin).__name__)
            for plugin, made in self._each(hook, writing)
            for statement in made
        ]

    def _each(self, hook: str, *given: Any) -> Iterator[tuple[Plugin, Any]]:
        for plugin in self.overriding(hook):
            with _naming(plugin, hook):
                answer = getattr(plugin, hook)(*given)
            yield plugin, answer


def read_plugins(plugins: Iterable[Any] | None) -> Extras:
    """Read ``make_versioned(plugins=[...])``. Raises `ImproperlyConfigured` for what is no plugin."""
    if isinstance(plugins, (Plugin, type)):
        raise ImproperlyConfigured(f"plugins={plugins!r} is no list of plugins: put it into one.", option="plugins")
    given = tuple(plugins or ())
    for plugin in given:
        if not isinstance(plugin, Plugin):
            hint = f"give an instance, {plugin.__name__}()" if isinstance(plugin, type) else "derive it from Plugin"
            raise ImproperlyConfigured(f"{plugin!r} is no plugin: {hint}.", option="plugins")
    if len(set(map(id, given))) < len(given):
        raise ImproperlyConfigured("a plugin is given twice.", option="plugins")
    return Plugins(given) if given else NOTHING


def _named(plugin: Plugin, value: Callable[[Copying], ColumnElement[Any]]) -> Callable[[Copying], ColumnElement[Any]]:
    def named(copying: Copying) -> ColumnElement[Any]:
        with _naming(plugin, "version_columns"):
            return value(copying)

    return named


@contextmanager
def _naming(plugin: Plugin, hook: str) -> Iterator[None]:
    try:
        yield
    except VersioningError as error:
        # It says what is wrong itself, and keeps its culprit.
        error.add_note(f"raised by the plugin {type(plugin).__name__}, in {hook}()")
        raise
    except Exception as error:
        raise VersioningError(
            f"the plugin {type(plugin).__name__} failed in {hook}(): {type(error).__name__}: {error}"
        ) from error

"""Let only the managers of a test's own models hear what SQLAlchemy does.

The suite declares models in many modules, with a manager of their own, and imports all of them; each manager would
be asked about every class, statement and flush of every test. Users have one or two.
"""

import gc
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

from sqlalchemy import MetaData, Table, event
from sqlalchemy.orm import Mapper, Session, configure_mappers

from async_continuum import VersioningManager

# Whoever listens to these hears of everybody's.
SHARED = (Session, Mapper, MetaData, Table, object)


class Asleep:
    """The managers that hear nothing now. Lives as long as the process."""

    def __init__(self) -> None:
        self._known: list[VersioningManager] = []
        self._awake: list[VersioningManager] = []
        self._of_module: dict[str, list[VersioningManager]] = {}

    def send(self) -> None:
        """Put to sleep every manager that is active by now; those that tests make later stay awake."""
        # Else those would be configured while their managers sleep.
        configure_mappers()
        self._known = [found for found in gc.get_objects() if isinstance(found, VersioningManager) and found.is_active]
        for manager in self._known:
            _sleep(manager)

    def wake(self, *managers: VersioningManager) -> None:
        """Let managers hear, until the next test."""
        for manager in managers:
            if manager in self._known and manager not in self._awake:
                for listened in _shared(manager):
                    event.listen(*listened, propagate=listened[0] is object)
                self._awake.append(manager)

    def wake_those_of(self, module: ModuleType) -> None:
        """Let those hear whose models a module knows, by itself or by what it imports of the suite, and no others."""
        name = module.__name__
        if name not in self._of_module:
            known = {id(each) for each in _known_to(name, set())}
            self._of_module[name] = [
                each for each in self._known if known & {id(each), *(id(model) for model in each.models)}
            ]
        wanted = self._of_module[name]
        for manager in [each for each in self._awake if each not in wanted]:
            self._awake.remove(manager)
            _sleep(manager)
        self.wake(*wanted)


ASLEEP = Asleep()
"""Those of this process, where its tests are run."""


def _known_to(name: str, seen: set[str]) -> Iterator[Any]:
    """List the managers and classes in a module of the suite, and in those that its names come from."""
    if name in seen or not name.startswith("tests.") or name.startswith("tests.kit.") or name not in sys.modules:
        return
    seen.add(name)
    for value in list(vars(sys.modules[name]).values()):
        yield from _inside(value)
        home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(home, str):
            yield from _known_to(home, seen)


def _inside(value: Any, depth: int = 3) -> Iterator[Any]:
    if isinstance(value, (VersioningManager, type)):
        yield value
    elif depth and isinstance(value, (dict, list, tuple, SimpleNamespace)):
        values = vars(value) if isinstance(value, SimpleNamespace) else value
        for each in list(values.values() if isinstance(values, dict) else values):
            yield from _inside(each, depth - 1)


def _shared(manager: VersioningManager) -> list[tuple[Any, str, Any]]:
    return [each for each in manager._listeners._listened if each[0] in SHARED]


def _sleep(manager: VersioningManager) -> None:
    for listened in _shared(manager):
        event.remove(*listened)
    manager._sessions.end()

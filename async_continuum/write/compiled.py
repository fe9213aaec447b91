"""Keep what a statement of the recording was compiled to with the statement, and mark its executions as ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, CursorResult, Executable
from sqlalchemy.engine import Dialect

OWN = "async_continuum_own"
"""The execution option of the recording's statements, by which listeners to the engine know them."""

_MARKED: Mapping[str, Any] = {OWN: True}
_ENGINES = 4


class Compiled:
    """One statement of the recording and what it was compiled to. Lives as long as the table's history.

    An engine's own cache finds a statement by everything it consists of, and takes the hash of that at each execution:
    of ours, which are long, that takes some microseconds. Here they are known by identity. Only for the first engines
    that use it, so that no more of them are kept alive; others use their cache.
    """

    __slots__ = ("_cache", "_dialects", "_options", "statement")

    def __init__(self, statement: Executable) -> None:
        self.statement = statement
        self._cache = _Cache()
        self._dialects: tuple[Dialect, ...] = ()
        self._options: Mapping[str, Any] = {**_MARKED, "compiled_cache": self._cache}

    def execute(self, connection: Connection, parameters: Mapping[str, Any]) -> CursorResult[Any]:
        """Execute the statement."""
        options = self._options if connection.dialect in self._dialects else self._first(connection.dialect)
        return connection.execute(self.statement, parameters, execution_options=options)

    def _first(self, dialect: Dialect) -> Mapping[str, Any]:
        if len(self._dialects) >= _ENGINES:
            return _MARKED
        self._dialects = (*self._dialects, dialect)
        return self._options


class _Cache:
    """What SQLAlchemy takes for the dictionary of its option ``compiled_cache``. Lives as long as the statement."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: tuple[tuple[Any, Any], ...] = ()

    def get(self, key: Any) -> Any:
        # The parts of a key are the same objects each time, so that comparing them looks at none of their content.
        for known, compiled in self._known:
            if known == key:
                return compiled
        return None

    def __setitem__(self, key: Any, compiled: Any) -> None:
        # With and without a schema_translate_map, for each engine.
        self._known = ((key, compiled), *self._known)[: 2 * _ENGINES]

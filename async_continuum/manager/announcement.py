"""Tell the triggers of one session's transaction who writes and why, and what they are not to record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import JSON, Column, Connection, Table, text, update
from sqlalchemy.engine import ExecutionContext
from sqlalchemy.orm import Session

from async_continuum.build import Blueprint
from async_continuum.manager.coverage import Coverage
from async_continuum.manager.signature import Signature
from async_continuum.manager.triggers import require_triggers, translation
from async_continuum.native import signed_as, transaction_plan_of
from async_continuum.plugins import Signing
from async_continuum.record import Context, IfStored, is_anything_disabled, is_disabled, meta_values, transaction_values

# Local to the transaction: nothing of it is left for whoever gets the connection next, from a pool or from a pooler
# between here and the database.
_TELL = text(
    "SELECT set_config('async_continuum.context', :context, true),"
    " set_config('async_continuum.disabled', :disabled, true),"
    " set_config('async_continuum.rows', :rows, true)"
)
_WRITES = ("INSERT", "UPDATE", "DELETE", "MERGE")
_OTHERS = ("COPY", "TRUNCATE", "CALL", "DO", "EXECUTE")

Asked = Mapping[Any, Mapping[str, Any]]
"""The values of transaction objects that the user has asked for, by their class."""


class Announcement:
    """What triggers have been told on the connections of one session. Lives as long as the session's recorder."""

    __slots__ = (
        "_context",
        "_coverage",
        "_said",
        "_session",
        "_signatures",
        "_speaking",
        "_waiting",
        "sees_writes",
    )

    def __init__(
        self,
        session: Session,
        coverage: Coverage,
        context: Callable[[], Context],
        signatures: Mapping[Any, Signature],
    ) -> None:
        self._session = session
        self._coverage = coverage
        self._context = context
        self._signatures = signatures
        self._said: dict[Connection, tuple[Context, Asked, str] | None] = {}
        self._speaking = False
        # Where a user's key was not known yet: the classes that had signed nothing by then.
        self._waiting: dict[Connection, list[Any]] = {}
        self.sees_writes = False

    def before_write(self, connection: Connection, table: object, *, flushing: bool) -> None:
        """Before a statement that may write: see that its triggers are there, and tell them what they do not know.

        Triggers are missed only on a table of ours: in another database one of the same name may be anybody's.
        """
        if self._speaking:
            return
        self.sees_writes = True
        native = self._coverage.native_tables
        if table in native:
            require_triggers(connection, self._coverage)
            # A flush may be about to insert the user who signs it.
            self.tell(connection, may_wait=flushing)
        elif not isinstance(table, Table) or any(table.metadata is each.metadata for each in native):
            # A cascade may reach a table of ours. What our transactions have no place for is for another manager's.
            self.tell(connection, self._known(self._given()), may_wait=True)

    def complete(self) -> None:
        """Tell the keys of users that have one now, and sign with them what triggers have signed without.

        Raises `ValueError` where they have signed something for a user who still has none.
        """
        for connection, unsigned in list(self._waiting.items()):
            known, signed = self._known(self._given()), _signed_by(connection, unsigned)
            self.tell(connection, known, may_wait=not signed)
            for transaction_class, found in signed.items():
                table = transaction_class.__mapper__.local_table
                values = {**transaction_values(known, table), **self._asked.get(transaction_class, {})}
                connection.execute(update(table).where(table.c.id == found).values(values))

    def rolled_back(self) -> None:
        """Take nothing for told any more: a rollback to a savepoint undoes settings as well."""
        self._said = dict.fromkeys(self._said)

    def tell(self, connection: Connection, context: Context | None = None, *, may_wait: bool = False) -> None:
        """Tell what has not been told on this connection; nothing, where there is nothing to tell.

        The key of a user who has none yet ``may_wait``; else this raises `ValueError`.
        """
        given = self._given() if context is None else context
        wanted = (given, self._asked, self._silenced(connection))
        said = self._said.get(connection, self._at_first)
        if wanted == said and connection not in self._waiting:
            return
        self._speaking = True
        try:
            told = self._values(connection, *wanted[:2], may_wait=may_wait)
            if not self._is_all(connection, told) and wanted == said:
                return
            rows = self._rows(connection, given)
            if told or rows or wanted[2] or connection in self._said:
                parts = {"context": told, "rows": rows}
                texts = {name: json.dumps(part) if part else "" for name, part in parts.items()}
                connection.execute(_TELL, {**texts, "disabled": wanted[2]})
        finally:
            self._speaking = False
        self._said[connection] = wanted

    def _is_all(self, connection: Connection, told: dict[str, Any]) -> bool:
        """Take out what is still to come, and note that it is."""
        lacking = [name for name, value in told.items() if value is _TO_COME]
        for name in lacking:
            del told[name]
        if not lacking:
            self._waiting.pop(connection, None)
        elif connection not in self._waiting:
            signed = _signed_by(connection, self._coverage.native)
            self._waiting[connection] = [each for each in self._coverage.native if each not in signed]
        return not lacking

    def has_told(self, connection: Connection, transaction_class: Any) -> Mapping[str, Any]:
        """Give the values of the transaction object that were told."""
        said = self._said.get(connection) or _NOTHING
        return said[1].get(transaction_class, {})

    def _given(self) -> Context:
        """Lay the meta of transaction objects that triggers sign for over that of the context."""
        context = self._context()
        for transaction_class, signature in self._signatures.items():
            context = signature.over(context) if transaction_class in self._coverage.native else context
        return context

    @property
    def _asked(self) -> Asked:
        return {cls: signature.values for cls, signature in self._signatures.items()}

    @property
    def _at_first(self) -> tuple[Context, Asked, str] | None:
        """What need not be told: nothing, but for plugins that may have rows to add to any transaction."""
        return None if self._coverage.plugins.overriding("transaction_rows") else _NOTHING

    def _rows(self, connection: Connection, context: Context) -> dict[str, list[dict[str, Any]]]:
        """Give the rows of plugins that come with the transaction row, by their tables."""
        plugins = self._coverage.plugins
        # Raises where nobody stores it.
        meta = meta_values(context, stored=plugins.stores_meta)
        if not plugins.overriding("transaction_rows"):
            return {}
        given: dict[str, list[dict[str, Any]]] = {}
        for transaction_class in self._coverage.native:
            for table, rows in plugins.transaction_rows(Signing(self._session, transaction_class, meta)):
                given.setdefault(table.name, []).extend(
                    {table.c[key].name: _plain(value, table.c[key], connection) for key, value in row.items()}
                    for row in rows
                )
        return given

    def _known(self, context: Context) -> Context:
        tables = [transaction_class.__mapper__.local_table for transaction_class in self._coverage.native]
        columns = {name: value for name, value in context.columns.items() if all(name in table.c for table in tables)}
        stored = self._coverage.plugins.stores_meta
        meta = {name: value for name, value in context.meta.items() if stored or isinstance(value, IfStored)}
        same = len(columns) == len(context.columns) and len(meta) == len(context.meta)
        return context if same else replace(context, columns=MappingProxyType(columns), meta=MappingProxyType(meta))

    def _silenced(self, connection: Connection) -> str:
        if not is_anything_disabled():
            return ""
        if is_disabled(None):
            return "*"
        names = [
            plan.fullname
            for kept, _, plan in self._coverage.plans(translation(connection))
            if isinstance(kept, Blueprint) and is_disabled(kept.model)
        ]
        return f"|{'|'.join(names)}|" if names else ""

    def _values(self, connection: Connection, context: Context, asked: Asked, *, may_wait: bool) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for transaction_class in self._coverage.native:
            table = transaction_class.__mapper__.local_table
            values = transaction_values(context, table, to_come=_TO_COME if may_wait else None)
            values |= asked.get(transaction_class, {})
            told |= {
                table.c[key].name: value if value is _TO_COME else _plain(value, table.c[key], connection)
                for key, value in values.items()
            }
        return told


_TO_COME = object()
_NOTHING: tuple[Context, Asked, str] = (Context(), {}, "")


def _signed_by(connection: Connection, classes: Iterable[Any]) -> dict[Any, int]:
    """Give the ids under which triggers have signed the running transaction, by the class of its row."""
    found = {}
    for transaction_class in classes:
        plan = transaction_plan_of(transaction_class.__mapper__.local_table).translated(translation(connection))
        signed = signed_as(connection, plan, stays=False)
        if signed is not None:
            found[transaction_class] = signed
    return found


def may_write(statement: str, context: ExecutionContext | None) -> bool:
    """Say whether a statement may change a table; one that only calls a function is taken not to."""
    if context is not None and (context.isinsert or context.isupdate or context.isdelete):  # type: ignore[attr-defined]
        return True
    start = statement.lstrip()[:8].upper()
    if start.startswith("WITH"):
        whole = statement.upper()
        return any(f"{word} " in whole for word in _WRITES)
    return start.startswith((*_WRITES, *_OTHERS))


def _plain(value: Any, column: Column[Any], connection: Connection) -> Any:
    """Give a value as the driver would send it, in a form that JSON has and PostgreSQL reads again."""
    if isinstance(column.type, JSON) or value is None:
        return value
    process = column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    sent = value if process is None else process(value)
    return sent if isinstance(sent, (int, float, str, bool)) else str(sent)

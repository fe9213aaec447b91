"""Compile the user's own statements so that every versioned table in them means what was alive at the moment."""

from __future__ import annotations

import re
from copy import copy
from functools import cache
from typing import Any, Literal, cast
from weakref import WeakValueDictionary

from sqlalchemy import CompoundSelect, Dialect, Select, Table
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.compiler import SQLCompiler

from async_continuum.errors import ClassNotVersioned, ColumnNotVersioned, ReadOnlySession
from async_continuum.past.grouping import as_text, depending_columns, told_by, ungrouped_columns
from async_continuum.past.guard import guard
from async_continuum.past.signed import histories, tables_of_history
from async_continuum.past.standin import StandIn, missing_in, nothing, stand_in

Live = Literal["read", "refuse"]
"""What happens to a table that keeps no history."""

_QUERY = re.compile(r"\b(select|table)\b", re.IGNORECASE)
_TEXT = "text() is not read by SQLAlchemy, so its tables would show the present. Write it as a select()."
_WRITE = "it writes. Write through an ordinary session."
_SAMPLE = "history holds other rows than the table. Take a part of them by a condition: where(func.random() < ...)."
_LOCK = "rows of the past cannot be locked. Leave out with_for_update()."

# A dialect lives as long as statements compiled for it are cached by an engine.
_dialects: WeakValueDictionary[tuple[Dialect, Live], Dialect] = WeakValueDictionary()


def past_dialect(dialect: Dialect, live: Live) -> Dialect:
    """Give a dialect that is another in nothing but that it reads the past.

    It is the same for every moment, so that what an engine has compiled once serves all sessions.
    """
    found = _dialects.get((dialect, live))
    if found is None:
        found, base = copy(dialect), cast("Any", dialect.statement_compiler)
        found.statement_compiler = _compiler(base, live)
        _dialects[dialect, live] = found
    return found


# SQLAlchemy's own annotations stop at its visitors.
_Compiler: Any = SQLCompiler


class PastCompiler(_Compiler):  # type: ignore[misc]
    """Renders each versioned table as a subquery of its versions. Lives for one statement.

    The tables are replaced here, and not in the statement, because only here all of them are known, those of eager
    loaders and of joins along relations too, and because the ORM's own objects stay as they are.
    """

    live: Live
    _ungrouped: frozenset[tuple[StandIn, str]] = frozenset()

    def __init__(self, dialect: Dialect, statement: Any, *args: Any, **kwargs: Any) -> None:
        if statement is not None:
            # Private: a lambda's statement is known nowhere else.
            read = getattr(statement, "_resolved", statement)
            _refuse_missing(read)
            self._ungrouped = ungrouped_columns(read, dialect)
        super().__init__(dialect, statement, *args, **kwargs)

    def visit_table(
        self,
        table: Any,
        asfrom: bool = False,
        ashint: bool = False,
        from_linter: Any = None,
        ambiguous_table_name_map: Any = None,
        enclosing_alias: Any = None,
        fromhints: Any = None,
        **kw: Any,
    ) -> Any:
        found = stand_in(table)
        if found is None:
            self._refuse_live(table)
            return super().visit_table(
                table,
                asfrom=asfrom,
                ashint=ashint,
                from_linter=from_linter,
                ambiguous_table_name_map=ambiguous_table_name_map,
                enclosing_alias=enclosing_alias,
                fromhints=fromhints,
                **kw,
            )
        if from_linter:
            from_linter.froms[table] = table.fullname
        if not (asfrom or ashint or kw.get("within_tstring")):
            return ""
        name = self._name_of(table, found, ambiguous_table_name_map)
        if ashint:
            return name
        # The hints of a table are about its indexes, which its versions do not have.
        kw = {key: value for key, value in kw.items() if key not in ("iscrud", "use_schema")}
        shown = {name for stood, name in self._ungrouped if stood is found}
        rows = f"({self.process(as_text(found.rows, shown) if shown else found.rows, asfrom=True, **kw)})"
        if enclosing_alias is not None and enclosing_alias.element is table:
            return rows
        return rows + self.get_render_as_alias_suffix(name)

    def visit_column(self, column: Any, *args: Any, grouping: bool = False, **kw: Any) -> Any:
        rendered = self._column(column, *args, **kw)
        if grouping or not (self._ungrouped and kw.get("include_table", True) and told_by(column) in self._ungrouped):
            return rendered
        return f"CAST({rendered} AS {column.type.compile(self.dialect)})"

    def _column(self, column: Any, *args: Any, include_table: bool = True, **kw: Any) -> Any:
        if column.is_literal and _QUERY.search(column.name):
            raise ReadOnlySession(column, because=_TEXT)
        found = stand_in(column.table)
        if found is None:
            return super().visit_column(column, *args, include_table=include_table, **kw)
        if column.key in found.missing:
            raise ColumnNotVersioned(column)
        name = super().visit_column(column, *args, include_table=False, **kw)
        if not include_table:
            return name
        return f"{self._name_of(column.table, found, kw.get('ambiguous_table_name_map'))}.{name}"

    def _name_of(self, table: Table, found: StandIn, ambiguous: Any) -> Any:
        # A subquery has no schema to tell it from another of its name.
        if self.preparer.schema_for_object(table):
            return self.preparer.format_alias(None, self._truncated_identifier("alias", found.alias.name))
        if ambiguous and table.name in ambiguous:
            return self.preparer.format_alias(None, self._truncated_identifier("alias", ambiguous[table.name]))
        return self.preparer.quote(table.name)

    def _refuse_live(self, table: Any) -> None:
        if not isinstance(table, Table):
            if any(table.name == history.table.name for history in histories()):
                raise ReadOnlySession(
                    f"table({table.name!r})",
                    because="it is not known for the versioned table of that name. Use the model, or its Table.",
                )
        elif self.live == "refuse" and table not in tables_of_history():
            raise ClassNotVersioned(table)

    # Private: the one place in which SQLAlchemy renders what stands in a columns clause.
    def _label_select_column(self, select: Any, column: Any, *args: Any, **kw: Any) -> Any:
        missing = missing_in(column)
        if missing is not None:
            # Here it belongs to an entity, which is loaded without it: what was asked for by name is refused already.
            found = stand_in(missing.table)
            for model in found.models if found is not None else ():
                guard(model)
            column = nothing(column).label(getattr(column, "name", None))
        return super()._label_select_column(select, column, *args, **kw)

    def visit_textclause(self, textclause: Any, *args: Any, **kw: Any) -> Any:
        if not self.stack or kw.get("asfrom") or _QUERY.search(textclause.text):
            raise ReadOnlySession(textclause, because=_TEXT)
        return super().visit_textclause(textclause, *args, **kw)

    def visit_cte(self, cte: Any, *args: Any, **kw: Any) -> Any:
        if any(cte.name == history.version_table.name for history in histories()):
            raise ReadOnlySession(
                cte.element,
                named=f"a CTE called {cte.name!r}",
                because="it would hide the version table of that name. Call it otherwise.",
            )
        return super().visit_cte(cte, *args, **kw)

    def visit_tablesample(self, tablesample: Any, *args: Any, **kw: Any) -> Any:
        if stand_in(tablesample.element) is not None:
            raise ReadOnlySession(tablesample, named=f"tablesample({tablesample.element.name})", because=_SAMPLE)
        return super().visit_tablesample(tablesample, *args, **kw)

    def visit_textual_select(self, taf: Any, *args: Any, **kw: Any) -> Any:
        raise ReadOnlySession(taf.element, because=_TEXT)

    def visit_tstring(self, tstring: Any, *args: Any, **kw: Any) -> Any:
        raise ReadOnlySession(tstring, because=_TEXT)

    def group_by_clause(self, select: Any, **kw: Any) -> Any:
        grouped = super().group_by_clause(select, **kw)
        if not grouped or self.dialect.name != "postgresql":
            return grouped
        depending = (self.process(column, grouping=True, **kw) for column in depending_columns(select))
        return ", ".join([grouped, *depending])

    def for_update_clause(self, select: Any, **kw: Any) -> Any:
        raise ReadOnlySession(select, named="a select() with with_for_update()", because=_LOCK)

    def visit_insert(self, insert_stmt: Any, *args: Any, **kw: Any) -> Any:
        raise ReadOnlySession(insert_stmt, named=f"an INSERT into {insert_stmt.table}", because=_WRITE)

    def visit_update(self, update_stmt: Any, *args: Any, **kw: Any) -> Any:
        raise ReadOnlySession(update_stmt, named=f"an UPDATE of {update_stmt.table}", because=_WRITE)

    def visit_delete(self, delete_stmt: Any, *args: Any, **kw: Any) -> Any:
        raise ReadOnlySession(delete_stmt, named=f"a DELETE from {delete_stmt.table}", because=_WRITE)


@cache
def _compiler(base: Any, live: Live) -> Any:
    return type(f"Past{base.__name__}", (PastCompiler, base), {"live": live})


def _refuse_missing(statement: Any) -> None:
    """Refuse to read by name a column that has no past; an entity is loaded without it."""
    read: list[Any] = [statement]
    if isinstance(statement, CompoundSelect):
        read += statement.selected_columns
    elif isinstance(statement, Select):
        # A table, or a subquery, that is selected whole gives rows, in which a NULL would pass for a value.
        found = [described["expr"] for described in statement.column_descriptions]
        read += [each for each in found if isinstance(each, ColumnElement)]
    for each in read:
        missing = missing_in(each)
        if missing is not None:
            raise ColumnNotVersioned(missing)

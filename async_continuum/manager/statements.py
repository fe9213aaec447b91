"""Read a statement that changes rows: which table, which keys, and whether the statement says so itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    Column,
    ColumnElement,
    Delete,
    Insert,
    Select,
    Table,
    Update,
    cast,
    select,
    type_coerce,
)
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BooleanClauseList
from sqlalchemy.sql.expression import AliasedReturnsRows, UpdateBase
from sqlalchemy.types import NullType

from async_continuum.build import TableHistory
from async_continuum.manager.upserts import by_key, is_upsert
from async_continuum.record import Key

Parameters = Sequence[Mapping[str, Any]]


def changed_table(statement: Any) -> Table | None:
    """Give the table that a statement changes, also where it calls it by another name."""
    # Private: a bulk statement on a class of several tables is executed once for each, and names that of the class.
    annotations = statement._annotations
    target = annotations.get("_emit_insert_table", annotations.get("_emit_update_table", statement.table))
    if type(target) is Table:
        return target
    while not isinstance(target, Table) and hasattr(target, "element"):
        target = target.element
    return target if isinstance(target, Table) else None


def changes_within(statement: Any) -> list[Any]:
    """List the INSERTs, UPDATEs and DELETEs inside a statement, in its CTEs."""
    found: dict[Any, None] = {}
    waiting, seen = [statement], {statement}
    while waiting:
        for each in visitors.iterate(waiting.pop()):
            if isinstance(each, UpdateBase) and each is not statement:
                found[each] = None
            # An UPDATE or DELETE has in its conditions and values alone, as a column, what it takes rows from.
            table = getattr(each, "table", None)
            if isinstance(table, AliasedReturnsRows) and table not in seen:
                seen.add(table)
                waiting.append(table)
    return list(found)


def assigned(statement: Update | Insert) -> dict[str, Any]:
    """Give what a statement's ``values()`` assign, by column key."""
    # Private: a statement tells nobody else what it assigns. ``_ordered_values`` is gone since SQLAlchemy 2.1.
    ordered = getattr(statement, "_ordered_values", None)
    values: Mapping[Any, Any] = dict(ordered) if ordered else statement._values or {}
    return by_key(values)


def moves_keys(history: TableHistory, statement: Update, parameters: Parameters) -> bool:
    """Say whether an UPDATE assigns to a column of the key."""
    named = set(assigned(statement)) | (set(parameters[0]) if parameters else set())
    return not named.isdisjoint(history.key)


def will_tell_keys(history: TableHistory, statement: Insert, parameters: Parameters) -> bool:
    """Say whether `keys_inserted` can read the keys off an INSERT once it is executed."""
    if statement.select is not None or is_upsert(statement):
        return False
    rows = _rows_of_values(statement)
    if rows is not None:
        return all(_are_plain(history, row) for row in rows)
    given = {**assigned(statement), **(parameters[0] if parameters else {})}
    if _are_plain(history, given):
        return True
    # The primary key of a single row is told by the driver.
    single = len(parameters) <= 1 and not statement._returning and not statement._inline
    return single and set(history.key) <= {column.key for column in history.table.primary_key}


def _rows_of_values(statement: Insert) -> list[Mapping[str, Any]] | None:
    # Private, as above: several rows of values in one statement.
    rows: list[Any] = [row for rows in statement._multi_values for row in rows]
    return [by_key(row) if isinstance(row, Mapping) else {} for row in rows] or None


def _are_plain(history: TableHistory, given: Mapping[str, Any]) -> bool:
    return all(_is_plain(history.table.c[name], given) for name in history.key)


def _is_plain(column: Column[Any], given: Mapping[str, Any]) -> bool:
    if column.key in given:
        value = given[column.key]
        return isinstance(value, BindParameter) or (value is not None and not hasattr(value, "__clause_element__"))
    default: Any = column.default
    return default is not None and (default.is_scalar or default.is_callable)


def keys_inserted(
    history: TableHistory, statement: Insert, parameters: Parameters, result: CursorResult[Any]
) -> list[Key] | None:
    """Read the keys of inserted rows out of what was sent, or what the driver tells; None where neither says."""
    keys = _keys_of(history, [_with_values(history, statement, row) for row in parameters])
    if keys is not None:
        return keys
    sent: Any = result.last_inserted_params()
    if not isinstance(sent, Mapping):
        return _keys_of(history, [_with_values(history, statement, row) for row in sent])
    rows = _rows_of_values(statement)
    if rows is not None:
        # The parameters of several rows are numbered, but for what Python's default gives to the first.
        numbered = [{name: sent.get(f"{name}_m{row}") for name in history.key} for row in range(len(rows))]
        numbered[0] = {name: sent.get(name) if value is None else value for name, value in numbered[0].items()}
        return _keys_of(history, numbered)
    keys = _keys_of(history, [_with_values(history, statement, sent)])
    if keys is not None:
        return keys
    told = result.inserted_primary_key
    return None if told is None else _keys_of(history, [_by_column(history, told)])


def _with_values(history: TableHistory, statement: Insert, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add what ``values()`` give a row's key: their parameters may be called otherwise than the columns."""
    values = assigned(statement)
    bound = {name: values[name] for name in history.key if isinstance(values.get(name), BindParameter)}
    given = {name: row.get(value.key, value.effective_value) for name, value in bound.items()}
    return {**given, **row} if given else row


def keys_of_values(history: TableHistory, statement: Insert, given: Mapping[str, Any]) -> list[Key] | None:
    """Read the keys off an INSERT's own values and what their parameters are given, where they are plainly there."""
    if statement.select is not None or is_upsert(statement):
        return None
    rows = _rows_of_values(statement) or [assigned(statement)]
    plain = [
        {
            name: given.get(value.key, value.effective_value) if isinstance(value, BindParameter) else value
            for name, value in row.items()
        }
        for row in rows
    ]
    return _keys_of(history, plain)


def _by_column(history: TableHistory, told: Any) -> dict[str, Any]:
    return {column.key: value for column, value in zip(history.table.primary_key, told, strict=True)}


def _keys_of(history: TableHistory, rows: Parameters) -> list[Key] | None:
    keys = []
    for row in rows:
        key = tuple(row.get(name) for name in history.key)
        if _is_null(history, row):
            continue
        if any(part is None or isinstance(part, ColumnElement) for part in key):
            return None
        keys.append(key)
    return keys if rows else None


def _is_null(history: TableHistory, row: Mapping[str, Any]) -> bool:
    """Say whether a row is a link of which an end is NULL, which links nothing."""
    return any(row.get(name, name) is None and history.table.c[name].nullable for name in history.key)


def keys_named(
    history: TableHistory, statement: Update | Delete, parameters: Parameters, *, only: bool
) -> list[Key] | None:
    """Give the keys by which a statement names its rows one by one; ``only``: by these and no further condition."""
    if not isinstance(statement.table, Table):
        # Under another name; the table itself is another part of the statement then, and speaks of other rows.
        return None
    named: dict[str, BindParameter[Any]] = {}
    conditions = list(_conditions(statement.whereclause))
    for each in conditions:
        if (
            isinstance(each, BinaryExpression)
            and each.operator is operators.eq
            and isinstance(each.left, Column)
            and isinstance(each.right, BindParameter)
            and each.left.table is history.table
        ):
            named.setdefault(each.left.key, each.right)
    if not set(history.key) <= set(named) or (only and len(conditions) > len(history.key)):
        return None
    bound = [named[name] for name in history.key]
    keys = [tuple(given.get(bind.key, bind.effective_value) for bind in bound) for given in parameters or [{}]]
    return [key for key in dict.fromkeys(keys) if None not in key]


def _conditions(clause: Any) -> Iterator[Any]:
    if isinstance(clause, BooleanClauseList) and clause.operator is operators.and_:
        for each in clause.clauses:
            yield from _conditions(each)
    elif clause is not None:
        yield clause


def rows_matched(
    history: TableHistory, statement: Update | Delete, *, moving: bool, given: Sequence[str]
) -> Select[Any]:
    """Find, and lock, the keys of the rows that a statement is about to change; ``moving``: and the new ones."""
    target = statement.table
    columns: list[ColumnElement[Any]] = [target.c[name] for name in history.key]
    found = columns + (_new_keys(history, statement, given) if moving else [])
    labelled = [_stored(column).label(f"k{number}") for number, column in enumerate(found)]
    matched = select(*labelled)
    mapper = _mapper_of(statement)
    # Private: what loader criteria and single table inheritance add to the condition only the ORM knows.
    if mapper is not None and (mapper.single or statement._with_options):
        matched = matched.select_from(mapper).options(*statement._with_options)
    if statement.whereclause is not None:
        matched = matched.where(statement.whereclause)
    return matched.with_for_update(of=target, key_share=isinstance(statement, Update) and not moving)


def _mapper_of(statement: Update | Delete) -> Mapper[Any] | None:
    # Private: whether the ORM compiles a statement stands nowhere else.
    subject = statement._propagate_attrs.get("plugin_subject")
    mapper = getattr(subject, "mapper", None)
    return mapper if isinstance(mapper, Mapper) else None


def _new_keys(history: TableHistory, statement: Update | Delete, given: Sequence[str]) -> list[ColumnElement[Any]]:
    assert isinstance(statement, Update)
    values = assigned(statement)
    keys: list[ColumnElement[Any]] = []
    for name in history.key:
        column = history.table.c[name]
        value = values.get(name, BindParameter(name, type_=column.type) if name in given else statement.table.c[name])
        if isinstance(value, BindParameter) and isinstance(value.type, NullType):
            # As an UPDATE does; the type says what is stored of the value.
            value = type_coerce(value, column.type)
        bare = isinstance(value, BindParameter) or not isinstance(value, ColumnElement)
        # PostgreSQL takes a bare parameter in a list of columns for text.
        keys.append(cast(value, column.type) if bare else value)
    return keys


def _stored(column: ColumnElement[Any]) -> ColumnElement[Any]:
    # A type that wraps its column when it is selected would mark what is shown instead of what is stored.
    return column if column.type.column_expression(column) is None else type_coerce(column, NullType())


def is_alone(history: TableHistory, statement: Update | Delete) -> bool:
    """Say whether a key names one row, and the statement's condition speaks of that table's rows alone."""
    if set(history.key) != {column.key for column in history.table.primary_key}:
        return False
    found = select(*(statement.table.c[name] for name in history.key))
    if statement.whereclause is not None:
        found = found.where(statement.whereclause)
    return len(found.get_final_froms()) == 1

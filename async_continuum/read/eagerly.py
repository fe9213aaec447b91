"""Ask for the relations of many versions as the database finds them best: their keys in one parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import BindParameter, Select, Tuple
from sqlalchemy.orm import ORMExecuteState, RelationshipProperty
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression

from async_continuum.build import find_blueprint
from async_continuum.dialects import Keys, keys_for

_KEYS = "loaded"
_OF_CLASS = "primary_keys"
"""What SQLAlchemy calls the keys of objects of which it loads what their own class adds."""


class _Asked(Tuple):
    """The columns of a condition that asks in our way already. Lives as long as one load.

    Of more keys than one statement takes, the loader executes the same one several times.
    """

    inherit_cache = True
    name: str
    way: Keys


def ask_with_one_parameter(state: ORMExecuteState) -> None:
    """Hand the keys of a load of versions' relations over as all others of ours.

    ``selectinload`` asks for ``(id, transaction_id) IN ((1, 2), (3, 4), ...)``: PostgreSQL plans that as so many
    alternatives, which takes longer than to execute it, and SQLite reads the table from end to end for it.
    """
    given = state.parameters
    # First what tells most statements apart at once: few have a list among their parameters.
    if not isinstance(given, dict) or not any(isinstance(value, list) for value in given.values()):
        return
    statement = state.statement
    if not isinstance(statement, Select) or statement.whereclause is None:
        return
    if not state.is_relationship_load:
        if _OF_CLASS in given and _is_of_versions(state):
            _ask_for_class(statement, given, state)
        return
    if not _is_from_versions(state):
        return
    clauses: Iterator[Any] = visitors.iterate(statement.whereclause)
    for clause in clauses:
        if isinstance(clause, BinaryExpression) and isinstance(clause.left, Tuple):
            asked = clause.left if isinstance(clause.left, _Asked) else _asked(clause, given, state)
            if asked is not None:
                # In place: the loader has made them for this execution, which goes on with them.
                given.update(asked.way.bind(given[asked.name], _KEYS))
            return


def _ask_for_class(statement: Select[Any], given: dict[str, Any], state: ORMExecuteState) -> None:
    """Hand over the keys of a load of what a class adds in its own table, for versions of a query on one above it."""

    def in_our_way(element: Any, **_: Any) -> Any:
        if not isinstance(element, BinaryExpression) or not isinstance(element.left, Tuple):
            return None
        columns = list(element.left.clauses)
        way = _way(element, columns, given, state)
        if way is None:
            return None
        given.update(way.bind(given[_OF_CLASS], _KEYS))
        return way.among(columns, _KEYS)

    # Not in place: SQLAlchemy keeps the condition for all loads of the class.
    asked: Any = visitors.replacement_traverse(statement, {}, in_our_way)
    state.statement = asked


def _way(clause: Any, columns: list[Any], given: Mapping[str, Any], state: ORMExecuteState) -> Keys | None:
    """Choose how the keys of ``tuple IN parameter`` are handed over, where there is a better way."""
    if clause.operator is not operators.in_op or not isinstance(clause.right, BindParameter):
        return None
    keys = given.get(clause.right.key)
    if not keys or len(keys) == 1:
        return None
    way = keys_for([column.type for column in columns], keys, state.session.get_bind(**state.bind_arguments).dialect)
    return None if way.chunked else way


def _asked(clause: Any, given: dict[str, Any], state: ORMExecuteState) -> _Asked | None:
    """Let the condition that a loader has just made, ``tuple IN parameter``, ask in our way, where there is one."""
    columns = list(clause.left.clauses)
    way = _way(clause, columns, given, state)
    if way is None:
        return None
    asked = _Asked(*columns)
    asked.name, asked.way = clause.right.key, way
    # In place, because there is no public way to take a condition out of a statement. It is the loader's own, made for
    # this load, and nothing has been compiled of it.
    among: Any = way.among(columns, _KEYS)
    clause.left, clause.right = asked, among.right
    return asked


def _is_from_versions(state: ORMExecuteState) -> bool:
    path: Any = state.loader_strategy_path
    relation = next((each for each in reversed(path.path) if isinstance(each, RelationshipProperty)), None)
    blueprint = None if relation is None else find_blueprint(relation.parent.class_)
    return relation is not None and blueprint is not None and blueprint.version_class is relation.parent.class_


def _is_of_versions(state: ORMExecuteState) -> bool:
    mapper = state.bind_mapper
    blueprint = None if mapper is None else find_blueprint(mapper.class_)
    return mapper is not None and blueprint is not None and blueprint.version_class is mapper.class_

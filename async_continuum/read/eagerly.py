"""Let SQLite find by index the versions whose relations are loaded together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import BindParameter, Select, Tuple
from sqlalchemy.orm import ORMExecuteState, RelationshipProperty
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression

from async_continuum.build import find_blueprint
from async_continuum.dialects import keys_for


def find_by_index(state: ORMExecuteState) -> None:
    """Say a second time, of a load of versions' relations, which versions are meant, so that SQLite uses an index.

    ``selectinload`` asks for ``(id, transaction_id) IN (VALUES ...)``, for which it reads the table from end to end.
    """
    given = state.parameters
    # First what tells most statements apart at once: few have a list among their parameters.
    if not isinstance(given, dict) or not any(isinstance(value, list) for value in given.values()):
        return
    statement = state.statement
    if not isinstance(statement, Select) or not state.is_relationship_load or not _is_from_versions(state):
        return
    dialect = state.session.get_bind(**state.bind_arguments).dialect
    if dialect.name != "sqlite" or statement.whereclause is None:
        return
    clauses: Iterator[Any] = visitors.iterate(statement.whereclause)
    for clause in clauses:
        if _asks_for_tuples(clause) and clause.right.key in given:
            columns = list(clause.left.clauses)
            keys = given[clause.right.key]
            way = keys_for([column.type for column in columns], keys, dialect)
            if keys and not way.chunked:
                state.statement = statement.where(way.among(columns, "loaded"))
                # In place: the loader has made them for this execution, which goes on with them.
                given.update(way.bind(keys, "loaded"))
            return


def _is_from_versions(state: ORMExecuteState) -> bool:
    path: Any = state.loader_strategy_path
    relation = next((each for each in reversed(path.path) if isinstance(each, RelationshipProperty)), None)
    blueprint = None if relation is None else find_blueprint(relation.parent.class_)
    return relation is not None and blueprint is not None and blueprint.version_class is relation.parent.class_


def _asks_for_tuples(clause: Any) -> bool:
    return (
        isinstance(clause, BinaryExpression)
        and clause.operator is operators.in_op
        and isinstance(clause.left, Tuple)
        and isinstance(clause.right, BindParameter)
    )

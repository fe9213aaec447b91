"""List what signs history: the transaction classes of this process, and what each of them keeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Table, inspect
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import FromClause

from async_continuum.build import Blueprint, TableHistory, blueprints_of, find_history
from async_continuum.declare import COMPANIONS
from async_continuum.read import TransactionBase


def transaction_classes() -> list[Any]:
    """List the ``Transaction`` classes that are mapped, one for each registry with versioned models."""
    return [found for found in _below(TransactionBase) if inspect(found, raiseerr=False) is not None]


def blueprints() -> Iterator[Blueprint]:
    """List the blueprints of every versioned model."""
    for transaction_class in transaction_classes():
        yield from blueprints_of(transaction_class)


def secondaries(blueprint: Blueprint) -> Iterator[FromClause]:
    """List the association tables of a model's relations."""
    mapper: Mapper[Any] = inspect(blueprint.model)
    return (relation.secondary for relation in mapper.relationships if relation.secondary is not None)


def histories() -> Iterator[TableHistory]:
    """List every history that is kept, of models and of the links between them; some more than once."""
    for blueprint in blueprints():
        yield from blueprint.histories
        for secondary in secondaries(blueprint):
            history = find_history(secondary) if isinstance(secondary, Table) else None
            if history is not None:
                yield history


def tables_of_history() -> set[Table]:
    """Give the version tables, the transaction tables and those of plugins, which are read in the past as they are."""
    signing = {blueprint.transaction_table for blueprint in blueprints()}
    beside = {companion.table for table in signing for companion in table.info.get(COMPANIONS, ())}
    return {history.version_table for history in histories()} | signing | beside


def parameter_for(transaction_table: Table) -> str:
    """Name the parameter that holds the moment for all that is signed in one transaction table.

    Classes of several registries whose tables bear one name stand for one table of the database, and share it.
    """
    return f"as_of_{transaction_table.fullname.replace('.', '_')}"


def _below(base: type[Any]) -> Iterator[type[Any]]:
    for derived in base.__subclasses__():
        yield derived
        yield from _below(derived)

"""Maintain the history of whole models at once: begin it late, take out repetitions, prove that it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from async_continuum.build import Blueprint, LinkBlueprint, TableHistory, blueprint_of, blueprints_of
from async_continuum.errors import ImproperlyConfigured
from async_continuum.maintain import Discrepancy, backfill_table, vacuum_table, verify_table
from async_continuum.manager.manager import VersioningManager
from async_continuum.manager.setup import active_managers, get_versioning_manager
from async_continuum.read import require_async


@dataclass(frozen=True, slots=True)
class _Kept:
    """A model or an association table to maintain, and where. Lives for one call."""

    manager: VersioningManager
    connection: Connection
    blueprint: Blueprint | LinkBlueprint

    @property
    def entity(self) -> str | None:
        """What plugins call it; a link has no name."""
        return self.blueprint.model.__name__ if isinstance(self.blueprint, Blueprint) else None

    @property
    def name(self) -> Any:
        """What a discrepancy calls it: the model, or the association table."""
        return self.blueprint.model if isinstance(self.blueprint, Blueprint) else self.blueprint.history.table

    @property
    def tables(self) -> Iterator[tuple[TableHistory, Any]]:
        """The table and, under joined inheritance, those below it, each with what a discrepancy calls it."""
        history = self.blueprint.history
        yield history, self.name
        for below in history.followers:
            owners = (model for model in self.manager.models if blueprint_of(model).own is below)
            yield below, next(owners, self.name)

    @property
    def signed(self) -> list[TableHistory]:
        """Every version table whose rows the same transaction rows sign."""
        signing = self.blueprint.transaction_class
        links: list[Any] = [link for link in self.manager.coverage.links.values() if link.transaction_class is signing]
        return list({history: None for each in (*blueprints_of(signing), *links) for history in each.histories})


async def vacuum(session: AsyncSession, *models: type) -> int:
    """Delete the versions that are stored exactly as their predecessors; returns how many. A, B, A stays.

    A transaction of which nothing is left goes too. Three statements for each table: those of the models and of the
    links between them, or, without ``models``, all that this session records. Raises `ClassNotVersioned`.
    """

    def run(sync: Session) -> int:
        sync.flush()
        return sum(
            vacuum_table(
                kept.connection,
                kept.blueprint.history,
                kept.blueprint.transaction_table,
                kept.signed,
                entity=kept.entity,
            )
            for kept in _chosen(sync, models)
        )

    return await require_async(session).run_sync(run)


async def backfill(session: AsyncSession, *models: type, batch: int = 10_000) -> int:
    """Give an INSERT version to every live row whose newest version is missing or a DELETE; returns how many.

    Rows of the models and of the links between them, or, without ``models``, of all that this session records. In
    statements of ``batch`` rows, at the session's transaction; idempotent. Raises `ClassNotVersioned`.
    """

    def run(sync: Session) -> int:
        sync.flush()
        total = 0
        for kept in _chosen(sync, models):
            recorder = kept.manager.recorder(sync)
            if recorder is None:
                raise ImproperlyConfigured("this session is outside the scope of make_versioned(session=...).")
            place = (kept.connection, kept.blueprint.transaction_class)
            made = backfill_table(
                kept.connection,
                kept.blueprint.history,
                kept.blueprint.transaction_table,
                recorder.sign(place),
                batch=batch,
                entity=kept.entity,
            )
            for history, _ in kept.tables:
                recorder.ledgers.put(place, recorder.ledgers.at(place).wrote(history, rows=made))
            total += made
        return total

    return await require_async(session).run_sync(run)


async def verify(session: AsyncSession, *models: type) -> list[Discrepancy]:
    """List what history does not account for; empty where nothing went unrecorded.

    Four statements for each table: those of the models and of the links between them, or, without ``models``, all that
    this session records. Raises `ClassNotVersioned`.
    """

    def run(sync: Session) -> list[Discrepancy]:
        sync.flush()
        return [
            discrepancy
            for kept in _chosen(sync, models)
            for history, name in kept.tables
            for discrepancy in verify_table(kept.connection, history, name)
        ]

    return await require_async(session).run_sync(run)


def _chosen(session: Session, models: tuple[type, ...]) -> Iterator[_Kept]:
    blueprints = [blueprint_of(model) for model in models]
    managers = dict.fromkeys(get_versioning_manager(model) for model in models) or active_managers(session)
    for manager in managers:
        mine = [each for each in blueprints if each.model in manager.models]
        mine = mine if models else [blueprint_of(model) for model in manager.models]
        # The classes of a hierarchy share tables, and are maintained together.
        for blueprint in {each.history: each for each in reversed(mine)}.values():
            yield _Kept(manager, _connection(session, blueprint.model), blueprint)
        tables = {history.table for blueprint in mine for history in blueprint.histories}
        for link in manager.coverage.links.values():
            if tables & {foreign_key.column.table for foreign_key in link.history.table.foreign_keys}:
                yield _Kept(manager, _connection(session, link.model), link)


def _connection(session: Session, model: Any) -> Connection:
    return session.connection(bind_arguments={"mapper": model.__mapper__})

"""Maintain the history of whole models at once: begin it late, take out repetitions, prove that it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session

from async_continuum.build import Blueprint, LinkBlueprint, TableHistory, blueprint_of, blueprints_of, united
from async_continuum.dialects import MarkedKeys
from async_continuum.errors import ImproperlyConfigured
from async_continuum.maintain import (
    Discrepancy,
    Progress,
    Range,
    begin,
    claim,
    count_rows,
    is_plain,
    lacks,
    mend_chains,
    ranges,
    record_orphans,
    telling,
    vacuum_table,
    verify_table,
)
from async_continuum.manager.manager import VersioningManager
from async_continuum.manager.recorder import Recorder
from async_continuum.manager.setup import active_managers, get_versioning_manager
from async_continuum.native import records
from async_continuum.read import AnySession, require_async
from async_continuum.record import TableChanges, changes_of_table


@dataclass(frozen=True, eq=False, slots=True)
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


async def vacuum(session: AnySession, *models: type) -> int:
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


async def backfill(
    session: AnySession,
    *models: type,
    batch: int = 10_000,
    repair: bool = False,
    commit: bool = False,
    progress: Progress | None = None,
) -> int:
    """Give an INSERT version to every live row whose newest version is missing or a DELETE; returns how many.

    Rows of the models and of the links between them, or, without ``models``, of all that this session records. In
    statements of ``batch`` rows, in the order of their keys, at the session's transaction; idempotent. Writers of the
    rows of a batch are waited for, and wait until the transaction ends.

    ``repair`` also records what else `verify` would report, as of now: rows that were changed, rows that went, chains
    that broke. ``commit`` commits after each batch, so that writers wait for one batch at most, and what is done stays
    done when it is interrupted: call it again. ``progress`` is called after each batch with the name of the table, how
    many of its rows were looked at and how many there are; without it, a terminal shows a bar where tqdm is installed.

    Raises `ClassNotVersioned`.
    """

    def run(sync: Session) -> int:
        sync.flush()
        with telling(progress) as told:
            work = _Backfill(sync, batch, repair, commit, told)
            return sum(work.fill(kept) for kept in list(_chosen(sync, models)))

    if batch < 1:
        raise ValueError(f"batch={batch}: a statement takes at least one row.")
    return await require_async(session).run_sync(run)


@dataclass(frozen=True, eq=False, slots=True)
class _Backfill:
    """How history is begun. Lives for one call."""

    session: Session
    batch: int
    repair: bool
    commit: bool
    told: Progress | None

    def fill(self, kept: _Kept) -> int:
        """Begin, or mend, the history of one model or association table."""
        connection = self._connection(kept)
        total = 0 if self.told is None else count_rows(connection, kept.blueprint.history)
        if self.repair:
            for table, _ in kept.tables:
                mend_chains(connection, table)
            return self._recorded(kept, total) + self._bury(kept)
        return self._copied(kept, total) if self._is_plain(kept) else self._recorded(kept, total)

    def _is_plain(self, kept: _Kept) -> bool:
        connection, history = self._connection(kept), kept.blueprint.history
        if not is_plain(connection, history) or records(history, connection):
            return False
        # What this transaction has recorded already, only the statements of the recording can add to.
        return history not in self._recorder(kept).ledgers.at((connection, kept.blueprint.transaction_class)).tables

    def _copied(self, kept: _Kept, total: int) -> int:
        """Copy the rows that history lacks, range by range; nothing else goes with their versions."""
        made = 0
        for number, rows in enumerate(self._ranges(kept), start=1):
            if lacks(self._connection(kept), rows):
                made += self._copy(kept, rows)
            self._tell(kept, number, total)
        return made

    def _copy(self, kept: _Kept, rows: Range) -> int:
        recorder, history = self._recorder(kept), kept.blueprint.history
        place = (self._connection(kept), kept.blueprint.transaction_class)
        recorder.before_flush()
        made = begin(place[0], rows, recorder.sign(place))
        if made is None:
            changes, made = self._claimed(kept, rows)
            recorder.record_rows(changes)
            return made
        recorder.ledgers.put(place, recorder.ledgers.at(place).wrote(history, rows=made))
        recorder.flushed()
        return made

    def _recorded(self, kept: _Kept, total: int) -> int:
        """Record the rows that history lacks as those that a statement has inserted."""
        made = 0

        def all_changes() -> Iterator[TableChanges]:
            nonlocal made
            for number, rows in enumerate(self._ranges(kept), start=1):
                changes, found = self._claimed(kept, rows)
                made += found
                yield from changes
                self._tell(kept, number, total)

        if not self.commit:
            self._recorder(kept).record_rows(all_changes())
        else:
            for each in all_changes():
                self._recorder(kept).record_rows([each])
        return made

    def _claimed(self, kept: _Kept, rows: Range) -> tuple[list[TableChanges], int]:
        place, history = self._connection(kept), kept.blueprint.history
        keys, found = claim(place, rows, repair=self.repair)
        fresh = keys if isinstance(keys, MarkedKeys) else frozenset(keys)
        return [changes_of_table(place, kept.blueprint, history, keys, fresh)] if found else [], found

    def _ranges(self, kept: _Kept) -> Iterator[Range]:
        return ranges(lambda: self._connection(kept), kept.blueprint.history, batch=self.batch)

    def _tell(self, kept: _Kept, number: int, total: int) -> None:
        if self.told is not None:
            self.told(kept.blueprint.history.table.name, min(number * self.batch, total), total)
        if self.commit:
            self.session.commit()

    def _bury(self, kept: _Kept) -> int:
        recorder = self._recorder(kept)
        place = (self._connection(kept), kept.blueprint.transaction_class)
        made = record_orphans(place[0], kept.blueprint.history, recorder.sign(place))
        for each, _ in kept.tables:
            recorder.ledgers.put(place, recorder.ledgers.at(place).wrote(each, rows=made))
        if self.commit:
            self.session.commit()
        return made

    def _recorder(self, kept: _Kept) -> Recorder:
        recorder = kept.manager.recorder(self.session)
        if recorder is None:
            raise ImproperlyConfigured("this session is outside the scope of make_versioned(session=...).")
        return recorder

    def _connection(self, kept: _Kept) -> Connection:
        return _connection(self.session, kept.blueprint.model) if self.commit else kept.connection


async def verify(session: AnySession, *models: type) -> list[Discrepancy]:
    """List what history does not account for; empty where nothing went unrecorded.

    Four statements for each table: those of the models and of the links between them, or, without ``models``, all that
    this session records. Raises `ClassNotVersioned`, and `ImproperlyConfigured` where nobody records the session and no
    models are named.
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
    # Concrete classes below one have tables of their own.
    blueprints = [below for model in models for below in united(blueprint_of(model))]
    managers = dict.fromkeys(get_versioning_manager(each.model) for each in blueprints) or active_managers(session)
    if not managers:
        # Nothing would be looked at, and "nothing is missing" be said.
        raise ImproperlyConfigured("no manager records this session: name the models, or call make_versioned() first.")
    for manager in managers:
        mine = [each for each in blueprints if each.model in manager.models]
        mine = mine if models else [blueprint_of(model) for model in manager.models if _reaches(session, model)]
        # The classes of a hierarchy share tables, and are maintained together.
        for blueprint in {each.history: each for each in reversed(mine)}.values():
            yield _Kept(manager, _connection(session, blueprint.model), blueprint)
        tables = {history.table for blueprint in mine for history in blueprint.histories}
        for link in manager.coverage.links.values():
            if tables & {foreign_key.column.table for foreign_key in link.history.table.foreign_keys}:
                yield _Kept(manager, _connection(session, link.model), link)


def _reaches(session: Session, model: Any) -> bool:
    """Say whether a session has an engine for a model; one that is bound by model need not have one for all."""
    try:
        session.get_bind(mapper=model.__mapper__)
    except UnboundExecutionError:
        return False
    return True


def _connection(session: Session, model: Any) -> Connection:
    return session.connection(bind_arguments={"mapper": model.__mapper__})

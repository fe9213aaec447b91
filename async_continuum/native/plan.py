"""Say in plain names which table's changes triggers record, where, and under whose transactions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2s
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy import Sequence as DatabaseSequence

from async_continuum.build import TableHistory, may_have_twins
from async_continuum.declare import COMPANIONS, Companion, OnTruncate
from async_continuum.native.conditions import Condition, classes_of, kept_condition, recorded_condition
from async_continuum.native.written import frozen, listed

# What the text of the triggers has been since; a new text makes installed triggers stale.
FORMAT = 4


@dataclass(frozen=True, slots=True)
class CompanionPlan:
    """A table whose rows belong to transactions, in plain names; it stands in the schema of theirs. A value."""

    name: str
    transaction_id: str = "transaction_id"
    follows: tuple[str, ...] = ()
    """Its other columns that may hold the id of the same transaction."""
    keeps: bool = False
    """Whether a row of it keeps its transaction, where no version is left."""
    names: str | None = None
    """Its column that says of which class the transaction changed something, where it holds nothing else."""


@dataclass(frozen=True, slots=True)
class TransactionPlan:
    """The transaction table that triggers sign with, in plain names. A value."""

    name: str
    schema: str | None = None
    columns: tuple[str, ...] = ("remote_addr",)
    """Its columns beside ``id`` and ``issued_at``: what a session's context may fill."""
    sequence: str | None = None
    """The sequence of its ids, where the column has no default of its own in the database."""
    sequence_schema: str | None = None
    companions: tuple[CompanionPlan, ...] = ()
    """What plugins keep beside transactions."""

    def translated(self, schemas: Mapping[str | None, str | None]) -> TransactionPlan:
        """Replace schemas as ``schema_translate_map`` does."""
        return replace(
            self,
            schema=schemas.get(self.schema, self.schema),
            sequence_schema=schemas.get(self.sequence_schema, self.sequence_schema),
        )


@dataclass(frozen=True, slots=True)
class ChainedTable:
    """One of the tables that hold the rows of an entity together, under joined inheritance. A value."""

    name: str
    versions: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    """In the order of the topmost table's key."""
    schema: str | None = None
    versions_schema: str | None = None
    flags: tuple[tuple[str, str], ...] = ()
    nulled: tuple[str, ...] = ()

    def translated(self, schemas: Mapping[str | None, str | None]) -> ChainedTable:
        """Replace schemas as ``schema_translate_map`` does."""
        return replace(
            self,
            schema=schemas.get(self.schema, self.schema),
            versions_schema=schemas.get(self.versions_schema, self.versions_schema),
        )


@dataclass(frozen=True, slots=True)
class TriggerPlan:
    """One table whose changes are recorded by triggers, in plain names. A value.

    It knows no model and no metadata, so that a migration which holds it, as `as_dict` gives it, can be replayed when
    the models have become others.
    """

    name: str
    versions: str
    columns: tuple[str, ...]
    """The columns that history keeps, called alike in both tables."""
    key: tuple[str, ...]
    transaction: TransactionPlan
    schema: str | None = None
    versions_schema: str | None = None
    begins: str = "transaction_id"
    ends: str | None = "end_transaction_id"
    """None under the strategy 'subquery'."""
    operation: str = "operation_type"
    twins: tuple[str, ...] | None = None
    """Where the table may hold a key several times, as an association table may: the columns by which one of such
    rows is the first, which counts; none, for their place in the table."""
    on_truncate: OnTruncate = "record"
    append_only: bool = False
    """Whether history may be changed by nothing but recording."""
    kept: Condition | None = None
    """Which rows are of a class whose history is kept, where others share the table; under joined inheritance, the
    topmost one."""
    recorded: Condition | None = None
    """Which rows are recorded (``record_if``); likewise."""
    chain: tuple[ChainedTable, ...] = ()
    """All tables of a joined hierarchy, the topmost first, this one among them: they are versioned together."""
    names_class: str | None = None
    """The column of the topmost of them by which its rows say of which class they are; of one table, with `classes`."""
    entity: str | None = None
    """What a companion that names classes calls the class of these rows."""
    classes: tuple[tuple[str, str], ...] = ()
    """Where several classes share the table: what ``names_class`` holds, as SQL, and what the class is called."""
    flags: tuple[tuple[str, str], ...] = ()
    """Columns, each with the one of the version table that says whether the transaction has changed it."""
    nulled: tuple[str, ...] = ()
    """The columns in which a DELETE version holds NULL."""

    @property
    def place(self) -> int:
        """Give this table's place in its chain."""
        places = (i for i, each in enumerate(self.chain) if (each.schema, each.name) == (self.schema, self.name))
        return next(places, 0)

    @property
    def hierarchy(self) -> tuple[TriggerPlan, ...]:
        """Give the plans of all tables of its chain, which hold for all of them alike; of a table alone, its own."""
        return tuple(
            replace(
                self,
                name=each.name,
                schema=each.schema,
                versions=each.versions,
                versions_schema=each.versions_schema,
                columns=each.columns,
                key=each.key,
                flags=each.flags,
                nulled=each.nulled,
            )
            for each in self.chain
        ) or (self,)

    def with_columns(self, named: Callable[[tuple[str, ...]], tuple[str, ...]]) -> TriggerPlan:
        """Give the plan of a table whose columns have changed, in its chain as well."""
        columns, key, place = named(self.columns), named(self.key), self.place
        chain = tuple(
            replace(each, columns=columns, key=key) if number == place else each
            for number, each in enumerate(self.chain)
        )
        told = next(iter(named((self.names_class or "",))), None) if self.classes else self.names_class
        classes = self.classes if told else ()
        return replace(self, columns=columns, key=key, chain=chain, names_class=told, classes=classes)

    @property
    def fullname(self) -> str:
        """What the metadata calls the table."""
        return self.name if self.schema is None else f"{self.schema}.{self.name}"

    @property
    def fingerprint(self) -> str:
        """Give a hash of all that the triggers are made of; it stands in their comments."""
        content = json.dumps([FORMAT, self.as_dict()], sort_keys=True)
        return f"async_continuum {blake2s(content.encode(), digest_size=8).hexdigest()}"

    def as_dict(self) -> dict[str, Any]:
        """Give the plan as literals: strings, lists, None; what a migration script writes down."""
        plain: dict[str, Any] = listed(asdict(self))
        return plain

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> TriggerPlan:
        """Read what `as_dict` gave."""
        signing = frozen(given["transaction"])
        companions = tuple(CompanionPlan(**each) for each in signing.get("companions", ()))
        parts: dict[str, Any] = {"transaction": TransactionPlan(**{**signing, "companions": companions})}
        parts["chain"] = tuple(ChainedTable(**frozen(each)) for each in given.get("chain") or ())
        for name in ("kept", "recorded"):
            parts[name] = Condition(**frozen(given[name])) if given.get(name) else None
        return cls(**{**frozen(given), **parts})

    def translated(self, schemas: Mapping[str | None, str | None]) -> TriggerPlan:
        """Replace schemas as ``schema_translate_map`` does."""
        return replace(
            self,
            schema=schemas.get(self.schema, self.schema),
            versions_schema=schemas.get(self.versions_schema, self.versions_schema),
            transaction=self.transaction.translated(schemas),
            chain=tuple(each.translated(schemas) for each in self.chain),
        )


def plan_of(history: TableHistory, transactions: Table, *, entity: str | None = None) -> TriggerPlan:
    """Describe the triggers of a table's history, signed in ``transactions``; ``entity`` is its class."""
    table, versions = history.table, history.version_table
    leader = history.leader or history
    named = any(each.names is not None for each in companions_of(transactions))
    classes = classes_of(history) if named else ()
    column = leader.table.c[leader.names_class] if leader.names_class else None
    return TriggerPlan(
        name=table.name,
        schema=table.schema,
        versions=versions.name,
        versions_schema=versions.schema,
        columns=tuple(table.c[key].name for key in history.columns),
        key=tuple(table.c[key].name for key in history.key),
        begins=versions.c[history.begins].name,
        ends=None if history.ends is None else versions.c[history.ends].name,
        operation=versions.c[history.operation].name,
        twins=tuple(column.name for column in table.primary_key.columns) if _may_have_twins(history) else None,
        transaction=transaction_plan_of(transactions),
        on_truncate=history.settings.on_truncate,
        append_only=history.settings.append_only,
        entity=entity if named else None,
        classes=classes,
        flags=_flags(history),
        nulled=_nulled(history),
        kept=kept_condition(leader),
        recorded=recorded_condition(leader),
        chain=tuple(map(_chained, (leader, *leader.followers))) if leader.followers else (),
        names_class=column.name if column is not None and (classes or leader.followers) else None,
    )


def _may_have_twins(history: TableHistory) -> bool:
    # Rows without one of their ends are no links, and a unique constraint takes any number of them.
    return may_have_twins(history) or (history.is_link and any(history.table.c[name].nullable for name in history.key))


def companions_of(transactions: Table) -> tuple[CompanionPlan, ...]:
    """Describe what plugins keep beside a transaction table."""
    found: Sequence[Companion] = transactions.info.get(COMPANIONS, ())
    return tuple(
        CompanionPlan(
            name=each.table.name,
            transaction_id=each.transaction_id.name,
            follows=tuple(column.name for column in each.follows),
            keeps=each.keeps,
            names=None if each.names is None else each.names.name,
        )
        for each in found
    )


def records(history: TableHistory, connection: Connection) -> bool:
    """Say whether triggers record this table on this connection: of the databases, PostgreSQL's do."""
    return history.settings.native_versioning and connection.dialect.name == "postgresql"


def transaction_plan_of(table: Table) -> TransactionPlan:
    sequence: Any = table.c.id.default
    named = isinstance(sequence, DatabaseSequence)
    return TransactionPlan(
        name=table.name,
        schema=table.schema,
        columns=tuple(column.name for column in table.c if column.name not in ("id", "issued_at")),
        sequence=sequence.name if named else None,
        sequence_schema=sequence.schema if named else None,
        companions=companions_of(table),
    )


def _chained(history: TableHistory) -> ChainedTable:
    table, versions = history.table, history.version_table
    return ChainedTable(
        name=table.name,
        schema=table.schema,
        versions=versions.name,
        versions_schema=versions.schema,
        columns=tuple(table.c[key].name for key in history.columns),
        key=tuple(table.c[key].name for key in history.key),
        flags=_flags(history),
        nulled=_nulled(history),
    )


def _flags(history: TableHistory) -> tuple[tuple[str, str], ...]:
    return tuple(
        (history.table.c[each.beside].name, each.column.name)
        for each in history.added
        if each.says_changed and each.beside is not None
    )


def _nulled(history: TableHistory) -> tuple[str, ...]:
    # No version can be loaded without the columns that name its class.
    stays = {*history.key, *history.class_columns}
    columns = [history.table.c[key] for key in history.columns if key not in stays]
    return tuple(column.name for column in columns if history.extras.deleted_value(history, column) is not None)

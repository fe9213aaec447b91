"""Say in plain names which table's changes triggers record, where, and under whose transactions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import blake2s
from typing import Any, Literal

from sqlalchemy import Sequence as DatabaseSequence
from sqlalchemy import Table, UniqueConstraint

from async_continuum.build import TableHistory

OnTruncate = Literal["record", "refuse"]

# What the text of the triggers has been since; a new text makes installed triggers stale.
FORMAT = 1


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
    unique: bool = True
    """Whether the table itself holds a key only once; an association table need not."""
    on_truncate: OnTruncate = "record"

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
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in {**asdict(self), "transaction": _listed(asdict(self.transaction))}.items()
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> TriggerPlan:
        """Read what `as_dict` gave."""
        transaction = TransactionPlan(**_frozen(given["transaction"]))
        return cls(**{**_frozen(given), "transaction": transaction})

    def translated(self, schemas: Mapping[str | None, str | None]) -> TriggerPlan:
        """Replace schemas as ``schema_translate_map`` does."""
        transaction = replace(
            self.transaction,
            schema=schemas.get(self.transaction.schema, self.transaction.schema),
            sequence_schema=schemas.get(self.transaction.sequence_schema, self.transaction.sequence_schema),
        )
        return replace(
            self,
            schema=schemas.get(self.schema, self.schema),
            versions_schema=schemas.get(self.versions_schema, self.versions_schema),
            transaction=transaction,
        )


def plan_of(history: TableHistory, transactions: Table, *, on_truncate: OnTruncate = "record") -> TriggerPlan:
    """Describe the triggers of a table's history, signed in ``transactions``."""
    table, versions = history.table, history.version_table
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
        unique=_is_unique(table, {table.c[key].name for key in history.key}),
        transaction=_transaction_plan(transactions),
        on_truncate=on_truncate,
    )


def _transaction_plan(table: Table) -> TransactionPlan:
    sequence: Any = table.c.id.default
    named = isinstance(sequence, DatabaseSequence)
    return TransactionPlan(
        name=table.name,
        schema=table.schema,
        columns=tuple(column.name for column in table.c if column.name not in ("id", "issued_at")),
        sequence=sequence.name if named else None,
        sequence_schema=sequence.schema if named else None,
    )


def _is_unique(table: Table, key: set[str]) -> bool:
    unique = [table.primary_key, *(each for each in table.constraints if isinstance(each, UniqueConstraint))]
    names = [{column.name for column in each.columns} for each in unique]
    for index in table.indexes:
        whole = index.dialect_options["postgresql"]["where"] is None and len(index.expressions) == len(index.columns)
        if index.unique and whole:
            names.append({column.name for column in index.columns})
    return any(each and each <= key for each in names)


def _listed(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


def _frozen(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}

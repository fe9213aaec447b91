"""Write the names and operators of trigger functions so that no search path and no column's name changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from async_continuum.build import fit
from async_continuum.native.plan import TransactionPlan, TriggerPlan

# Operators are found by the search path unless they are named in full: a writer must not be able to replace them.
EQ = "OPERATOR(pg_catalog.=)"
NE = "OPERATOR(pg_catalog.<>)"
LT = "OPERATOR(pg_catalog.<)"
GT = "OPERATOR(pg_catalog.>)"
# Row images: what is stored, under no collation and no type's own equality.
# https://www.postgresql.org/docs/current/functions-comparisons.html
DIFFERS = "OPERATOR(pg_catalog.*<>)"

ROLES = ("insert", "update", "delete", "truncate")
"""What the triggers of a table are there for."""


def quoted(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | None) -> str:
    """Quote a string."""
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"


def relation(name: str, schema: str | None) -> str:
    """Name a table as the DDL's own search path sees it; what that is, is settled when the DDL runs."""
    return quoted(name) if schema is None else f"{quoted(schema)}.{quoted(name)}"


def dollar_quoted(body: str) -> str:
    """Quote a text by a tag that does not occur in it."""
    tag = next(tag for tag in (f"$ac{n}$" for n in count()) if tag not in body)
    return f"{tag}{body}{tag}"


def trigger_name(role: str) -> str:
    """Name a trigger; on each table alike."""
    return f"async_continuum_{role}"


def function_of(plan: TriggerPlan, role: str) -> str:
    """Name a function of one table; it stands in the schema of the version table."""
    return fit(f"{plan.versions}_on_{role}")


def function_of_transactions(plan: TransactionPlan, role: str) -> str:
    """Name a function of the transaction table; it stands in its schema."""
    return fit(f"{plan.name}_{role}")


@dataclass(frozen=True, slots=True)
class Words:
    """What the functions of one table are written with.

    Words between two @@ stand for what is known only where the DDL runs: which schema a name means there.
    """

    plan: TriggerPlan

    @property
    def versions(self) -> str:
        return "@@versions@@"

    @property
    def live(self) -> str:
        return "@@live@@"

    @property
    def begins(self) -> str:
        return quoted(self.plan.begins)

    @property
    def ends(self) -> str:
        return quoted(self.plan.ends or "")

    @property
    def operation(self) -> str:
        return quoted(self.plan.operation)

    @property
    def columns(self) -> str:
        return ", ".join(quoted(name) for name in self.plan.columns)

    @property
    def target(self) -> str:
        """The columns that are written: those that history keeps, whose version it is, and what has changed."""
        return ", ".join([self.columns, self.begins, self.operation, *self._flags])

    @property
    def _flags(self) -> list[str]:
        return [quoted(flag) for _, flag in self.plan.flags]

    @property
    def replaced(self) -> str:
        """Overwrite a version by one that was to be inserted, but for its operation."""
        written = [*map(quoted, self.plan.columns), *self._flags]
        return ", ".join(f"{column}=excluded.{column}" for column in written)

    @property
    def all_changed(self) -> str:
        """Say of every column that it has changed."""
        return ", true" * len(self.plan.flags)

    @property
    def changed(self) -> str:
        """Say of every column whether it has, of a row whose newest earlier version is ``b``."""
        whole = f"b.operation IS NULL OR b.operation {EQ} 2"
        return "".join(f", ({whole} OR b.ac_changed_{i})" for i, _ in enumerate(self.plan.flags))

    @property
    def compared(self) -> str:
        """Compare each column of ``n`` with the same of ``b``, for `changed`."""
        return "".join(
            f", ROW(b.{quoted(name)})::pg_catalog.record {DIFFERS} ROW(n.{quoted(name)})::pg_catalog.record"
            f" AS ac_changed_{i}"
            for i, (name, _) in enumerate(self.plan.flags)
        )

    def gone(self, rows: str) -> str:
        """List what a DELETE version holds of ``rows``."""
        nulled = set(self.plan.nulled)
        return ", ".join("NULL" if name in nulled else f"{rows}.{quoted(name)}" for name in self.plan.columns)

    def of(self, rows: str, names: Sequence[str] | None = None) -> str:
        """List columns of ``rows``, all that history keeps unless some are named."""
        return ", ".join(f"{rows}.{quoted(name)}" for name in (self.plan.columns if names is None else names))

    def same(self, a: str, b: str) -> str:
        """Two rows of one entity."""
        pairs = (f"{a}.{quoted(name)} @@equals{i}@@ {b}.{quoted(name)}" for i, name in enumerate(self.plan.key))
        return " AND ".join(pairs)

    def differs(self, a: str, b: str) -> str:
        """Two rows that are stored differently in a column that history keeps."""
        return f"ROW({self.of(a)})::pg_catalog.record {DIFFERS} ROW({self.of(b)})::pg_catalog.record"

    def differs_from_one(self, a: str) -> str:
        """A row that is stored otherwise than ``ac_n``, which holds the columns that history keeps."""
        return f"ROW({self.of(a)})::pg_catalog.record {DIFFERS} ac_n"

    def wanted(self, row: str) -> str:
        """A live row that is recorded; empty where all are."""
        return " AND ".join(call for call in (self._asked("kept", row), self._asked("recorded", row)) if call)

    def going(self, row: str) -> str:
        """A row whose end is recorded: also that of one which history says is there."""
        kept, recorded = self._asked("kept", row), self._asked("recorded", row)
        if recorded:
            known = (
                f"(SELECT k.{self.operation} FROM ONLY {self.versions} k WHERE {self.same('k', row)}"
                f" ORDER BY k.{self.begins} DESC LIMIT 1)"
            )
            recorded = f"({recorded} OR {known} {NE} 2)"
        return " AND ".join(call for call in (kept, recorded) if call)

    def _asked(self, role: str, row: str) -> str:
        condition = self.plan.kept if role == "kept" else self.plan.recorded
        return "" if condition is None else f"@@{role}@@({self.of(row, condition.columns)})"

    def only(self, rows: str, *, going: bool = False) -> str:
        """Restrict rows of a transition table, or of the table, to those that are recorded."""
        condition = self.going("r") if going else self.wanted("r")
        return f"(SELECT r.* FROM {rows} r WHERE {condition})" if condition else rows

    @property
    def key_of_conflict(self) -> str:
        """The primary key of the version table."""
        return ", ".join(quoted(name) for name in (*self.plan.key, self.plan.begins))

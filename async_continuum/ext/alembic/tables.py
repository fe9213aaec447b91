"""Name a live table and its history as a migration script does, which knows no models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, TableClause, Update, and_, column, select, table, update

from async_continuum.schema import fill_open_versions


@dataclass(frozen=True, slots=True)
class Tables:
    """A live table and its version table. A value."""

    live: str
    versions: str
    schema: str | None = None
    versions_schema: str | None = None
    key: tuple[str, ...] = ("id",)
    transaction_column_name: str = "transaction_id"
    end_transaction_column_name: str | None = "end_transaction_id"
    """None under the strategy 'subquery'."""
    operation_type_column_name: str = "operation_type"

    @classmethod
    def of(cls, live: str, given: Mapping[str, Any]) -> Tables:
        """Take what a script says, and what is so by itself. Raises `TypeError` for an unknown name."""
        known = {"versions": f"{live}_version", "versions_schema": given.get("schema"), **given}
        return cls(live, **{**known, "key": tuple(known.get("key", ("id",)))})

    @property
    def places(self) -> tuple[tuple[str, str | None], tuple[str, str | None]]:
        """Both tables, each with its schema."""
        return (self.live, self.schema), (self.versions, self.versions_schema)

    def fill_past(self, filled: Column[Any], value: Any) -> Update:
        """Give every version a value, or an expression over its columns."""
        rows = table(self.versions, column(filled.name, filled.type), schema=self.versions_schema)
        return update(rows).values({rows.c[filled.name]: value})

    def fill_open(self, names: Sequence[str]) -> Update:
        """Give the newest version of each live row what the row holds."""
        return fill_open_versions(
            self._live(names),
            names,
            versions=self._versions(names),
            key=self.key,
            transaction_column_name=self.transaction_column_name,
            end_transaction_column_name=self.end_transaction_column_name,
            operation_type_column_name=self.operation_type_column_name,
        )

    def restore(self, name: str) -> Update:
        """Give each live row what its newest version holds."""
        live, versions = self._live([name]), self._versions([name])
        begins = versions.c[self.transaction_column_name]
        same = and_(*(versions.c[part] == live.c[part] for part in self.key))
        newest = select(versions.c[name]).where(same).order_by(begins.desc()).limit(1)
        return update(live).values({live.c[name]: newest.correlate(live).scalar_subquery()})

    def _live(self, names: Sequence[str]) -> TableClause:
        return table(self.live, *map(column, (*self.key, *names)), schema=self.schema)

    def _versions(self, names: Sequence[str]) -> TableClause:
        own = (self.transaction_column_name, self.end_transaction_column_name, self.operation_type_column_name)
        return table(self.versions, *map(column, (*self.key, *filter(None, own), *names)), schema=self.versions_schema)

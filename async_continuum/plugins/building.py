"""Build the tables and classes that a plugin puts beside a ``Transaction`` class, and take them away again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Column, MetaData, Sequence, Table
from sqlalchemy.orm import Mapper, Session, foreign, registry, relationship

from async_continuum.build import fit, forget_table, map_class, unmap_class
from async_continuum.build import transaction_id_type as _transaction_id_type
from async_continuum.declare import COMPANIONS, Companion
from async_continuum.errors import ImproperlyConfigured


class TransactionBuild:
    """What a plugin builds with. Lives as long as the ``Transaction`` class that it stands beside."""

    def __init__(self, transaction_class: Any, records: Callable[[Session], bool]) -> None:
        self.transaction_class = transaction_class
        self.records = records
        """Says whether what is flushed in a session is recorded."""
        # Where what is written beside a transaction row finds it.
        self.companions: list[Companion] = transaction_class.__table__.info.setdefault(COMPANIONS, [])

    @property
    def transaction_table(self) -> Table:
        """The table of transactions."""
        table: Table = self.transaction_class.__table__
        return table

    @property
    def registry(self) -> registry:
        """The registry of the user's models."""
        mapper: Mapper[Any] = self.transaction_class.__mapper__
        return mapper.registry

    @property
    def metadata(self) -> MetaData:
        """Where the user's tables are."""
        return self.transaction_table.metadata

    def transaction_id(self, *, primary_key: bool = False, name: str = "transaction_id", **options: Any) -> Column[Any]:
        """Make a column for the id of a transaction."""
        return Column(name, _transaction_id_type(), primary_key=primary_key, autoincrement=False, **options)

    def generated_id(self, table_name: str) -> Column[Any]:
        """Make a primary key that the database counts up, as that of transactions."""
        # Without a schema of ours it stands where SQLAlchemy-Continuum has put it: where the search path says.
        transaction_id = self.transaction_table.c.id.default
        schema = transaction_id.schema if isinstance(transaction_id, Sequence) else None
        sequence = Sequence(fit(f"{table_name}_id_seq"), schema=schema)
        return Column("id", _transaction_id_type(), sequence, primary_key=True, autoincrement=True)

    def table(
        self,
        name: str,
        *parts: Any,
        transaction_id: str = "transaction_id",
        follows: tuple[str, ...] = (),
        keeps: bool = False,
        names: str | None = None,
        **options: Any,
    ) -> Table:
        """Make a table whose rows belong to transactions, in the schema of theirs.

        The column named ``transaction_id`` says to which; with those named by ``follows`` it is kept in step when a
        transaction gets a later id. ``keeps``: a transaction with such a row stays, even where it changed nothing.
        ``names``: the column that says of which class the transaction changed something, where a row says no more;
        triggers write such rows.
        """
        schema = self.transaction_table.schema
        if (f"{schema}.{name}" if schema else name) in self.metadata.tables:
            raise ImproperlyConfigured(
                f"a table {name!r} exists already: name the plugin's differently, table_name=...", option="plugins"
            )
        table = Table(name, self.metadata, *parts, schema=schema, **options)
        named = None if names is None else table.c[names]
        columns = tuple(table.c[each] for each in follows)
        companion = Companion(table, table.c[transaction_id], columns, keeps, names=named)
        table.info[COMPANIONS] = companion
        self.companions.append(companion)
        return table

    def map(self, cls: type, table: Table, **properties: Any) -> None:
        """Map a class to a table made here."""
        map_class(self.registry, cls, table, known_as=f"_AsyncContinuum{cls.__name__}", properties=properties)
        made = table.info[COMPANIONS] = replace(table.info[COMPANIONS], model=cls)
        self.companions[:] = [made if each.table is table else each for each in self.companions]

    def relate(self, name: str, cls: type, transaction_id: Column[Any], **options: Any) -> None:
        """Give the ``Transaction`` class a view-only relation to the rows of a class made here."""
        mapper: Mapper[Any] = self.transaction_class.__mapper__
        joined = self.transaction_table.c.id == foreign(transaction_id)
        mapper.add_property(name, relationship(cls, primaryjoin=joined, viewonly=True, **options))

    def relate_back(self, name: str, cls: type, transaction_id: Column[Any]) -> None:
        """Give a class made here a view-only relation to the transaction of each row."""
        mapper: Mapper[Any] = cls.__mapper__  # type: ignore[attr-defined]
        joined = self.transaction_table.c.id == foreign(transaction_id)
        mapper.add_property(
            name, relationship(self.transaction_class, primaryjoin=joined, viewonly=True, uselist=False)
        )

    def undo(self) -> None:
        """Take tables and classes away again; stored rows stay."""
        for companion in reversed(self.companions):
            if companion.model is not None:
                unmap_class(companion.model, known_as=f"_AsyncContinuum{companion.model.__name__}")
            forget_table(companion.table)
        self.transaction_table.info.pop(COMPANIONS, None)

"""Store why a transaction was made: the pairs that `versioning_context(meta=...)` gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from sqlalchemy import Column, ColumnElement, Index, Unicode, UnicodeText, inspect, select
from sqlalchemy.orm import attribute_keyed_dict

from async_continuum.plugins.base import Plugin, Signing
from async_continuum.plugins.building import TransactionBuild
from async_continuum.write import Rows


class TransactionMetaBase:
    """One pair of a transaction's meta. Lives as long as its session."""

    transaction_id: Any
    key: Any
    value: Any

    def __repr__(self) -> str:
        return f"<TransactionMeta {self.transaction_id} {self.key}={self.value!r}>"


class TransactionMetaPlugin(Plugin):
    """Keep the table ``transaction_meta(transaction_id, key, value)``, and ``await tx.awaitable_attrs.meta``, a dict.

    Values are stored as text. They come with the transaction's first recorded flush; until then, ``tx.meta`` of the
    object that `current_transaction` gives is a dict to set, and wins over contexts.
    """

    stores_meta: ClassVar[bool] = True

    def __init__(self, *, table_name: str = "transaction_meta") -> None:
        self._table_name = table_name

    def transaction_built(self, build: TransactionBuild) -> None:
        table = build.table(
            self._table_name,
            build.transaction_id(primary_key=True),
            Column("key", Unicode(255), primary_key=True),
            Column("value", UnicodeText()),
            sqlite_with_rowid=False,
        )
        # For the last transactions with a key; values may be of any length, which no index takes everywhere.
        Index(f"ix_{self._table_name}_key", table.c.key, table.c.transaction_id)
        pair = type("TransactionMeta", (TransactionMetaBase,), {"__module__": __name__})
        build.map(pair, table)
        keyed = attribute_keyed_dict("key")
        build.relate("meta_relation", pair, table.c.transaction_id, collection_class=keyed)
        build.transaction_class.meta = MetaOf()
        build.transaction_table.info[self] = table

    def transaction_rows(self, signing: Signing) -> Sequence[Rows]:
        table = signing.transaction_class.__table__.info[self]
        rows = [{"key": key, "value": str(value)} for key, value in signing.meta.items() if value is not None]
        return [(table, rows)] if rows else []


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError(
        "meta is given before a transaction is recorded: versioning_context(meta=...), set_context(), or on what "
        "current_transaction() gives before the first flush."
    )


class Meta(dict[str, str]):
    """What a recorded transaction's meta says. A value: it came with the row, and is not changed later."""

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = setdefault = pop = popitem = clear = _refuse


class MetaOf:
    """``meta`` on a transaction: its pairs, loaded as a relation is; on the class: ``meta["key"]`` is a SQL expression.

    Plain access to what is not loaded is SQLAlchemy's own error, as for any relation. On a transaction that is not
    recorded yet it is a plain dict, to set, and what it holds is stored with the row.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner = owner

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return MetaColumns(owner)
        if inspect(instance).key is None:
            # Beside the mapped attributes, where the recording finds it.
            return instance.__dict__.setdefault("meta", {})
        return Meta({pair.key: pair.value for pair in instance.meta_relation.values()})

    def __set__(self, instance: Any, value: Mapping[str, Any]) -> None:
        if inspect(instance).key is not None:
            _refuse()
        instance.__dict__["meta"] = dict(value)


class MetaColumns:
    """Names the meta of transactions in a query."""

    def __init__(self, transaction_class: Any) -> None:
        self._transaction_class = transaction_class

    def __getitem__(self, key: str) -> ColumnElement[Any]:
        """Give the value that transactions have for a key, or NULL."""
        transaction: Any = self._transaction_class
        pair: Any = transaction.meta_relation.property.mapper.class_
        found = select(pair.value).where(pair.transaction_id == transaction.id, pair.key == key)
        return found.correlate(transaction).scalar_subquery()

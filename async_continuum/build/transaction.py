"""Build the transaction table and class of a registry: one row for each transaction that changed something."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Index, Sequence, String, Table, inspect
from sqlalchemy.orm import Mapper, foreign, relationship

from async_continuum.build.mapped import map_class, map_declared, unmap_class
from async_continuum.build.names import fit
from async_continuum.build.own_transaction import give_back, given_class, is_taken_over, take_over
from async_continuum.build.types import UtcDateTime, transaction_id_type
from async_continuum.declare import Settings, versioned_table
from async_continuum.errors import ImproperlyConfigured

_KNOWN_AS = "_AsyncContinuumTransaction"


def build_transaction_class(mapper: Mapper[Any], base: type, settings: Settings) -> Any:
    """Map a ``Transaction`` class derived from ``base``, beside the first versioned model of a registry."""
    given = given_class(settings.transaction_cls, mapper.registry, base)
    if given is not None and inspect(given, raiseerr=False) is not None:
        return take_over(given, mapper.registry)
    model, metadata = mapper.class_, versioned_table(mapper).metadata
    name = getattr(given, "__tablename__", settings.transaction_table_name)
    schema = settings.schema if settings.schema is not None else metadata.schema
    if (f"{schema}.{name}" if schema else name) in metadata.tables:
        raise ImproperlyConfigured(
            f"a table {name!r} exists already: name ours differently, "
            "make_versioned(options={'transaction_table_name': 'version_transaction'}).",
            option="transaction_table_name",
        )
    # Without a schema of ours it stands where SQLAlchemy-Continuum has put it: where the search path says.
    sequence = Sequence(fit(f"{name}_id_seq"), schema=settings.schema)
    columns: list[Column[Any]] = [
        Column("id", transaction_id_type(), sequence, primary_key=True, autoincrement=True),
        Column("issued_at", UtcDateTime(), default=lambda: datetime.now(UTC)),
        Column("remote_addr", String(50)),
    ]
    # An id that was handed out must never come back, or two commits would merge under one.
    options: dict[str, Any] = {"schema": schema, "sqlite_autoincrement": True}
    namespace: dict[str, Any] = {
        "__module__": model.__module__,
        # Pickle finds it by the model, because a registry has no other place of its own.
        "__qualname__": f"{model.__qualname__}.__blueprint__.transaction_class",
        "__doc__": "One transaction that changed something versioned: when, who, from where.",
        "__versioned_models__": [],
    }
    # Known by another name, so that a model of the user's own may be called Transaction too.
    if given is None:
        transaction_class = type("Transaction", (base,), namespace)
        map_class(mapper.registry, transaction_class, Table(name, metadata, *columns, **options), known_as=_KNOWN_AS)
    else:
        namespace |= {"__doc__": given.__doc__, "metadata": metadata, "__tablename__": name, "__table_args__": options}
        namespace |= {column.key: column for column in columns}
        transaction_class = type("Transaction", (given,), namespace)
        map_declared(mapper.registry, transaction_class, known_as=_KNOWN_AS)
    table = transaction_class.__table__  # type: ignore[attr-defined]
    Index(fit(f"ix_{name}_issued_at"), table.c.issued_at, table.c.id)
    return transaction_class


def remove_transaction_class(transaction_class: Any) -> None:
    """Take a transaction class out of its registry, and its table out of the metadata; the user's own stays."""
    if is_taken_over(transaction_class):
        give_back(transaction_class)
        return
    forget_table(transaction_class.__table__)
    unmap_class(transaction_class, known_as=_KNOWN_AS)


def forget_table(table: Table) -> None:
    """Take a table out of its metadata, and the sequences of its columns; what is stored stays."""
    table.metadata.remove(table)
    for column in table.c:
        if isinstance(column.default, Sequence):
            # Private: a metadata has no public way to forget a sequence, and create_all would make it.
            table.metadata._sequences.pop(column.default._key, None)
            objects: set[Any] = getattr(table.metadata, "_objects", set())
            objects.discard(column.default)


def needs_user(transaction_class: Any) -> bool:
    """Say whether a transaction class has no relation to users yet."""
    return not transaction_class.__mapper__.has_property("user")


def add_user(transaction_class: Any, user: Mapper[Any]) -> None:
    """Give the transaction class its ``user_id`` and ``user``, once the user class is mapped.

    The column has no foreign key: a user can be deleted, and history still says who.
    """
    if len(user.primary_key) != 1:
        raise ImproperlyConfigured(
            f"user_cls {user.class_.__name__!r} has a composite primary key, which one column user_id cannot hold. "
            "Switch it off with make_versioned(user_cls=None).",
            model=user.class_,
            option="user_cls",
        )
    mapper: Mapper[Any] = transaction_class.__mapper__
    table = transaction_class.__table__
    key = user.primary_key[0]
    user_id: Column[Any] | None = table.c.get("user_id")
    if user_id is None:
        user_id = Column("user_id", key.type)
        table.append_column(user_id)
        Index(fit(f"ix_{table.name}_user_id"), user_id)
        mapper.add_property("user_id", user_id)
    mapper.add_property(
        "user", relationship(user.class_, primaryjoin=foreign(user_id) == key, viewonly=True, uselist=False)
    )

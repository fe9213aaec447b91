"""Ask a transaction what it changed, and a query which transactions touched something."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from sqlalchemy import Table, and_, exists, inspect, literal, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncSession
from sqlalchemy.orm import validates
from sqlalchemy.sql import ColumnElement

from async_continuum.build import Blueprint, blueprints_of, identity_of, own_rows
from async_continuum.read.held import refreshing
from async_continuum.read.source import AnySession, require_async, session_of
from async_continuum.read.touched import comes_with_above, of_class, touched_ids

if TYPE_CHECKING:
    from sqlalchemy.orm import InstrumentedAttribute


class TransactionBase(AsyncAttrs):
    """Base of every ``Transaction`` class: who changed something, when, from where. Lives as long as its session."""

    __versioned_models__: ClassVar[list[type]] = []
    __entity_names__: ClassVar[Table | None] = None
    """Where a plugin notes the names of the classes that each transaction has changed."""

    if TYPE_CHECKING:
        id: InstrumentedAttribute[int]
        issued_at: InstrumentedAttribute[datetime]
        remote_addr: InstrumentedAttribute[str | None]
        user_id: InstrumentedAttribute[Any]
        user: InstrumentedAttribute[Any]
        changes: Any
        meta: Any

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        identity = inspect(self).identity
        return f"<Transaction {identity[0] if identity else 'not recorded yet'}>"

    @classmethod
    def touched(cls, target: Any, *, children: Sequence[str] = ()) -> ColumnElement[bool]:
        """Restrict transactions to those that changed a class, or one entity, given as an object.

        ``children`` names relations to many: what belonged to the entity then and was changed, came or went counts as
        well; of many-to-many relations the links. Raises `ClassNotVersioned`, `TypeError` for a version class, and
        `ValueError` for an object that was never stored or a relation that leads to no children.
        """
        ids = touched_ids(cls, target, children)
        return cls.__mapper__.columns["id"].in_(ids)  # type: ignore[attr-defined, no-any-return]

    async def changed_entities(self) -> dict[Any, list[Any]]:
        """Give the versions made at this transaction, by version class; one query for each versioned class.

        Raises `NoSession`.
        """
        return (await changed_entities(session_of(self), [self]))[self]

    async def entity_names(self) -> list[str]:
        """Give the names of the classes of which this transaction changed something; one query.

        Raises `NoSession`.
        """
        session = session_of(self)
        transaction_id = _id_of(self)
        noted = type(self).__entity_names__
        names = []
        if noted is not None:
            names.append(select(noted.c.entity_name.label("name")).where(noted.c.transaction_id == transaction_id))
        for blueprint in blueprints_of(type(self)):
            if noted is not None:
                if not blueprint.history.shared:
                    continue
                # A statement on one class of a hierarchy is noted under that one's name.
                names[0] = names[0].where(noted.c.entity_name != blueprint.model.__name__)
            versions = blueprint.own.version_table
            made = and_(versions.c[blueprint.own.begins] == transaction_id, *of_class(blueprint, exactly=True))
            names.append(
                select(literal(blueprint.model.__name__).label("name")).where(
                    exists(select(null()).select_from(versions).where(made))
                )
            )
        result = await session.scalars(union_all(*names), bind_arguments={"mapper": inspect(type(self))})
        return sorted(result)

    @validates("user")
    def _sign(self, _: str, user: Any) -> Any:
        # The relation is view-only, so that no user is ever drawn into this session; its key is what is stored.
        key = None if user is None else identity_of(user)
        if user is not None and key is None:
            raise ValueError(f"{user!r} has no key yet: flush it first")
        self.user_id = None if key is None else key[0]
        return user


T = TypeVar("T", bound=TransactionBase)


async def changed_entities(session: AnySession, transactions: Iterable[T]) -> dict[T, dict[Any, list[Any]]]:
    """Give the versions made at each of many transactions, by version class.

    One query for each versioned class, however many transactions there are; with `TransactionChangesPlugin` for each
    class that they changed, and one to know these. Raises `ValueError` for a transaction that is not recorded yet.
    """
    source = require_async(session)
    found = {transaction: _id_of(transaction) for transaction in transactions}
    changed: dict[int, dict[Any, list[Any]]] = {transaction_id: {} for transaction_id in found.values()}
    for cls in dict.fromkeys(map(type, found)):
        ids = [transaction_id for transaction, transaction_id in found.items() if type(transaction) is cls]
        for blueprint in await _changed_blueprints(source, cls, ids):
            version_class = blueprint.version_class
            begins = getattr(version_class, blueprint.begins)
            order = [getattr(version_class, name) for name in blueprint.key]
            made = select(version_class).where(_among(begins, ids)).order_by(begins, *order)
            if inspect(version_class).polymorphic_on is None:
                made = made.where(*of_class(blueprint, exactly=True))
            made = made.where(*own_rows(version_class, blueprint))
            async with refreshing(source, blueprint) as options:
                versions = (await source.scalars(made, execution_options=options)).all()
            for version in versions:
                # A class above gives the versions of those below it, as objects of their own classes.
                changed[getattr(version, blueprint.begins)].setdefault(type(version), []).append(version)
    return {transaction: changed[transaction_id] for transaction, transaction_id in found.items()}


def _among(begins: Any, ids: list[int]) -> Any:
    # An equality PostgreSQL would pass on to every table of a hierarchy, and of a transaction that it has no statistics
    # of expect one version: of ten thousand, it would look through all of one table for each of another.
    return begins.in_(ids) if len(ids) > 1 else begins.between(ids[0], ids[0])


async def _changed_blueprints(session: AsyncSession, cls: type[TransactionBase], ids: list[int]) -> list[Blueprint]:
    known = [
        blueprint
        for blueprint in blueprints_of(cls)
        if blueprint.version_class is not None and not comes_with_above(blueprint)
    ]
    noted = cls.__entity_names__
    if noted is None:
        return known
    named = select(noted.c.entity_name).where(noted.c.transaction_id.in_(ids)).distinct()
    names = set(await session.scalars(named, bind_arguments={"mapper": inspect(cls)}))
    return [blueprint for blueprint in known if blueprint.history.shared or blueprint.model.__name__ in names]


def _id_of(transaction: TransactionBase) -> int:
    if not isinstance(transaction, TransactionBase):
        raise TypeError(f"expected a Transaction, got {transaction!r}")
    identity = inspect(transaction).identity
    if identity is None:
        raise ValueError(f"{transaction!r}: its row comes with the first recorded flush")
    return int(identity[0])

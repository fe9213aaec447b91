"""Ask a transaction what it changed, and a query which transactions touched something."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Table, and_, exists, inspect, literal, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import Mapper, validates
from sqlalchemy.sql import ColumnElement

from async_continuum.build import Blueprint, blueprint_of, blueprints_of, identity_of
from async_continuum.errors import ClassNotVersioned
from async_continuum.read.source import session_of

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
    def touched(cls, target: Any) -> ColumnElement[bool]:
        """Restrict transactions to those that changed a class, or one entity, given as an object.

        Raises `ClassNotVersioned`, and `ValueError` for an object that was never stored.
        """
        blueprint = _signed_by(cls, target)
        # A change makes a version in every table of the entity's class; only its own table tells it from others.
        history = blueprint.own
        versions = history.version_table
        signed = select(versions.c[history.begins]).where(*_of_class(blueprint))
        if isinstance(target, type) and cls.__entity_names__ is not None:
            noted = cls.__entity_names__
            names = [model.__name__ for model in cls.__versioned_models__ if issubclass(model, blueprint.model)]
            signed = select(noted.c.transaction_id).where(noted.c.entity_name.in_(names))
        if not isinstance(target, type):
            identity = identity_of(target)
            if identity is None:
                raise ValueError(f"{target!r} was never stored, so no transaction touched it")
            # The identity is in the order of the primary key, which is that of the history's key.
            signed = signed.where(*(c == v for c, v in zip(history.key_of(versions), identity, strict=True)))
        return cls.__mapper__.columns["id"].in_(signed)  # type: ignore[attr-defined, no-any-return]

    async def changed_entities(self) -> dict[Any, list[Any]]:
        """Give the versions made at this transaction, by version class; one query for each versioned class.

        Raises `NoSession`.
        """
        session = session_of(self)
        transaction_id = _id_of(self)
        changed: dict[Any, list[Any]] = {}
        for blueprint in blueprints_of(type(self)):
            if blueprint.version_class is None or _comes_with_above(blueprint):
                continue
            begins = getattr(blueprint.version_class, blueprint.begins)
            order = [getattr(blueprint.version_class, name) for name in blueprint.key]
            made = select(blueprint.version_class).where(begins == transaction_id).order_by(*order)
            if inspect(blueprint.version_class).polymorphic_on is None:
                made = made.where(*_of_class(blueprint, exactly=True))
            # A class above gives the versions of those below it, as objects of their own classes.
            for version in await session.scalars(made, execution_options={"populate_existing": True}):
                changed.setdefault(type(version), []).append(version)
        return changed

    async def entity_names(self) -> list[str]:
        """Give the names of the classes of which this transaction changed something; one query.

        Raises `NoSession`.
        """
        session = session_of(self)
        transaction_id = _id_of(self)
        noted = type(self).__entity_names__
        if noted is not None:
            named = select(noted.c.entity_name).where(noted.c.transaction_id == transaction_id)
            found = await session.scalars(named, bind_arguments={"mapper": inspect(type(self))})
            return sorted(found)
        names = []
        for blueprint in blueprints_of(type(self)):
            versions = blueprint.own.version_table
            made = and_(versions.c[blueprint.own.begins] == transaction_id, *_of_class(blueprint, exactly=True))
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


def _comes_with_above(blueprint: Blueprint) -> bool:
    if blueprint.above is None or blueprint.above.hidden:
        return False
    return inspect(blueprint.version_class).polymorphic_on is not None


def _of_class(blueprint: Blueprint, *, exactly: bool = False) -> list[ColumnElement[bool]]:
    """Restrict the versions of a table that several classes share to those of one, or of it and those below it."""
    mapper: Mapper[Any] | None = None if blueprint.version_class is None else inspect(blueprint.version_class)
    if mapper is None or not blueprint.history.shared:
        return []
    if mapper.polymorphic_on is None:
        return list(_of_no_class_below(blueprint)) if exactly else []
    of = (mapper,) if exactly else mapper.self_and_descendants
    top = blueprint.history.version_table
    names_class: Any = mapper.base_mapper.polymorphic_on
    named: ColumnElement[bool] = names_class.in_([each.polymorphic_identity for each in of])
    if blueprint.own is blueprint.history:
        return [named]
    own = blueprint.own
    same = [a == b for a, b in zip(own.key_of(own.version_table), blueprint.history.key_of(top), strict=True)]
    same.append(own.version_table.c[own.begins] == top.c[blueprint.begins])
    return [exists(select(null()).select_from(top).where(*same, named).correlate(own.version_table))]


def _of_no_class_below(blueprint: Blueprint) -> Iterator[ColumnElement[bool]]:
    """Where no column names the class, an entity is of the lowest one in whose table it has a row."""
    own = blueprint.own
    depth = len(blueprint.histories)
    for other in blueprints_of(blueprint.transaction_class):
        if other.histories[:depth] == blueprint.histories and len(other.histories) > depth:
            below = other.histories[depth]
            rows = below.version_table
            same = [a == b for a, b in zip(below.key_of(rows), own.key_of(own.version_table), strict=True)]
            same.append(rows.c[below.begins] == own.version_table.c[own.begins])
            yield ~exists(select(null()).select_from(rows).where(*same).correlate(own.version_table))


def _signed_by(transaction_class: type[TransactionBase], target: Any) -> Blueprint:
    blueprint = blueprint_of(target)
    if blueprint.transaction_class is not transaction_class:
        raise ClassNotVersioned(target if isinstance(target, type) else type(target))
    return blueprint


def _id_of(transaction: TransactionBase) -> int:
    identity = inspect(transaction).identity
    if identity is None:
        raise ValueError(f"{transaction!r}: its row comes with the first recorded flush")
    return int(identity[0])

"""Turn a moment into the transaction id that was the highest then."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Integer, func, inspect, literal_column, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql import ColumnElement

from async_continuum.build import DELETE_IN_SQL, Blueprint, blueprint_of, find_blueprint
from async_continuum.dialects import shortly_after, shortly_before

Moment = Any
"""An aware `datetime`, a transaction id, a transaction, or a version."""

# What an id of 64 bits stays below.
_ABOVE = 2**63


def bound(moment: Moment, blueprint: Blueprint) -> Any:
    """Give the highest transaction id issued by ``moment``, as a value or as SQL; no IO.

    SQL that is NULL stands for a moment before history began. Raises `ValueError` for a naive `datetime`.
    """
    if isinstance(moment, datetime):
        # Ids and moments are taken one after the other, so that two transactions may be in one order by id and in the
        # other by moment. The highest id is among those issued shortly before the last one: a short index range,
        # where the plain maximum over all that was issued by then would read most of the table.
        issued_at = blueprint.transaction_table.c.issued_at
        by_then = issued_at <= aware(moment)
        last = select(func.max(issued_at)).where(by_then).scalar_subquery()
        near = issued_at >= shortly_before(type_coerce(last, DateTime()))
        return select(func.max(_plain_id(blueprint))).where(by_then, near).scalar_subquery()
    return transaction_id_of(moment)


def first_from(moment: Moment, blueprint: Blueprint) -> Any:
    """Give the lowest transaction id issued at ``moment`` or later, as a value or as SQL; no IO."""
    if isinstance(moment, datetime):
        issued_at = blueprint.transaction_table.c.issued_at
        from_then = issued_at >= aware(moment)
        first = select(func.min(issued_at)).where(from_then).scalar_subquery()
        near = issued_at <= shortly_after(type_coerce(first, DateTime()))
        return select(func.min(_plain_id(blueprint))).where(from_then, near).scalar_subquery()
    return transaction_id_of(moment)


def _plain_id(blueprint: Blueprint) -> ColumnElement[int]:
    # PostgreSQL finds the extreme of a bare indexed column by walking that column's index, past all that is filtered
    # out; of an expression it aggregates what the index on the moments gives.
    plain: ColumnElement[int] = blueprint.transaction_table.c.id + literal_column("0", Integer())
    return plain


def aware(moment: datetime) -> datetime:
    """Refuse a naive `datetime`: nobody knows which moment it means."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} is naive: give a datetime with a timezone, such as datetime.now(UTC).")
    return moment


def transaction_id_of(moment: Moment) -> int:
    """Give the id of a transaction, a version, or of itself."""
    blueprint = find_blueprint(moment)
    if blueprint is not None and isinstance(moment, blueprint.version_class):
        return int(identity_in_order(_identity(moment), blueprint)[-1])
    if hasattr(type(moment), "__versioned_models__"):
        return int(_identity(moment)[0])
    if isinstance(moment, int) and not isinstance(moment, bool):
        if not -_ABOVE <= moment < _ABOVE:
            # No driver takes it for a parameter.
            raise ValueError(f"there is no transaction {moment}")
        return moment
    raise ValueError(f"{moment!r} is no moment: give an aware datetime, a transaction id, a Transaction or a version.")


def _identity(moment: Any) -> tuple[Any, ...]:
    # The identity, rather than an attribute: that may be expired, and must not be loaded here.
    identity: tuple[Any, ...] | None = inspect(moment).identity
    if identity is None:
        raise ValueError(f"{moment!r} has no id yet: it comes with the first recorded flush.")
    return identity


def identity_in_order(identity: tuple[Any, ...], blueprint: Blueprint) -> list[Any]:
    """Sort a version's identity into the model's key, in the model's order, and the transaction id."""
    mapper = inspect(blueprint.version_class)
    names = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    values = dict(zip(names, identity, strict=True))
    return [values[name] for name in (*blueprint.key, blueprint.begins)]


def key_of(version: Any) -> tuple[Any, ...]:
    """Give the key of the entity that a version is of, from its identity."""
    return tuple(identity_in_order(_identity(version), blueprint_of(version))[:-1])


async def require_known(session: AsyncSession, moment: Moment, blueprint: Blueprint) -> None:
    """Refuse a transaction id that was never committed. Raises `ValueError`."""
    if isinstance(moment, datetime):
        aware(moment)
        return
    transaction_id = transaction_id_of(moment)
    if moment is not transaction_id and not isinstance(moment, int):
        return
    table = blueprint.transaction_table
    known = await session.scalar(
        select(table.c.id).where(table.c.id == transaction_id),
        bind_arguments={"mapper": blueprint.transaction_class.__mapper__},
    )
    if known is None:
        raise ValueError(f"there is no transaction {transaction_id}")


def alive(entity: Any, blueprint: Blueprint, moment: Moment) -> ColumnElement[bool]:
    """Restrict versions to those alive at ``moment``."""
    at = bound(moment, blueprint)
    begins, ends = getattr(entity, blueprint.begins), getattr(entity, blueprint.ends)
    operation = getattr(entity, blueprint.operation)
    held: ColumnElement[bool] = (begins <= at) & (ends.is_(None) | (ends > at)) & (operation != DELETE_IN_SQL)
    return held

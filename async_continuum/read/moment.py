"""Turn a moment into the transaction id that was the highest then."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql import ColumnElement

from async_continuum.build import Blueprint, find_blueprint

Moment = Any
"""An aware `datetime`, a transaction id, a transaction, or a version."""


def bound(moment: Moment, blueprint: Blueprint) -> Any:
    """Give the highest transaction id issued by ``moment``, as a value or as SQL; no IO.

    SQL that is NULL stands for a moment before history began. Raises `ValueError` for a naive `datetime`.
    """
    if isinstance(moment, datetime):
        table = blueprint.transaction_table
        return select(func.max(table.c.id)).where(table.c.issued_at <= aware(moment)).scalar_subquery()
    return transaction_id_of(moment)


def first_from(moment: Moment, blueprint: Blueprint) -> Any:
    """Give the lowest transaction id issued at ``moment`` or later, as a value or as SQL; no IO."""
    if isinstance(moment, datetime):
        table = blueprint.transaction_table
        return select(func.min(table.c.id)).where(table.c.issued_at >= aware(moment)).scalar_subquery()
    return transaction_id_of(moment)


def aware(moment: datetime) -> datetime:
    """Refuse a naive `datetime`: nobody knows which moment it means."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} is naive: give a datetime with a timezone, such as datetime.now(UTC).")
    return moment


def transaction_id_of(moment: Moment) -> int:
    """Give the id of a transaction, a version, or of itself."""
    blueprint = find_blueprint(moment)
    if blueprint is not None and isinstance(moment, blueprint.version_class):
        return int(getattr(moment, blueprint.begins))
    if hasattr(type(moment), "__versioned_models__"):
        if moment.id is None:
            raise ValueError(f"{moment!r} has no id yet: it comes with the first recorded flush.")
        return int(moment.id)
    if isinstance(moment, int) and not isinstance(moment, bool):
        return moment
    raise ValueError(f"{moment!r} is no moment: give an aware datetime, a transaction id, a Transaction or a version.")


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
    held: ColumnElement[bool] = (begins <= at) & (ends.is_(None) | (ends > at)) & (operation != 2)
    return held

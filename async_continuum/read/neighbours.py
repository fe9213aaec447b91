"""Walk along the history of one entity: the version before, the version after, and which one this is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, inspect, select

from async_continuum.build import Blueprint, blueprint_of, own_rows
from async_continuum.read.held import refreshing
from async_continuum.read.moment import identity_in_order, key_of
from async_continuum.read.predecessors import topmost
from async_continuum.read.source import session_of


async def neighbour(version: Any, *, later: bool) -> Any | None:
    """Give the version before or after; None at the ends. Raises `NoSession`."""
    # Under one key may have lived an object of another class of the hierarchy.
    blueprint = topmost(blueprint_of(version))
    session = session_of(version)
    statement = _neighbours(version, blueprint, select(blueprint.version_class), later=later)
    begins = getattr(blueprint.version_class, blueprint.begins)
    nearest = (
        statement.where(*own_rows(blueprint.version_class, blueprint))
        .order_by(begins.asc() if later else begins.desc())
        .limit(1)
    )
    async with refreshing(session, blueprint, key_of(version)) as options:
        return await session.scalar(nearest, execution_options=options)


async def index_of(version: Any) -> int:
    """Count the versions before this one: 0 for the first. Raises `NoSession`."""
    blueprint = topmost(blueprint_of(version))
    session = session_of(version)
    own = own_rows(blueprint.version_class, blueprint)
    # Only what is named of a class makes SQLAlchemy read it from a union of tables.
    number = func.count(getattr(blueprint.version_class, blueprint.begins)) if own else func.count()
    counted: Select[Any] = select(number).select_from(blueprint.version_class)
    statement = _neighbours(version, blueprint, counted, later=False).where(*own)
    bind = {"mapper": inspect(blueprint.version_class)}
    return int((await session.execute(statement, bind_arguments=bind)).scalar_one())


def _neighbours(version: Any, blueprint: Blueprint, statement: Select[Any], *, later: bool) -> Select[Any]:
    # The identity, rather than the attributes: an attribute may be expired, and must not be loaded here.
    identity = inspect(version).identity
    *key, transaction_id = identity_in_order(identity, blueprint_of(version))
    begins = getattr(blueprint.version_class, blueprint.begins)
    same = [getattr(blueprint.version_class, name) == value for name, value in zip(blueprint.key, key, strict=True)]
    return statement.where(*same, begins > transaction_id if later else begins < transaction_id)

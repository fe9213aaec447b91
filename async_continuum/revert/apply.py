"""Take a version back: make the live object what it was then, changed but not committed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import set_attribute

from async_continuum.build import Blueprint, blueprint_of
from async_continuum.errors import RevertError
from async_continuum.operation import Operation
from async_continuum.read import require_async


async def revert(version: Any, session: AsyncSession) -> Any:
    """Make the entity of ``version`` what it was then, in ``session``; give the live object, or None if it was none.

    Raises `RevertError`, before anything is touched.
    """
    source = require_async(session)
    blueprint = blueprint_of(version)
    missing = set(blueprint.attributes) & set(inspect(version).unloaded)
    if missing or blueprint.operation in inspect(version).unloaded:
        await source.refresh(version)
    live: Any = await source.get(blueprint.model, tuple(getattr(version, name) for name in blueprint.key))
    if getattr(version, blueprint.operation) is Operation.DELETE:
        if live is not None:
            await source.delete(live)
        return None
    if live is None:
        _require_complete(version, blueprint)
        live = _born_again(version, blueprint)
        source.add(live)
        return live
    for name in _settable(blueprint):
        if name not in blueprint.key:
            set_attribute(live, name, getattr(version, name))
    return live


def _settable(blueprint: Blueprint) -> list[str]:
    # A computed value follows from the others, and the counter of optimistic locking goes on counting.
    mapper: Mapper[Any] = inspect(blueprint.model)
    columns = mapper.columns
    return [
        name
        for name in blueprint.attributes
        if columns[name].computed is None and columns[name] is not mapper.version_id_col
    ]


def _born_again(version: Any, blueprint: Blueprint) -> Any:
    # As the ORM's own loading does it: the object existed before, so its __init__ has nothing to say.
    mapper: Mapper[Any] = inspect(blueprint.model)
    live = mapper.class_manager.new_instance()
    for name in _settable(blueprint):
        set_attribute(live, name, getattr(version, name))
    return live


def _require_complete(version: Any, blueprint: Blueprint) -> None:
    mapper: Mapper[Any] = inspect(blueprint.model)
    for name, column in mapper.columns.items():
        if name in blueprint.attributes or getattr(column, "table", None) is not mapper.local_table:
            continue
        if not column.nullable and column.default is None and column.server_default is None:
            raise RevertError(
                f"{blueprint.model.__name__} {getattr(version, blueprint.key[0])!r} is gone, and its column "
                f"{column.name!r} is excluded from history but must not be NULL: there is no value to bring back.",
                version=version,
                path=name,
            )

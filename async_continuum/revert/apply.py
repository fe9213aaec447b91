"""Take a version back: make the live object what it was then, changed but not committed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect, null, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import flag_modified, set_attribute

from async_continuum.build import Blueprint, blueprint_of
from async_continuum.errors import RevertError
from async_continuum.operation import Operation
from async_continuum.read import require_async, same_stored
from async_continuum.revert.identity import has_generated_always, overriding_identity
from async_continuum.revert.values import copied, is_settable, missing_column


async def revert(version: Any, session: AsyncSession) -> Any | None:
    """Make the entity of ``version`` what it was then, in ``session``; give the live object, or None if it was none.

    Raises `RevertError`, before anything is touched.
    """
    source = require_async(session)
    blueprint = blueprint_of(version)
    stored = await _stored(version, blueprint, source)
    model: Any = blueprint.model
    live = await source.get(model, tuple(getattr(stored, name) for name in blueprint.key))
    if getattr(stored, blueprint.operation) is Operation.DELETE:
        if live is not None:
            await source.delete(live)
        return None
    if live is None:
        return await _bring_back(version, stored, blueprint, source)
    if live in source.deleted:
        # Not flushed yet: adding it takes the deletion back.
        source.add(live)
    await _set_back(live, stored, blueprint, source)
    return live


async def _stored(version: Any, blueprint: Blueprint, source: AsyncSession) -> Any:
    # A version that is detached or lives in another session is left alone; what is not loaded is read in ours.
    state = inspect(version)
    if not {*blueprint.attributes, blueprint.operation} & set(state.unloaded):
        return version
    found = await source.get(blueprint.version_class, state.identity, populate_existing=True)
    if found is None:
        raise RevertError("its row is not stored any more.", version=version)
    return found


async def _set_back(live: Any, stored: Any, blueprint: Blueprint, source: AsyncSession) -> None:
    mapper: Mapper[Any] = inspect(blueprint.model)
    names = [name for name in blueprint.attributes if name not in blueprint.key and is_settable(name, mapper)]
    unloaded = inspect(live).unloaded.intersection(names)
    if unloaded:
        await source.refresh(live, attribute_names=sorted(unloaded))
    for name in names:
        value, column = getattr(stored, name), mapper.columns[name]
        present = getattr(live, name)
        if same_stored(present, value, column.type):
            continue
        if present is not None and value is not None and column.type.compare_values(present, value):
            # Equal to Python and stored differently, as 1.0 and 1.00 are: the ORM would not send it.
            flag_modified(live, name)
        set_attribute(live, name, copied(value))


async def _bring_back(version: Any, stored: Any, blueprint: Blueprint, source: AsyncSession) -> Any:
    mapper: Mapper[Any] = inspect(blueprint.model)
    missing = missing_column(blueprint)
    if missing is not None:
        key = tuple(getattr(stored, name) for name in blueprint.key)
        raise RevertError(
            f"{blueprint.model.__name__} {key[0] if len(key) == 1 else key!r} is gone, and its column "
            f"{mapper.columns[missing].name!r} is excluded from history but must not be NULL: there is no value to "
            "bring back.",
            version=version,
            path=missing,
        )
    # As the ORM's own loading does it: the object existed before, so its __init__ has nothing to say.
    live = mapper.class_manager.new_instance()
    in_sql: dict[str, Any] = {}
    for name in blueprint.attributes:
        column = mapper.columns[name]
        if name not in blueprint.key and not is_settable(name, mapper):
            continue
        value = getattr(stored, name)
        if value is None and (column.default is not None or column.server_default is not None):
            # The ORM takes None on an INSERT for "not set", and would store the default.
            in_sql[name] = null()
        elif value is None and column.type.should_evaluate_none:
            # NULL and the JSON value null are both None to Python: what is stored is copied on the server.
            in_sql[name] = _in_sql(stored, name, blueprint)
        else:
            set_attribute(live, name, copied(value))
    # Past the events of the attributes: a mutable type would refuse SQL.
    inspect(live).dict.update(in_sql)
    source.add(live)
    if in_sql or has_generated_always(mapper):
        # Flushed at once, where the object would hold SQL until then, or where the INSERT needs a word of its own.
        async with overriding_identity(source, mapper):
            await source.flush()
        unloaded = inspect(live).unloaded.intersection(in_sql)
        if unloaded:
            await source.refresh(live, attribute_names=sorted(unloaded))
    return live


def _in_sql(stored: Any, name: str, blueprint: Blueprint) -> Any:
    version_class = blueprint.version_class
    same = [getattr(version_class, each) == getattr(stored, each) for each in (*blueprint.key, blueprint.begins)]
    return select(inspect(version_class).columns[name]).where(*same).scalar_subquery()

"""Say where versions are: by the key of their entity and the id of their transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper

from async_continuum.build import Blueprint
from async_continuum.dialects import Keys, keys_for
from async_continuum.read.moment import identity_in_order

Place = tuple[Any, ...]
"""A version's key and transaction id, in the model's order."""


def identity(version: Any, blueprint: Blueprint) -> list[Any]:
    """Give the key and transaction id of a version, in the model's order."""
    return identity_in_order(inspect(version).identity, blueprint)


def way_to(session: AsyncSession, blueprint: Blueprint, places: Sequence[tuple[Any, ...]]) -> Keys:
    """Choose how the places of versions are sent to the database."""
    mapper: Mapper[Any] = inspect(blueprint.version_class)
    types = [mapper.columns[name].type for name in (*blueprint.key, blueprint.begins)]
    return keys_for(types, places, session.sync_session.get_bind(inspect(blueprint.model)).dialect)

"""Tell a query whether it has to overwrite what its session holds already: a flush may have closed it since."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper

_FEW = 1000


def may_hold(session: AsyncSession, version_class: type) -> bool:
    """Say whether a session may hold versions of a class or of its hierarchy; no IO.

    Where it holds none, a query needs no ``populate_existing``, which resets every relation of every object.
    In a session with very many objects none is looked at: that would take longer than what it saves.
    """
    held = session.identity_map
    if len(held) > _FEW:
        return True
    mapper: Mapper[Any] = inspect(version_class)
    family = {each.class_ for each in mapper.base_mapper.self_and_descendants}
    # A list, because an object may go while the keys are looked at, and its key with it.
    return any(key[0] in family for key in list(held.keys()))

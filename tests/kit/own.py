"""Give a test a Base of its own, versioned by a manager of its own, and take both away afterwards."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase

from async_continuum import VersioningManager, make_versioned, remove_versioning
from tests.kit import mode

Own = Callable[..., tuple[type[DeclarativeBase], VersioningManager]]


def new_base(metadata: MetaData | None = None) -> type[DeclarativeBase]:
    """Make a declarative base that no other test knows."""
    chosen = MetaData() if metadata is None else metadata

    class Base(AsyncAttrs, DeclarativeBase):
        metadata = chosen

    return Base


@pytest.fixture(autouse=True)
def own() -> Iterator[Own]:
    """`Base, manager = own(options={...})`. Autouse, so that it outlives the proof of the invariants."""
    made: list[VersioningManager] = []

    def make(base: type[DeclarativeBase] | None = None, **arguments: Any) -> Any:
        chosen = new_base() if base is None else base
        manager = VersioningManager()
        made.append(manager)
        if mode.is_native():
            arguments["options"] = mode.options(**arguments.get("options", {}))
        return chosen, make_versioned(**{"mapper": chosen, "manager": manager, "user_cls": None, **arguments})

    yield make
    for manager in made:
        remove_versioning(manager=manager)

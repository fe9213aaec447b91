"""Name what every step speaks of: the operation that made a version, and the change of a value."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple


class Operation(IntEnum):
    """What a transaction did to an entity, net. The numbers are those stored by SQLAlchemy-Continuum."""

    INSERT = 0
    UPDATE = 1
    DELETE = 2


class Change(NamedTuple):
    """The value of one attribute before and after."""

    old: Any
    new: Any

"""Refuse to read on an object of the past what history does not hold: never the present value, never a silent None."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy import event
from sqlalchemy.orm import InstanceState

from async_continuum.errors import ColumnNotVersioned
from async_continuum.past.standin import missing_in


class InThePast:
    """What every session in the past derives from, so that it is known for one."""


@dataclass(frozen=True, eq=False, slots=True)
class NotVersioned:
    """Stands in an object of the past for an attribute that has no past. Lives as long as the object."""

    name: str

    def __call__(self, state: InstanceState[Any], passive: Any) -> NoReturn:
        raise ColumnNotVersioned(getattr(state.class_, self.name))


def guard(model: type) -> None:
    """Have the objects of a model refuse in the past what history does not hold. Twice is once."""
    for name in ("load", "refresh", "expire"):
        if not event.contains(model, name, _withhold):
            event.listen(model, name, _withhold, raw=True, propagate=True)


def _withhold(state: InstanceState[Any], *_: Any) -> None:
    session: Any = state.session
    if not isinstance(session, InThePast):
        return
    for name, column in state.mapper.columns.items():
        if name not in state.dict and missing_in(column) is not None:
            # Otherwise reading it would load it, and find nothing.
            state.expired_attributes.discard(name)
            if not state.callables:
                state.callables = {}
            state.callables[name] = NotVersioned(name)

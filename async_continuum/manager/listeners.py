"""Listen to SQLAlchemy's events, and stop listening without a trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event

Listened = tuple[Any, str, Callable[..., Any]]


class Listeners:
    """Every event that a manager listens to. Lives as long as the manager is active."""

    __slots__ = ("_listened",)

    def __init__(self) -> None:
        self._listened: list[Listened] = []

    def listen(self, target: Any, name: str, function: Callable[..., Any], **options: Any) -> None:
        """Listen to one event of ``target``."""
        event.listen(target, name, function, **options)
        self._listened.append((target, name, function))

    def remove_all(self) -> None:
        """Stop listening to all of them."""
        while self._listened:
            event.remove(*self._listened.pop())

"""Let others act between the preparation of a statement and its execution."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only


@contextmanager
def meanwhile(engine: AsyncEngine, beginning: str, act: Callable[[], Awaitable[None]]) -> Iterator[None]:
    """Act once, when the first statement of this engine that begins so is about to be sent."""
    acted = list[str]()

    def before(_: Any, __: Any, text: str, *___: Any) -> None:
        if text.startswith(beginning) and not acted:
            acted.append(text)
            await_only(act())

    event.listen(engine.sync_engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", before)
    assert acted

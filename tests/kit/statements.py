"""Count what one engine sends to its database."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, overload

from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine


@dataclass(eq=False)
class Statements(Sequence[str]):
    """The SQL texts that were executed, oldest first. Grows until its `with` block ends."""

    texts: list[str] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)

    def matching(self, *parts: str) -> list[str]:
        """Give the texts that contain every one of the parts, whatever their case."""
        return [text for text in self.texts if all(part.lower() in text.lower() for part in parts)]

    def starting(self, *words: str) -> list[str]:
        """Give the texts that begin with one of the words: `starting("INSERT", "WITH")`."""
        return [text for text in self.texts if text.lstrip().upper().startswith(words)]

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self.texts[index]

    def __len__(self) -> int:
        return len(self.texts)

    def __str__(self) -> str:
        return "\n".join(f"{number}. {text}" for number, text in enumerate(self.texts, start=1))


@contextmanager
def count_statements(engine: AsyncEngine | Engine) -> Iterator[Statements]:
    """Record every statement of this engine, an executemany as one, without the BEGIN that SQLite's recipe adds."""
    statements = Statements()
    watched = engine.sync_engine if isinstance(engine, AsyncEngine) else engine

    def record(
        connection: object, cursor: object, text: str, parameters: Any, context: object, executemany: object
    ) -> None:
        if not text.startswith("BEGIN"):
            statements.texts.append(text)
            statements.parameters.append(parameters)

    event.listen(watched, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(watched, "before_cursor_execute", record)

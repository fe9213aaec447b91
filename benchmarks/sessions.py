"""Give a synchronous session the awaited methods of an asynchronous one, so that a workload is written once.

Nothing is waited for: a coroutine over these sessions runs to its end at the first step.
"""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Self

from sqlalchemy import Engine
from sqlalchemy.orm import Session


class AwaitedSession:
    """A synchronous session under the names of an `AsyncSession`. Lives as long as the session."""

    __slots__ = ("sync_session",)

    def __init__(self, session: Session) -> None:
        self.sync_session = session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.sync_session.close()

    def add(self, instance: Any) -> None:
        self.sync_session.add(instance)

    def add_all(self, instances: Iterable[Any]) -> None:
        self.sync_session.add_all(instances)

    async def delete(self, instance: Any) -> None:
        self.sync_session.delete(instance)

    async def flush(self) -> None:
        self.sync_session.flush()

    async def commit(self) -> None:
        self.sync_session.commit()

    async def get(self, model: type, key: Any) -> Any:
        return self.sync_session.get(model, key)

    async def execute(self, statement: Any, parameters: Any = None) -> Any:
        return self.sync_session.execute(statement, parameters)

    async def scalars(self, statement: Any, parameters: Any = None) -> Any:
        return self.sync_session.scalars(statement, parameters)

    async def scalar(self, statement: Any, parameters: Any = None) -> Any:
        return self.sync_session.scalar(statement, parameters)

    async def run_sync(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(self.sync_session, *arguments)


def awaited_sessions(engine: Engine, **options: Any) -> Callable[[], AwaitedSession]:
    """Make sessions of a synchronous engine that a workload can await."""
    return lambda: AwaitedSession(Session(engine, **options))


def run_to_the_end(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits, in a thread without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("this coroutine waits for something")

"""Create the tables of a test's models, and prove at its end that their history is whole."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase

from async_continuum import VersioningManager, versioning_manager
from tests.kit.asleep import ASLEEP
from tests.kit.invariants import assert_invariants
from tests.kit.places import Place


@dataclass(eq=False)
class Databases:
    """What one test wrote to, and what it may leave there. Lives for one test.

    Ids in `allowed_empty` are transactions that the test asked for with `current_transaction`.
    """

    place: Place
    engine: AsyncEngine
    unaccounted: bool = False
    allowed_empty: set[int] = field(default_factory=set)
    managers: dict[VersioningManager, None] = field(default_factory=dict)

    async def __call__(
        self, base: type[DeclarativeBase], manager: VersioningManager | None = None, **session_options: Any
    ) -> async_sessionmaker[AsyncSession]:
        """Create the tables of `base` and give sessions on them; `manager` is the one that versions them."""
        if base.metadata is not self.place.made:
            async with self.engine.begin() as connection:
                await connection.run_sync(base.metadata.create_all)
        chosen = versioning_manager if manager is None else manager
        ASLEEP.wake(chosen)
        self.managers[chosen] = None
        return async_sessionmaker(self.engine, **session_options)

    async def assert_invariants(self) -> None:
        """Fail where history is broken. Runs at the end of the test; a test may call it in between."""
        for manager in self.managers:
            await assert_invariants(
                self.engine, manager, allowed_empty=self.allowed_empty, unaccounted=self.unaccounted
            )

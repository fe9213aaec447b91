"""What every workload has: a name, a preparation that is not measured, and the part that is."""

from typing import Any, ClassVar

from benchmarks.place import Place


class Workload:
    """One piece of work, done by every contender. Lives as long as a worker is at it."""

    name: ClassVar[str]
    title: ClassVar[str]
    backends: ClassVar[tuple[str, ...]] = ("postgresql", "sqlite")
    only: ClassVar[frozenset[str] | None] = None
    """The contenders that take part, where not all do."""
    repeats: ClassVar[int] = 3
    """How often the work is done within one measurement, each time after its preparation."""
    rounds: ClassVar[int | None] = None
    """How many rounds are enough, where it is fewer than asked for."""
    inspected: ClassVar[bool] = True
    """Whether statements and memory are looked at, in a run of their own."""
    quick: ClassVar[bool] = True
    """Whether it is part of a quick run."""
    baseline: ClassVar[str | None] = None
    """Whom the contenders are compared with, where it is not the models without history."""
    grown_from: ClassVar[str | None] = None
    """The same work with a shorter history, with which the report compares it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.contender = place.contender

    async def once(self) -> None:
        """Prepare what all runs share."""

    async def before(self) -> None:
        """Prepare one run. Not measured."""

    async def run(self) -> None:
        """Do the work. Measured."""
        raise NotImplementedError

    async def after(self) -> None:
        """Let go of what the run held. Not measured."""

    async def warm_up(self) -> None:
        """Do the work once so that what is made the first time is there."""
        await self.before()
        await self.run()
        await self.after()

    async def check(self) -> None:
        """Raise `WrongResult` if the run has not done what it should: what is not recorded costs nothing."""

    async def check_versions(self, expected: int) -> None:
        """Check how many versions are stored."""
        if self.contender.keeps_history and (found := await self.place.count()) != expected:
            raise WrongResult(f"{self.name}: {expected} versions expected, {found} stored")


class WrongResult(Exception):
    """A contender did not do what a workload asks for."""


def check_equal(what: str, found: Any, expected: Any) -> None:
    """Raise `WrongResult` where two values differ."""
    if found != expected:
        raise WrongResult(f"{what}: {expected} expected, {found} found")

"""Read the models themselves as they were, in a session in the past; without history, the same as they are."""

from sqlalchemy import select

from benchmarks.fill import fill_history
from benchmarks.workloads.base import Workload, check_equal

ENTITIES = 10_000
VERSIONS = 100_000
KEYS = 300


class InThePast(Workload):
    """Queries of live models on ten versions of each of 10,000 entities, when each had five."""

    only = frozenset({"plain", "ours", "ours-subquery"})
    expected: int

    async def once(self) -> None:
        await fill_history(self.place, entities=ENTITIES, versions=VERSIONS, live=ENTITIES)
        self.read = 0

    async def check(self) -> None:
        check_equal(f"{self.name}, {self.contender.name}", self.read, self.expected)


class PastEntities(InThePast):
    """All entities in one query."""

    name = "past.entities"
    title = f"{ENTITIES:,} entities of {VERSIONS:,} versions in a session in the past"
    expected = ENTITIES

    async def run(self) -> None:
        async with self.place.session() as session, self.contender.viewed(session, VERSIONS // 2) as view:
            self.read = len((await view.scalars(select(self.contender.Article))).all())


class PastKeys(InThePast):
    """One entity by its key, again and again, in one session."""

    name = "past.keys"
    title = f"{KEYS} entities by key in a session in the past"
    expected = KEYS

    async def run(self) -> None:
        async with self.place.session() as session, self.contender.viewed(session, VERSIONS // 2) as view:
            found = [await view.get(self.contender.Article, key) for key in range(1, KEYS + 1)]
        self.read = len(found) - found.count(None)


class PastSessions(InThePast):
    """One entity by its key, in a session in the past of its own each time: the moment is looked up as well."""

    name = "past.sessions"
    title = f"{KEYS} sessions in the past, one entity each"
    expected = KEYS

    async def run(self) -> None:
        self.read = 0
        async with self.place.session() as session:
            for key in range(1, KEYS + 1):
                async with self.contender.viewed(session, VERSIONS // 2) as view:
                    self.read += await view.get(self.contender.Article, key) is not None

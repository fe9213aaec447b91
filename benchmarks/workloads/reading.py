"""Read history: an entity's versions with all their changesets, and the state of a table at a past moment."""

from benchmarks.contenders import NotRecorded
from benchmarks.fill import fill_history
from benchmarks.workloads.base import Workload, check_equal

VERSIONS = 1000
ENTITIES = 10_000

SAME_TABLES = "what triggers have written is read as what sessions have"


class ReadChangesets(Workload):
    """All versions of one entity, each with what it changed. Unversioned: as many live objects."""

    name = "read.changesets"
    title = f"{VERSIONS:,} versions with their changesets"

    async def once(self) -> None:
        if self.contender.name == "ours-native":
            raise NotRecorded(SAME_TABLES)
        if self.contender.name == "audit-trail":
            await self._write_them()
        else:
            await fill_history(self.place, entities=10, versions=10 * VERSIONS, live=VERSIONS)
        self.read = 0

    async def _write_them(self) -> None:
        await self.place.empty()
        await self.place.add_articles(1)
        async with self.place.session(expire_on_commit=False) as session:
            article = await session.get(self.contender.Article, 1)
            for i in range(1, VERSIONS):
                article.name = f"version {i}"
                article.views = i + 1
                await session.commit()
        await self.place.analyze()

    async def run(self) -> None:
        async with self.place.session() as session:
            self.read = await self.contender.changesets(session, 1, VERSIONS)

    async def check(self) -> None:
        check_equal(f"{self.name}, {self.contender.name}", self.read, VERSIONS)


class ReadPast(Workload):
    """The state of 10,000 entities when each had two of its four versions. Unversioned: as many live objects."""

    name = "read.past"
    title = f"{ENTITIES:,} entities at a past moment"

    async def once(self) -> None:
        if self.contender.name == "audit-trail":
            raise NotRecorded("a log of differences has no state at a moment")
        if self.contender.name == "ours-native":
            raise NotRecorded(SAME_TABLES)
        await fill_history(self.place, entities=ENTITIES, versions=4 * ENTITIES)
        self.read = 0

    async def run(self) -> None:
        async with self.place.session() as session:
            self.read = await self.contender.past(session, 2 * ENTITIES)

    async def check(self) -> None:
        check_equal(f"{self.name}, {self.contender.name}", self.read, ENTITIES)

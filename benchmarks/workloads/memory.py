"""The peak memory of a flush of 20,000 updates."""

from sqlalchemy import select

from benchmarks.fill import fill_history
from benchmarks.place import range_of_keys
from benchmarks.workloads.base import Workload
from benchmarks.workloads.growth import Growth

ROWS = 20_000


class FlushOfMany(Workload):
    """20,000 loaded objects, one attribute set on each; what counts is the peak."""

    name = "memory.update"
    title = f"flush updating {ROWS:,}"
    repeats = 1
    rounds = 1

    def __init__(self, place: object) -> None:
        super().__init__(place)  # type: ignore[arg-type]
        self.rows = ROWS // 4 if self.place.quick else ROWS

    async def warm_up(self) -> None:
        rows, self.rows = self.rows, 1000
        await super().warm_up()
        self.rows = rows

    async def before(self) -> None:
        if self.contender.name in Growth.only:
            # By the server itself: some contenders would take minutes.
            await fill_history(self.place, entities=self.rows, versions=self.rows)
            return
        await self.place.empty()
        await self.place.add_articles(self.rows)
        await self.place.analyze()

    async def run(self) -> None:
        async with self.place.session() as session:
            articles = (await session.scalars(select(self.contender.Article))).all()
            await self.contender.opening(session)
            for article in articles:
                article.name = f"changed {article.id}"
            await session.flush()
            await self.contender.written(session, "update", range_of_keys(self.rows))
            await session.commit()

    async def check(self) -> None:
        await self.check_versions(2 * self.rows)

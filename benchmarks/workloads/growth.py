"""One update, with ever more versions in the table."""

from benchmarks.fill import fill_history
from benchmarks.workloads.base import Workload

ENTITIES = 1000
TRANSACTIONS = 100


class Growth(Workload):
    """100 transactions of one update, after so many versions of 1,000 entities."""

    versions: int
    repeats = 1
    inspected = False
    only = frozenset(
        {
            "plain",
            "ours",
            "ours-subquery",
            "floor-row",
            "floor-sent",
            "plain-sync",
            "ours-sync",
            "continuum",
            "continuum-subquery",
            "history",
        }
    )

    async def once(self) -> None:
        await fill_history(self.place, entities=ENTITIES, versions=self.versions)
        self.done = 0

    async def before(self) -> None:
        self.session = self.place.session(expire_on_commit=False)
        self.done += 1
        model = self.contender.Article
        first = self.done * TRANSACTIONS % ENTITIES
        keys = range(first + 1, first + TRANSACTIONS + 1)
        self.articles = [await self.session.get(model, key) for key in keys]
        await self.session.commit()

    async def run(self) -> None:
        for article in self.articles:
            await self.contender.opening(self.session)
            article.views += 1
            await self.session.flush()
            await self.contender.written(self.session, "update", [article.id])
            await self.session.commit()

    async def after(self) -> None:
        await self.session.__aexit__(None, None, None)

    async def check(self) -> None:
        await self.check_versions(self.versions + self.done * TRANSACTIONS)


GROWTH: list[type[Growth]] = [
    type(
        f"Growth{label}",
        (Growth,),
        {
            "name": f"growth.{label}",
            "title": f"one update after {number:,} versions",
            "versions": number,
            "quick": number < 1_000_000,
            "grown_from": None if label == "1k" else "growth.1k",
        },
    )
    for label, number in (("1k", 1000), ("100k", 100_000), ("1m", 1_000_000))
]

"""One flush of 1,000 rows: objects change, and the change is flushed and committed. Loading them is not measured."""

from sqlalchemy import select

from benchmarks.place import range_of_keys, rows_of
from benchmarks.workloads.base import Workload

ROWS = 1000
KEYS = range_of_keys(ROWS)


class FlushInsert(Workload):
    """1,000 new objects."""

    name = "flush.insert"
    title = f"flush inserting {ROWS:,}"

    async def before(self) -> None:
        await self.place.empty()
        self.session = self.place.session()

    async def run(self) -> None:
        await self.contender.opening(self.session)
        self.session.add_all(self.place.articles(ROWS))
        await self.session.flush()
        await self.contender.written(self.session, "insert", KEYS)
        await self.session.commit()

    async def after(self) -> None:
        await self.session.__aexit__(None, None, None)

    async def check(self) -> None:
        await self.check_versions(ROWS)


class FlushUpdate(FlushInsert):
    """1,000 loaded objects, one attribute set on each."""

    name = "flush.update"
    title = f"flush updating {ROWS:,}"
    operation = "update"

    async def before(self) -> None:
        await self.place.empty()
        await self.place.add_articles(ROWS)
        await self.place.analyze()
        self.session = self.place.session()
        self.articles = (await self.session.scalars(select(self.contender.Article))).all()

    async def change(self) -> None:
        for article in self.articles:
            article.name = f"changed {article.id}"

    async def run(self) -> None:
        await self.contender.opening(self.session)
        await self.change()
        await self.session.flush()
        await self.contender.written(self.session, self.operation, KEYS)
        await self.session.commit()

    async def after(self) -> None:
        await super().after()
        del self.articles

    async def check(self) -> None:
        await self.check_versions(2 * ROWS)


class FlushDelete(FlushUpdate):
    """1,000 loaded objects, all deleted."""

    name = "flush.delete"
    title = f"flush deleting {ROWS:,}"
    operation = "delete"

    async def change(self) -> None:
        for article in self.articles:
            await self.session.delete(article)


class FlushUnversioned(Workload):
    """300 times a flush of ten objects of a model that keeps no history, of new objects and then of changed ones."""

    name = "flush.unversioned"
    title = "flushes that touch nothing versioned"
    flushes = 150
    rows = 10

    async def before(self) -> None:
        await self.place.empty()

    async def run(self) -> None:
        async with self.place.session(expire_on_commit=False) as session:
            for _ in range(self.flushes):
                notes = rows_of(self.contender.Note, self.rows)
                session.add_all(notes)
                await session.commit()
                for note in notes:
                    note.name = "changed"
                await session.commit()

    async def check(self) -> None:
        await self.check_versions(0)

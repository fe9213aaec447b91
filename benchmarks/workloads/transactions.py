"""300 transactions of one update: one after the other, and 16 at a time."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select

from benchmarks.sessions import run_to_the_end
from benchmarks.workloads.base import Workload

TRANSACTIONS = 300
AT_A_TIME = 16


class TransactionsAlone(Workload):
    """One session, objects that are loaded already; set an attribute, commit, and again."""

    name = "transactions.alone"
    title = f"{TRANSACTIONS} transactions of one update"
    repeats = 1

    async def before(self) -> None:
        await self.place.empty()
        await self.place.add_articles(TRANSACTIONS)
        await self.place.analyze()
        self.session = self.place.session(expire_on_commit=False)
        self.articles = (await self.session.scalars(select(self.contender.Article))).all()
        await self.session.commit()

    async def run(self) -> None:
        for article in self.articles:
            await self.contender.opening(self.session)
            article.name = f"changed {article.id}"
            await self.session.flush()
            await self.contender.written(self.session, "update", [article.id])
            await self.session.commit()

    async def after(self) -> None:
        await self.session.__aexit__(None, None, None)
        del self.articles

    async def check(self) -> None:
        await self.check_versions(2 * TRANSACTIONS)


class TransactionsConcurrent(Workload):
    """16 at a time: get, change, commit, each in a session of its own. SQLite has one writer at a time."""

    name = "transactions.concurrent"
    title = f"{TRANSACTIONS} transactions, {AT_A_TIME} at a time"
    backends = ("postgresql",)
    repeats = 1

    async def before(self) -> None:
        await self.place.empty()
        await self.place.add_articles(TRANSACTIONS)
        await self.place.analyze()

    async def run(self) -> None:
        shares = [range(first, TRANSACTIONS + 1, AT_A_TIME) for first in range(1, AT_A_TIME + 1)]
        if self.contender.synchronous:
            with ThreadPoolExecutor(AT_A_TIME) as threads:
                list(threads.map(lambda share: run_to_the_end(self._change(share)), shares))
        else:
            await asyncio.gather(*map(self._change, shares))

    async def _change(self, keys: range) -> None:
        for key in keys:
            async with self.place.session() as session:
                article = await session.get(self.contender.Article, key)
                await self.contender.opening(session)
                article.name = f"changed {key}"
                await session.flush()
                await self.contender.written(session, "update", [key])
                await session.commit()

    async def check(self) -> None:
        await self.check_versions(2 * TRANSACTIONS)

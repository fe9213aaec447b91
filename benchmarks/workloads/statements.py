"""Statements: one that updates many rows, and the beginning of the history of rows that have none."""

from sqlalchemy import text, update

from benchmarks.contenders import NotRecorded
from benchmarks.floor import Sent
from benchmarks.models import text_for
from benchmarks.workloads.base import Workload

ROWS = 100_000
CHANGED = ROWS // 10
OLD = 1_000_000

_NUMBERS = {
    "postgresql": "SELECT g AS i FROM generate_series(1, {n}) AS g",
    "sqlite": "WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < {n}) SELECT i FROM g",
}
_LIVE = """
    INSERT INTO article (id, name, content, views, created_at)
    SELECT i, 'name ' || CAST(i AS varchar), CAST(:content AS text), i % 10, '2026-01-01 00:00:00' FROM ({numbers}) AS n
"""
_FLOOR = """
    INSERT INTO article_version (id, name, content, views, created_at, transaction_id, operation_type)
    SELECT id, name, content, views, created_at, 1, 0 FROM article
"""


async def fill(workload: Workload, number: int) -> None:
    """Store so many articles, past all recording."""
    statement = text(_LIVE.format(numbers=_NUMBERS[workload.place.backend].format(n=number)))

    def run(connection: object) -> None:
        with workload.contender.muted(connection):  # type: ignore[arg-type]
            connection.execute(statement, {"content": text_for(1)})  # type: ignore[attr-defined]

    await workload.place.run(run)


async def begin_history(workload: Workload) -> None:
    """Give every article its first version, by hand."""
    await workload.place.run(lambda connection: connection.execute(text('INSERT INTO "transaction" (id) VALUES (1)')))
    await workload.place.run(lambda connection: connection.execute(text(_FLOOR)))
    if workload.place.backend == "postgresql":
        await workload.place.run(lambda connection: connection.execute(text("SELECT setval('transaction_id_seq', 1)")))


class StatementUpdate(Workload):
    """10,000 of 100,000 rows, in one statement."""

    name = "statement.update"
    title = f"one update() of {CHANGED:,} of {ROWS:,} rows"
    only = frozenset({"plain", "ours", "ours-subquery", "ours-native", "floor-row", "floor-statement", "floor-sent"})
    repeats = 1

    async def before(self) -> None:
        await self.place.empty()
        await fill(self, ROWS)
        if self.contender.keeps_history:
            await begin_history(self)
        await self.place.analyze()

    async def run(self) -> None:
        article = self.contender.Article
        async with self.place.session() as session:
            await self.contender.opening(session)
            if isinstance(self.contender, Sent):
                await self.contender.update_many(session)
                await session.commit()
                return
            statement = update(article).where(article.views == 3).values(name=article.name + "!")
            await session.execute(statement, execution_options={"synchronize_session": False})
            await session.commit()

    async def check(self) -> None:
        await self.check_versions(ROWS + CHANGED)


class Backfill(Workload):
    """A million rows get their first version: by `backfill`, or by one INSERT ... SELECT written by hand."""

    name = "backfill"
    title = f"backfill of {OLD:,} rows, to one INSERT by hand"
    only = frozenset({"ours", "ours-subquery", "floor-sent"})
    repeats = 1
    rounds = 2
    inspected = False
    quick = False
    baseline = "floor-sent"

    async def before(self) -> None:
        await self.place.empty()
        await fill(self, OLD)
        await self.place.analyze()

    async def run(self) -> None:
        if self.contender.name.startswith("floor"):
            await begin_history(self)
            return
        if not self.contender.name.startswith("ours"):
            raise NotRecorded("there is nothing to begin")
        from async_continuum import backfill

        async with self.place.session() as session:
            await backfill(session, self.contender.Article)
            await session.commit()

    async def check(self) -> None:
        await self.check_versions(OLD)

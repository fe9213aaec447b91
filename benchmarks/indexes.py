"""Which indexes a version table has: `python -m benchmarks.indexes` measures sets of them at a million rows.

Each set is built on the same version table. Measured are what recording 1,000 updates takes, with the flush around it,
and what reads take; in milliseconds of CPU, of client and server, the median of the rounds.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from statistics import median
from types import SimpleNamespace
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import selectinload

from benchmarks.contenders import Ours
from benchmarks.databases import SERVERS, make_database, version_of
from benchmarks.measure import measuring
from benchmarks.place import Place, open_place

ENTITIES = 10_000
AUTHORS = 1_000
UPDATES = 1_000

_TRANSACTION = "CREATE INDEX ix_1 ON book_version (transaction_id)"
_OPEN = "CREATE UNIQUE INDEX ix_2 ON book_version (id) WHERE end_transaction_id IS NULL"
_ENDS = "CREATE INDEX ix_3 ON book_version (end_transaction_id)"
_OPERATION = "CREATE INDEX ix_4 ON book_version (operation_type)"
_REFERENCE = "CREATE INDEX ix_5 ON book_version (author_id)"

SETS: dict[str, tuple[str, ...]] = {
    "ours": (_TRANSACTION, _OPEN),
    "SQLAlchemy-Continuum's": (_TRANSACTION, _ENDS, _OPERATION),
    "ours without transaction_id": (_OPEN,),
    "ours without the open versions": (_TRANSACTION,),
    "the primary key alone": (),
    "ours and end_transaction_id": (_TRANSACTION, _OPEN, _ENDS),
    "ours and the foreign key": (_TRANSACTION, _OPEN, _REFERENCE),
}

_NUMBERS = {
    "postgresql": "SELECT g AS t FROM generate_series(1, {n}) AS g",
    "sqlite": "WITH RECURSIVE g(t) AS (SELECT 1 UNION ALL SELECT t + 1 FROM g WHERE t < {n}) SELECT t FROM g",
}
_FILL = (
    "INSERT INTO author (id, name) SELECT t, 'an author' FROM ({authors}) AS n",
    "INSERT INTO book (id, name, content, author_id) SELECT t, 'a book', 'text', t % {a} + 1 FROM ({entities}) AS n",
    "INSERT INTO \"transaction\" (id, issued_at) SELECT t, '2026-01-01 00:00:00' FROM ({versions}) AS n",
    "INSERT INTO author_version (id, name, transaction_id, operation_type) SELECT id, name, {v} / 2, 0 FROM author",
    # Transaction t makes one version, of each book in turn.
    """
    INSERT INTO book_version (id, name, content, author_id, transaction_id, end_transaction_id, operation_type)
    SELECT (t - 1) % {e} + 1, 'a version', 'text', ((t - 1) % {e} + 1) % {a} + 1, t,
        CASE WHEN t + {e} <= {v} THEN t + {e} END, CASE WHEN t <= {e} THEN 0 ELSE 1 END FROM ({versions}) AS n
    """,
)


class Reads:
    """What is read of the history of books, in a session. Lives as long as its database is measured."""

    def __init__(self, models: SimpleNamespace, versions: int) -> None:
        from async_continuum import version_class

        self.models = models
        self.middle = versions // 2
        self.book: Any = version_class(models.Book)
        self.author: Any = version_class(models.Author)

    async def versions(self, session: Any) -> None:
        """20 times: all hundred versions of a book."""
        from async_continuum import versions_of

        for key in range(1, 21):
            await versions_of(session, self.models.Book, key)

    async def moment(self, session: Any) -> None:
        """100 times: a book as it was."""
        from async_continuum import versions_of

        for key in range(1, 101):
            await versions_of(session, self.models.Book, key).at(self.middle)

    async def neighbours(self, session: Any) -> None:
        """50 times: the version before one, and the one after."""
        those = self.book.transaction_id.between(self.middle + 1, self.middle + 50)
        found = await session.scalars(select(self.book).where(those))
        for version in found.all():
            await version.previous()
            await version.next()

    async def everything(self, session: Any) -> None:
        """All 10,000 books as they were."""
        from async_continuum import alive_at

        (await session.scalars(select(self.book).where(alive_at(self.book, self.middle)))).all()

    async def related(self, session: Any) -> None:
        """The ten books of an author, as they were."""
        statement = select(self.author).where(self.author.id == 1).options(selectinload(self.author.books))
        (await session.scalars(statement)).all()

    async def transaction(self, session: Any) -> None:
        """20 times: the versions that a transaction made."""
        for number in range(1, 21):
            (await session.scalars(select(self.book).where(self.book.transaction_id == number))).all()


READS = ("versions", "moment", "neighbours", "everything", "related", "transaction")
TITLES = (
    "1,000 updates",
    "versions of one, 20 times",
    "`.at()`, 100 times",
    "neighbours, 50 times",
    "10,000 alive at a moment",
    "one relation by foreign key",
    "of a transaction, 20 times",
)


async def fill(place: Place, versions: int) -> None:
    """Store the books, their authors, and their history."""
    numbers = _NUMBERS[place.backend]
    given = {"a": AUTHORS, "e": ENTITIES, "v": versions}
    given |= {"authors": numbers.format(n=AUTHORS), "entities": numbers.format(n=ENTITIES)}  # type: ignore[dict-item]
    given |= {"versions": numbers.format(n=versions)}  # type: ignore[dict-item]
    for statement in _FILL:
        await _execute(place, statement.format(**given))
    if place.backend == "postgresql":
        await _execute(place, f"SELECT setval('transaction_id_seq', {versions})")


async def build(place: Place, statements: tuple[str, ...]) -> float:
    """Give the version table these indexes instead of what it has; gives their size, in MB."""
    for number in range(1, 6):
        await _execute(place, f"DROP INDEX IF EXISTS ix_{number}")
    for statement in statements:
        await _execute(place, statement)
    await _execute(place, "ANALYZE")
    if place.backend == "postgresql":
        size = await place.run(
            lambda c: c.execute(
                text("SELECT pg_indexes_size('book_version') - pg_relation_size('book_version_pkey')")
            ).scalar()
        )
    else:
        size = await place.run(lambda c: _sqlite_size(c, statements))
    return float(size) / 1e6


def _sqlite_size(connection: Any, statements: tuple[str, ...]) -> float:
    # dbstat is not compiled into every SQLite: what is free after all indexes are dropped tells the same.
    pages = "SELECT (SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count)"
    page_size: float = connection.execute(text("PRAGMA page_size")).scalar()
    before: float = connection.execute(text(pages)).scalar()
    for statement in statements:
        connection.execute(text(f"DROP INDEX {statement.split()[statement.split().index('ON') - 1]}"))
    after: float = connection.execute(text(pages)).scalar()
    for statement in statements:
        connection.execute(text(statement))
    return (before - after) * page_size


async def measured(place: Place, work: Callable[[Any], Awaitable[None]]) -> float:
    """Measure some work in a session of its own, in milliseconds."""
    assert place.backends is not None
    async with place.session() as session:
        with measuring(place.backends) as found:
            await work(session)
        await session.commit()
    return found.cpu * 1000


async def updates(place: Place, models: SimpleNamespace, number: int) -> float:
    """Measure a flush of 1,000 updates and what records it, with its commit."""
    assert place.backends is not None
    first = number * UPDATES % ENTITIES
    async with place.session() as session:
        books = (
            await session.scalars(select(models.Book).where(models.Book.id.between(first + 1, first + UPDATES)))
        ).all()
        for book in books:
            book.name = f"changed {number}"
        with measuring(place.backends) as found:
            await session.commit()
    return found.cpu * 1000


async def run(place: Place, models: SimpleNamespace, versions: int, rounds: int) -> list[list[str]]:
    """Measure every set of indexes; gives the rows of a table."""
    await fill(place, versions)
    for index in list(models.Book.__table__.metadata.tables["book_version"].indexes):
        await _execute(place, f"DROP INDEX {index.name}")
    reads = Reads(models, versions)
    rows, done = [], 0
    for title, statements in SETS.items():
        size = await build(place, statements)
        # The first of each prepares statements.
        figures: list[list[float]] = [[] for _ in TITLES]
        for number in range(rounds + 1):
            done += 1
            found = [await updates(place, models, done)]
            found += [await measured(place, getattr(reads, name)) for name in READS]
            for each, value in zip(figures, found, strict=True):
                each.extend([value] if number else [])
        rows.append([title, *(f"{median(each):.1f}" for each in figures), f"{size:.0f}"])
        print(f"  {' | '.join(rows[-1])}", flush=True)
    return rows


async def _execute(place: Place, statement: str) -> None:
    await place.run(lambda connection: connection.execute(text(statement)))


async def _measure(backend: str, server: Any, versions: int, rounds: int) -> None:
    contender = Ours(backend)
    place = await open_place(contender, make_database(server, "indexes"), quick=False)
    models = contender.declare_related()
    try:
        await place.run(contender.Base.metadata.create_all)
        print(f"\n{version_of(server)}, {versions:,} versions", flush=True)
        rows = await run(place, models, versions, rounds)
    finally:
        assert place.engine is not None
        await place.engine.dispose()  # type: ignore[misc]
    header = ["indexes", *TITLES, "MB"]
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    print("\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))


def main() -> None:
    """Measure on each database, and print a table."""
    # Being told to stop must stop the server as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.indexes", description=__doc__)
    parser.add_argument("--backend", nargs="+", default=list(SERVERS), choices=list(SERVERS))
    parser.add_argument("--versions", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each set")
    arguments = parser.parse_args()
    for backend in arguments.backend:
        with SERVERS[backend]() as server:
            asyncio.run(_measure(backend, server, arguments.versions, arguments.repeats))


if __name__ == "__main__":
    main()

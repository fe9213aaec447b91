"""What readers and books may go through, drawn by hypothesis: a failure shrinks to the few steps that it takes."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

import async_continuum as ac
from tests.relations.pair import State, state

KEYS = range(1, 6)

Sessions = async_sessionmaker[AsyncSession]


@dataclass(frozen=True)
class Step:
    """One thing that is done to a reader, a book, or a link of any kind. What there is, numbers choose from."""

    act: int
    key: int
    reader: int
    other: int
    book: int
    number: int
    yes: bool
    savepoint: str | None


Life = list[list[Step]]
"""The steps of each transaction."""

_few = st.integers(0, 4)
steps = st.builds(
    Step,
    act=st.integers(0, 15),
    key=st.sampled_from(KEYS),
    reader=_few,
    other=_few,
    book=_few,
    number=st.integers(0, 8),
    yes=st.booleans(),
    savepoint=st.sampled_from([None] * 8 + ["commit", "rollback"]),
)


def lives(days: int) -> st.SearchStrategy[Life]:
    """Draw lives of so many transactions, give or take a third; some do nothing."""
    return st.lists(st.lists(steps, max_size=4), min_size=days * 2 // 3, max_size=days * 4 // 3)


async def live(sessions: Sessions, m: SimpleNamespace, life: Life) -> dict[int, State]:
    """Live it; give what plain statements showed after each transaction, by its id."""
    seen: dict[int | None, State] = {}
    newest = select(func.max(ac.transaction_class(m.Reader).id))
    async with sessions() as session:
        for day in filter(None, life):
            for step in day:
                savepoint = None if step.savepoint is None else await session.begin_nested()
                await _take(session, m, step)
                await session.flush()
                if savepoint is not None:
                    await (savepoint.commit if step.savepoint == "commit" else savepoint.rollback)()
                session.expire_all()
            await session.commit()
            transaction_id = await session.scalar(newest)
            seen.setdefault(transaction_id, await state(session, m))
            await session.commit()
    return {transaction_id: shown for transaction_id, shown in seen.items() if transaction_id is not None}


async def _take(session: AsyncSession, m: SimpleNamespace, step: Step) -> None:
    readers = list(await session.scalars(select(m.Reader).order_by(m.Reader.id)))
    books = list(await session.scalars(select(m.Book).order_by(m.Book.id)))
    reader, other = (readers[which % len(readers)] if readers else None for which in (step.reader, step.other))
    book = books[step.book % len(books)] if books else None
    act, known = step.act, {each.id: each for each in (books if step.act in (2, 3) else readers)}
    if reader is None or act in (0, 1):
        if step.key in known and act in (0, 1):
            known[step.key].name = f"r{step.number}"
        else:
            session.add(m.Reader(id=step.key, name=f"r{step.number}"))
    elif book is None or act in (2, 3):
        if book is not None and step.key in known:
            known[step.key].name = f"b{step.number}"
        else:
            session.add(m.Book(id=step.key, author=reader))
    elif act in (4, 5):
        reader.favourite = book if step.yes else None
    elif act == 6:
        book.author = reader if step.yes else None
    elif act in (7, 8):
        await reader.awaitable_attrs.desk
        reader.desk = book if step.number % 3 else None
    elif act == 9:
        reads = await reader.awaitable_attrs.reads
        reads.remove(book) if book in reads else reads.append(book)
    elif act == 10:
        reader.mentor = other if step.yes else None
    elif act in (11, 12):
        likes = await reader.awaitable_attrs.likes
        likes.remove(other) if other in likes else likes.append(other)
    elif act == 13:
        await _link(session, m.tables["reading"], step, reader.id, book.id)
    else:
        await session.delete(reader if act == 14 else book)


async def _link(session: AsyncSession, table: Any, step: Step, reader: int, book: int) -> None:
    mine = (table.c.left_id == reader) & (table.c.right_id == book)
    if (await session.execute(select(table).where(mine))).first() is None:
        await session.execute(insert(table).values(left_id=reader, right_id=book, rank=step.number))
    else:
        way: Any = update(table).values(rank=step.number) if step.yes else delete(table)
        await session.execute(way.where(mine))

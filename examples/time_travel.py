"""An application of invoices whose functions and models run unchanged in the past, and draw its balance by month."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ForeignKey, String, event, func, select
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

from async_continuum import (
    Operation,
    Versioned,
    VersioningManager,
    as_of,
    changes_between,
    current_transaction,
    make_versioned,
)


class Base(AsyncAttrs, DeclarativeBase):
    pass


# A manager for this Base alone, so that the example can be imported beside others; make_versioned() is enough.
manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls=None)


# -- the application: nothing in here knows of the past ----------------------------------------------------------------


class Customer(Versioned, Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    invoices: Mapped[list[Invoice]] = relationship(back_populates="customer", order_by="Invoice.id")


class Line(Versioned, Base):
    __tablename__ = "line"
    id: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoice.id"))
    what: Mapped[str] = mapped_column(String(50))
    quantity: Mapped[int]
    price: Mapped[int]

    @hybrid_property
    def amount(self) -> int:
        return self.quantity * self.price


class Payment(Versioned, Base):
    __tablename__ = "payment"
    id: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoice.id"))
    amount: Mapped[int]


class Invoice(Versioned, Base):
    __tablename__ = "invoice"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    customer: Mapped[Customer] = relationship(back_populates="invoices")
    lines: Mapped[list[Line]] = relationship(order_by=Line.id, cascade="all, delete-orphan")
    payments: Mapped[list[Payment]] = relationship(order_by=Payment.id, cascade="all, delete-orphan")

    @hybrid_property
    def total(self) -> int:
        return sum(line.amount for line in self.lines)

    @total.inplace.expression
    @classmethod
    def _total(cls) -> Any:
        return _sum(Line.quantity * Line.price, Line.invoice_id == cls.id)

    @hybrid_property
    def open(self) -> int:
        return self.total - sum(payment.amount for payment in self.payments)

    @open.inplace.expression
    @classmethod
    def _open(cls) -> Any:
        return cls.total - _sum(Payment.amount, Payment.invoice_id == cls.id)

    def __str__(self) -> str:
        return f"invoice {self.id} of {self.customer.name}: total {self.total:,}, open {self.open:,}"


def _sum(what: Any, where: Any) -> Any:
    return select(func.coalesce(func.sum(what), 0)).where(where).scalar_subquery()


async def outstanding(session: AsyncSession) -> int:
    """Say what all customers owe together."""
    return await session.scalar(select(func.coalesce(func.sum(Invoice.open), 0))) or 0


async def reminders(session: AsyncSession) -> Sequence[Invoice]:
    """List the invoices that are not paid, the dearest first."""
    loaded = selectinload(Invoice.lines), selectinload(Invoice.payments), selectinload(Invoice.customer)
    unpaid = select(Invoice).where(Invoice.open > 0).order_by(Invoice.open.desc()).options(*loaded)
    return (await session.scalars(unpaid)).all()


# -- the business of a year --------------------------------------------------------------------------------------------


def first_of(month: int) -> datetime:
    return datetime(2025 + (month - 1) // 12, (month - 1) % 12 + 1, 1, tzinfo=UTC)


async def open_business(session: AsyncSession) -> None:
    session.add_all([Customer(id=1, name="Ann & Co"), Customer(id=2, name="Bob Ltd")])


async def bill(session: AsyncSession, month: int) -> None:
    hours = 10 + 7 * month % 11
    lines = [Line(what="work", quantity=hours, price=120), Line(what="travel", quantity=month % 3, price=300)]
    session.add(Invoice(id=month, customer_id=1 + month % 2, lines=lines))


async def receive(session: AsyncSession, month: int) -> None:
    """What was billed two months ago is paid, though not every time in full."""
    if (invoice := await session.get(Invoice, month - 2)) is not None:
        await invoice.awaitable_attrs.lines
        part = invoice.total if month % 3 else invoice.total // 2
        (await invoice.awaitable_attrs.payments).append(Payment(amount=part))


async def correct(session: AsyncSession, month: int) -> None:
    """A line that was billed too dear gets another price, a month after."""
    if month % 4 == 0 and (invoice := await session.get(Invoice, month - 1)) is not None:
        (await invoice.awaitable_attrs.lines)[0].price = 95


async def rename(session: AsyncSession, month: int) -> None:
    if month == 9:
        (await session.get_one(Customer, 1)).name = "Ann, Cid & Co"


async def live_through(sessions: async_sessionmaker[AsyncSession], month: int) -> None:
    """Do a month's business, in one transaction that claims to be of that month."""
    async with sessions.begin() as session:
        # Otherwise all of it would have happened in this second.
        (await current_transaction(session, model=Invoice)).issued_at = first_of(month).replace(day=15)
        if month == 1:
            await open_business(session)
        for happens in (bill, receive, correct, rename):
            await happens(session, month)


# -- looking back --------------------------------------------------------------------------------------------------


async def balances(sessions: async_sessionmaker[AsyncSession], months: int) -> list[tuple[datetime, int]]:
    """Ask the application what was outstanding at the end of each month, as it would have said then."""
    found = []
    async with sessions() as session:
        for month in range(1, months + 1):
            async with as_of(session, first_of(month + 1)) as past:
                found.append((first_of(month), await outstanding(past)))
    return found


def text_plot(values: Sequence[tuple[datetime, int]]) -> Iterator[str]:
    most = max(value for _, value in values)
    for month, value in values:
        yield f"  {month:%Y-%m}  {'#' * round(50 * value / most)} {value:,}"


def draw(values: Sequence[tuple[datetime, int]], file: Path) -> bool:
    """Draw the balances into a file, if matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.bar([f"{month:%b %Y}" for month, _ in values], [value for _, value in values])
    axes.set(title="Outstanding at the end of the month, as the application said then", ylabel="amount")
    axes.tick_params(axis="x", rotation=45)
    figure.savefig(file)
    return True


async def look_back(
    sessions: async_sessionmaker[AsyncSession], *, months: int, file: Path, say: Callable[[str], None] = print
) -> list[tuple[datetime, int]]:
    """Tell what the application knew, month by month, and what has become of one invoice."""
    values = await balances(sessions, months)
    say("Outstanding at the end of each month:")
    for line in text_plot(values):
        say(line)
    if draw(values, file):
        say(f"Drawn into {file}.")

    for month in (9, months + 1):
        async with as_of(sessions, first_of(month)) as past:
            say(f"To be reminded on {first_of(month):%d %B %Y}:")
            for invoice in await reminders(past):
                say(f"  {invoice}")

    async with sessions() as session:
        say("What the last month changed on lines that were there before:")
        changed = changes_between(session, Line, first_of(months), first_of(months + 1))
        async for change in changed.only(Operation.UPDATE, Operation.DELETE):
            say(f"  line {change.key[0]}: {change.changes}")
    return values


def sqlite_engine(path: Path) -> AsyncEngine:
    """Open SQLite with SQLAlchemy's documented recipe, without which a savepoint does not hold."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")

    @event.listens_for(engine.sync_engine, "connect")
    def no_implicit_begin(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


async def main(database: Path, file: Path, *, months: int = 12) -> None:
    engine = sqlite_engine(database)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    sessions = async_sessionmaker(engine)
    for month in range(1, months + 1):
        await live_through(sessions, month)
    await look_back(sessions, months=months, file=file)
    await engine.dispose()


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "balance.svg")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder) / "time_travel.db", target))

"""Models that statements change, and what their history must say: what a comparison of before and after says."""

import uuid
from typing import Any

from sqlalchemy import Column, Computed, ForeignKey, String, Table, Uuid, func, select
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import async_continuum as ac
from async_continuum import Operation, Versioned, VersioningManager, make_versioned
from tests.kit import mode


class Base(AsyncAttrs, DeclarativeBase):
    pass


manager = make_versioned(mapper=Base, manager=VersioningManager(), options=mode.options(), user_cls=None)

tagged = Table(
    "product_tag",
    Base.metadata,
    Column("product_id", ForeignKey("product.id", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)


class Product(Versioned, Base):
    __tablename__ = "product"
    __versioned__ = {"exclude": ["seen"]}
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)
    price: Mapped[int] = mapped_column(default=10)
    doubled: Mapped[int] = mapped_column(Computed("price * 2", persisted=True))
    state: Mapped[str] = mapped_column("status", String(20), server_default="new")
    seen: Mapped[int] = mapped_column(server_default="0")
    tags: Mapped[list["Tag"]] = relationship(secondary=tagged, passive_deletes=True)


class Tag(Versioned, Base):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), default="tag")


class Part(Versioned, Base):
    """Goes with its product; the other strategy."""

    __tablename__ = "part"
    __versioned__ = {"strategy": "subquery"}
    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int | None] = mapped_column(ForeignKey("product.id", ondelete="CASCADE", onupdate="CASCADE"))
    size: Mapped[int] = mapped_column(default=1)


class Shelf(Versioned, Base):
    """A key of two columns in another order than the table's."""

    __tablename__ = "shelf"
    content: Mapped[str | None] = mapped_column(String(50))
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hall: Mapped[str] = mapped_column(String(20), primary_key=True)


class Device(Versioned, Base):
    __tablename__ = "device"
    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    label: Mapped[str] = mapped_column(String(50), default=lambda: "made in Python")


class Note(Base):
    """Keeps no history."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str] = mapped_column(String(50))


TABLES = [Product.__table__, Tag.__table__, Part.__table__, Shelf.__table__, Device.__table__, tagged]

Rows = dict[tuple[Any, ...], tuple[Any, ...]]


async def fill(session: AsyncSession) -> None:
    """Store six products with their parts and tags, two shelves, a device and two notes; all but the notes recorded."""
    tags = [Tag(), Tag()]
    session.add_all(tags)
    session.add_all(Product(name=f"p{n}", price=n, tags=tags[: n % 3]) for n in range(1, 7))
    await session.flush()
    session.add_all(Part(product_id=n) for n in range(1, 4))
    session.add_all([Shelf(hall="a", number=1, content="x"), Shelf(hall="b", number=1)])
    session.add_all([Device(label="first"), Note(body="p1"), Note(body="p9")])
    await session.commit()


async def stored(session: AsyncSession, table: Table) -> Rows:
    """Read the columns that history keeps of every row, by key."""
    history = _history(table)
    rows = await session.execute(select(*history.key_of(table), *(table.c[name] for name in history.columns)))
    return {tuple(row[: len(history.key)]): tuple(row[len(history.key) :]) for row in rows}


async def recorded(session: AsyncSession, table: Table, *, after: int) -> dict[tuple[Any, ...], Any]:
    """Read the versions made after a transaction, by key: operation and values."""
    history = _history(table)
    versions = history.version_table
    columns = [*history.key_of(versions), versions.c[history.operation], *(versions.c[n] for n in history.columns)]
    found = await session.execute(select(*columns).where(versions.c[history.begins] > after))
    width = len(history.key)
    told: dict[tuple[Any, ...], Any] = {}
    for row in found:
        assert tuple(row[:width]) not in told, "one version for an entity and a transaction"
        told[tuple(row[:width])] = (Operation(row[width]).name, tuple(row[width + 1 :]))
    return told


def expected(before: Rows, after: Rows) -> dict[tuple[Any, ...], Any]:
    """Tell from the rows before and after what one transaction must have recorded."""
    told: dict[tuple[Any, ...], Any] = {}
    for key in before.keys() | after.keys():
        if key not in after:
            told[key] = ("DELETE", before[key])
        elif key not in before:
            told[key] = ("INSERT", after[key])
        elif before[key] != after[key]:
            told[key] = ("UPDATE", after[key])
    return told


async def everything(session: AsyncSession) -> dict[Table, Rows]:
    """Read every table."""
    return {table: await stored(session, table) for table in TABLES}


async def newest(session: AsyncSession) -> int:
    """Give the highest transaction id."""
    return await session.scalar(select(func.coalesce(func.max(ac.transaction_class(Product).id), 0))) or 0


async def differences(session: AsyncSession, before: dict[Table, Rows], after: int) -> list[str]:
    """Say where the versions made after a transaction tell another story than the rows before and now."""
    found = []
    for table in TABLES:
        told = await recorded(session, table, after=after)
        difference = expected(before[table], await stored(session, table))
        if told != difference:
            found.append(f"{table.name}: {told} recorded, {difference} expected")
    found += [str(each) for each in await ac.verify(session, Product, Tag, Part, Shelf, Device)]
    return found


def _history(table: Table) -> Any:
    kept = manager.coverage.kept(table)
    assert kept is not None
    return kept[1]

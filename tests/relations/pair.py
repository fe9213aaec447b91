"""Two classes with every kind of link between them and within them, under each strategy."""

from types import SimpleNamespace
from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, String, Table
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from async_continuum import Versioned, VersioningManager, make_versioned
from tests.kit import mode


def pair(strategy: str) -> SimpleNamespace:
    """Make the models, and the manager that keeps their history under `strategy`."""

    class Base(AsyncAttrs, DeclarativeBase):
        pass

    manager = make_versioned(
        mapper=Base, manager=VersioningManager(), options=mode.options(strategy=strategy), user_cls=None
    )

    def links(name: str, left: str, right: str, *more: Any) -> Table:
        return Table(
            name,
            Base.metadata,
            Column("left_id", ForeignKey(f"{left}.id"), primary_key=True),
            Column("right_id", ForeignKey(f"{right}.id"), primary_key=True),
            *more,
        )

    reading = links("reading", "reader", "book", Column("rank", Integer, server_default="5"))
    friendship = links("friendship", "reader", "reader")

    class Reader(Versioned, Base):
        __tablename__ = "reader"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20), default="r")
        favourite_id: Mapped[int | None] = mapped_column(ForeignKey("book.id"))
        mentor_id: Mapped[int | None] = mapped_column(ForeignKey("reader.id"))

        favourite: Mapped["Book | None"] = relationship(
            back_populates="admirers", foreign_keys=favourite_id, post_update=True
        )
        written: Mapped[list["Book"]] = relationship(
            back_populates="author", foreign_keys="Book.author_id", order_by="desc(Book.id)"
        )
        desk: Mapped["Book | None"] = relationship(back_populates="holder", foreign_keys="Book.holder_id")
        reads: Mapped[list["Book"]] = relationship(
            secondary=reading, back_populates="readers", order_by=lambda: [reading.c.rank, Book.id]
        )
        mentor: Mapped["Reader | None"] = relationship(back_populates="pupils", remote_side=id, post_update=True)
        pupils: Mapped[set["Reader"]] = relationship(back_populates="mentor", post_update=True)
        likes: Mapped[list["Reader"]] = relationship(
            secondary=friendship,
            primaryjoin=id == friendship.c.left_id,
            secondaryjoin=id == friendship.c.right_id,
            back_populates="liked_by",
            order_by=friendship.c.right_id,
        )
        liked_by: Mapped[list["Reader"]] = relationship(
            secondary=friendship,
            primaryjoin=id == friendship.c.right_id,
            secondaryjoin=id == friendship.c.left_id,
            back_populates="likes",
            order_by=friendship.c.left_id,
        )

    class Book(Versioned, Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20), default="b")
        author_id: Mapped[int | None] = mapped_column(ForeignKey("reader.id"))
        holder_id: Mapped[int | None] = mapped_column(ForeignKey("reader.id"))

        author: Mapped[Reader | None] = relationship(back_populates="written", foreign_keys=author_id)
        holder: Mapped[Reader | None] = relationship(back_populates="desk", foreign_keys=holder_id)
        admirers: Mapped[list[Reader]] = relationship(
            back_populates="favourite", foreign_keys=Reader.favourite_id, post_update=True, order_by=Reader.id
        )
        readers: Mapped[list[Reader]] = relationship(
            secondary=reading, back_populates="reads", order_by=[Reader.name, Reader.id]
        )

    return SimpleNamespace(
        Base=Base,
        manager=manager,
        strategy=strategy,
        Reader=Reader,
        Book=Book,
        tables={table.name: table for table in (Reader.__table__, Book.__table__, reading, friendship)},
    )


PAIRS = {strategy: pair(strategy) for strategy in ("validity", "subquery")}

Row = dict[str, Any]
State = dict[str, list[Row]]


async def state(session: Any, models: SimpleNamespace) -> State:
    """Read every row by plain statements."""
    return {
        name: [dict(row._mapping) for row in await session.execute(table.select().order_by(*table.primary_key))]
        for name, table in models.tables.items()
    }


def related(then: State, table: str, row: Row) -> dict[str, list[Row]]:
    """Say what each relation of a row leads to in a state, in its order."""

    def rows(of: str, **values: Any) -> list[Row]:
        return [each for each in then[of] if all(each[name] == value for name, value in values.items())]

    def linked(by: str, near: str, far: str, of: str, *order: str) -> list[Row]:
        found = [({**link, **row}, row) for link in rows(by, **{near: key}) for row in rows(of, id=link[far])]
        return [row for _, row in sorted(found, key=lambda each: [each[0][name] for name in order])]

    key = row["id"]
    if table == "reader":
        return {
            "favourite": rows("book", id=row["favourite_id"]),
            "written": rows("book", author_id=key)[::-1],
            "desk": rows("book", holder_id=key),
            "reads": linked("reading", "left_id", "right_id", "book", "rank", "id"),
            "mentor": rows("reader", id=row["mentor_id"]),
            "pupils": rows("reader", mentor_id=key),
            "likes": linked("friendship", "left_id", "right_id", "reader", "id"),
            "liked_by": linked("friendship", "right_id", "left_id", "reader", "id"),
        }
    return {
        "author": rows("reader", id=row["author_id"]),
        "holder": rows("reader", id=row["holder_id"]),
        "admirers": rows("reader", favourite_id=key),
        "readers": linked("reading", "right_id", "left_id", "reader", "name", "id"),
    }

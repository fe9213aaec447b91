"""Rows of an association table that lack one of their ends link nothing, whatever keeps the others apart."""

from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Table, UniqueConstraint, delete, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column, relationship

from async_continuum import Versioned, version_table
from tests.kit.databases import Databases
from tests.kit.own import Own, own

__all__ = ["own"]

KEPT_APART: dict[str, dict[str, Any] | None] = {
    "by nothing": None,
    "by a constraint": {},
    "and those without an end as well": {"postgresql_nulls_not_distinct": True},
}


@pytest.mark.parametrize("native", [True, False], ids=["triggers", "sessions"])
@pytest.mark.parametrize("name", KEPT_APART)
async def test_rows_without_an_end(own: Own, database: Databases, name: str, native: bool) -> None:
    Base, manager = own(options={"native_versioning": native})
    links = Table(
        "book_tag",
        Base.metadata,
        Column("book_id", ForeignKey("book.id", ondelete="CASCADE")),
        Column("tag_id", ForeignKey("tag.id", ondelete="SET NULL")),
    )
    if (arguments := KEPT_APART[name]) is not None:
        links.append_constraint(UniqueConstraint("book_id", "tag_id", **arguments))

    class Book(Versioned, Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        tags: Mapped[list["Tag"]] = relationship(secondary=links)

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add_all([Book(id=1), Tag(id=1), Tag(id=2), Tag(id=3)])
        await session.commit()
        for step in (
            insert(links).values([{"book_id": 1, "tag_id": n} for n in (1, 2, None)]),
            update(links).where(links.c.tag_id == 1).values(tag_id=3),
            update(links).where(links.c.tag_id == 2).values(tag_id=2),
            delete(links).where(links.c.tag_id.is_(None)),
            delete(Tag).where(Tag.id == 3),
            delete(links),
        ):
            await session.execute(step)
            await session.commit()
        versions = version_table(links).c
        told = await session.execute(
            select(versions.tag_id, versions.operation_type).order_by(versions.transaction_id, versions.tag_id)
        )
        assert [(tag, operation.name) for tag, operation in told] == [
            (1, "INSERT"),
            (2, "INSERT"),
            (1, "DELETE"),
            (3, "INSERT"),
            (3, "DELETE"),
            (2, "DELETE"),
        ]

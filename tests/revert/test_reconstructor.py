"""What a revert brings back to life is built without `__init__`, and reconstructed as what a query loads."""

import pytest
from sqlalchemy import JSON, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, reconstructor, relationship

from async_continuum import Versioned, versions_of


@pytest.mark.parametrize("default", [None, "x"])
async def test_the_reconstructor_is_called_once_with_the_columns_there(own, database, default):
    Base, manager = own()
    called = []

    class Shelf(Versioned, Base):
        __tablename__ = "shelf"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str | None] = mapped_column(default=default)
        data: Mapped[dict | None] = mapped_column(JSON)
        books: Mapped[list["Book"]] = relationship(cascade="all, delete-orphan")

        @reconstructor
        def remember(self):
            called.append(("shelf", self.id, self.title, self.data))

    class Thing(Versioned, Base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "thing"}

        def __init__(self, **values):
            super().__init__(**values)
            self.cache = {}

        @reconstructor
        def begin(self):
            self.cache = {}
            called.append((self.kind, self.id))

    class Book(Thing):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(ForeignKey("thing.id"), primary_key=True)
        shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))
        __mapper_args__ = {"polymorphic_identity": "book"}

    sessions = await database(Base, manager)
    async with sessions() as session:
        shelf = Shelf(id=1, title=None, books=[Book(id=1), Book(id=2)])
        session.add(shelf)
        await session.commit()
        await session.delete(await session.get_one(Shelf, 1, populate_existing=True))
        await session.commit()
        session.expunge_all()
        version = await versions_of(session, Shelf, 1)[0]
        called.clear()
        live = await version.revert(session, relations=["books"])
        title = await version.awaitable_attrs.title
        assert sorted(called, key=repr) == [("book", 1), ("book", 2), ("shelf", 1, title, None)]
        assert [book.cache for book in live.books] == [{}, {}]
        await session.commit()

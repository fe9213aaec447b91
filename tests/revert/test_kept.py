"""What a session holds is kept for a refused revert at a price that large sessions can pay."""

import sys

import pytest
from sqlalchemy import ForeignKey, String, select
from sqlalchemy.orm import Mapped, mapped_column, relationship, selectinload

import async_continuum as ac
from async_continuum import versions_of
from async_continuum.revert.kept import Kept


def calls_of(function, *arguments):
    """Count the functions, those of C left out, that a call leads to."""
    calls = 0

    def note(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function(*arguments)
    finally:
        sys.setprofile(before)
    return calls


async def test_an_object_that_is_kept_costs_no_call_of_a_function(own, database):
    Base, manager = own()

    class Shelf(ac.Versioned, Base):
        __tablename__ = "shelf"
        id: Mapped[int] = mapped_column(primary_key=True)
        word: Mapped[str] = mapped_column(String(20), unique=True)
        books: Mapped[list["Book"]] = relationship(back_populates="shelf")

    class Book(ac.Versioned, Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))
        shelf: Mapped[Shelf] = relationship(back_populates="books")

    sessions = await database(Base, manager)
    async with sessions() as session:
        counted = []
        for number, books in ((1, 10), (2, 500)):
            shelf = Shelf(id=number, word=f"w{number}", books=[Book(id=1000 * number + n) for n in range(books)])
            session.add(shelf)
            await session.commit()
            session.expunge_all()
            shelves = select(Shelf).where(Shelf.id == number).options(selectinload(Shelf.books))
            (shelf,) = await session.scalars(shelves)
            counted.append(calls_of(Kept, session))
            assert len(session.identity_map) == 1 + books
        # The rest is what an event of the interpreter may have put in between.
        assert counted[1] < counted[0] + 50
        # And each of them holds what it held.
        shelf.word = "now"
        await session.flush()
        session.add(Shelf(id=3, word="w2"))
        await session.commit()
        session.expunge_all()
        (shelf,) = await session.scalars(shelves)
        members = list(shelf.books)
        version = (await versions_of(session, Shelf, 2))[0]
        for _ in range(2):
            with pytest.raises(ac.RevertError, match="Shelf 3"):
                await version.revert(session)
        assert shelf.word == "now"
        assert shelf.books == members
        assert all(book.shelf is shelf for book in members)

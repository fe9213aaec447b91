"""A relation that joins rows of other tables than those of its two ends has no past, and says so."""

import pytest
from sqlalchemy import ForeignKey, String, join, select
from sqlalchemy.orm import Mapped, aliased, mapped_column, relationship

from async_continuum import Versioned, version_class, versions_of
from tests.kit.own import own

__all__ = ["own"]


@pytest.fixture
def library(own):
    Base, manager = own()

    class Author(Versioned, Base):
        __tablename__ = "author"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20), default="a")

    class Book(Versioned, Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))

    class Page(Versioned, Base):
        __tablename__ = "page"
        id: Mapped[int] = mapped_column(primary_key=True)
        book_id: Mapped[int] = mapped_column(ForeignKey("book.id"))

    by_ann = aliased(Author, select(Author).where(Author.name == "ann").subquery())
    Page.author = relationship(
        Author,
        secondary=join(Book, Author, Book.author_id == Author.id),
        primaryjoin=Page.book_id == Book.id,
        secondaryjoin=Book.author_id == Author.id,
        viewonly=True,
        uselist=False,
    )
    Page.through_book = relationship(
        Author, secondary="book", primaryjoin=Page.book_id == Book.id, viewonly=True, uselist=False
    )
    Base.registry.configure()
    Page.first_of_book = relationship(
        Book,
        primaryjoin=lambda: (
            (Book.id == Page.book_id)
            & (Book.author_id == select(Author.id).where(Author.name == "ann").scalar_subquery())
        ),
        viewonly=True,
    )
    Book.ann = relationship(by_ann, primaryjoin=Book.author_id == by_ann.id, viewonly=True)
    Base.registry.configure()
    return Base, manager, Author, Book, Page


def test_it_is_absent_and_says_why(library):
    _, _, _, Book, Page = library
    for model, name in ((Page, "author"), (Page, "first_of_book"), (Book, "ann")):
        with pytest.raises(AttributeError, match=rf"{name} is not available: it depends on .*(past|ends)"):
            getattr(version_class(model), name)


async def test_a_model_may_be_the_association_of_others(library, database):
    Base, manager, Author, Book, Page = library
    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add_all([Author(id=n, name=f"author {n}") for n in (1, 2)])
        await session.flush()
        book = Book(id=1, author_id=1)
        session.add(book)
        await session.flush()
        session.add(Page(id=1, book_id=1))
        await session.commit()
        await session.refresh(book)
        book.author_id = 2
        await session.commit()
        first = await versions_of(session, Page, 1)[0]
        assert (await first.awaitable_attrs.through_book).name == "author 1"

"""One library under each strategy, whose books have every kind of relation, and the story of its first days."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, Integer, String, Table, delete, func, insert, select
from sqlalchemy.ext.associationproxy import association_proxy
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.ext.hybrid import hybrid_method, hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    attribute_keyed_dict,
    column_property,
    composite,
    declared_attr,
    foreign,
    mapped_column,
    relationship,
    remote,
    synonym,
)

from async_continuum import Versioned, VersioningManager, make_versioned
from tests.kit import mode


class Span:
    """Two years; a composite."""

    def __init__(self, first: int | None, last: int | None) -> None:
        self.first, self.last = first, last

    def __composite_values__(self) -> tuple[int | None, int | None]:
        return self.first, self.last

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Span) and self.__composite_values__() == other.__composite_values__()

    def __hash__(self) -> int:
        return hash(self.__composite_values__())


def library(strategy: str) -> SimpleNamespace:
    """Make the models, each with its history under `strategy`, and the manager that keeps it."""

    class Base(AsyncAttrs, DeclarativeBase):
        pass

    manager = make_versioned(
        mapper=Base, manager=VersioningManager(), options=mode.options(strategy=strategy), user_cls=None
    )

    class Dated:
        """A column that a day of the story may write on, so that each entity has a version of that day."""

        day: Mapped[int | None]

    def links(name: str, left: str, right: str, *more: Any) -> Table:
        return Table(
            name,
            Base.metadata,
            Column("left_id", ForeignKey(left), primary_key=True),
            Column("right_id", ForeignKey(right), primary_key=True),
            *more,
        )

    book_tag = links("book_tag", "book.id", "tag.id", Column("position", Integer))
    book_shop = links("book_shop", "book.id", "shop.id")
    kinship = links("related", "book.id", "book.id")

    class Publisher(Base):
        """Keeps no history."""

        __tablename__ = "publisher"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))

    class Shop(Base):
        """Keeps no history, though the links to it do."""

        __tablename__ = "shop"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))

    class Author(Versioned, Dated, Base):
        __tablename__ = "author"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))
        books = relationship("Book", back_populates="author", foreign_keys="Book.author_id", order_by="Book.id")
        edited = relationship("Book", back_populates="editor", foreign_keys="[Book.editor_id]", order_by="Book.id")
        bio = relationship("Bio", back_populates="author", uselist=False)
        credits = relationship("Credit", back_populates="author", order_by="Credit.book_id")

    class Bio(Versioned, Dated, Base):
        __tablename__ = "bio"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))
        author_id: Mapped[int | None] = mapped_column(ForeignKey("author.id"))
        author = relationship("Author", back_populates="bio")

    class Tag(Versioned, Dated, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))
        books = relationship("Book", secondary=book_tag, back_populates="tags", order_by="Book.id")

    class Credit(Versioned, Dated, Base):
        """An association object: a key of two columns, and something to say of its own."""

        __tablename__ = "credit"
        book_id: Mapped[int] = mapped_column(ForeignKey("book.id"), primary_key=True)
        author_id: Mapped[int] = mapped_column(ForeignKey("author.id"), primary_key=True)
        name: Mapped[str] = mapped_column(String(50))
        book = relationship("Book", back_populates="credits")
        author = relationship("Author", back_populates="credits")

    class Review(Versioned, Dated, Base):
        __tablename__ = "review"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))
        stars: Mapped[int] = mapped_column("rating")
        book_id: Mapped[int | None] = mapped_column(ForeignKey("book.id"))
        book = relationship("Book", back_populates="reviews")

    class Copy(Versioned, Dated, Base):
        """A key of two columns that others refer to."""

        __tablename__ = "copy"
        book_id: Mapped[int] = mapped_column(ForeignKey("book.id"), primary_key=True)
        number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        name: Mapped[str] = mapped_column(String(50))
        loans = relationship("Loan", back_populates="copy", order_by="Loan.id")

    class Loan(Versioned, Dated, Base):
        __tablename__ = "loan"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))
        book_id: Mapped[int | None] = mapped_column("of_book")
        number: Mapped[int | None]
        copy = relationship("Copy", back_populates="loans")
        __table_args__ = (ForeignKeyConstraint(["of_book", "number"], ["copy.book_id", "copy.number"]),)

    def reading(lazy: Any = "select", **options: Any) -> Any:
        return relationship(
            "Review",
            lazy=lazy,
            order_by="Review.id",
            overlaps="book,reviews,review_set,review_dict,lazy_dynamic",
            **options,
        )

    class Book(Versioned, Dated, Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column("title", String(50))
        first: Mapped[int | None]
        last: Mapped[int | None] = mapped_column("last_year", key="last_key")
        author_id: Mapped[int | None] = mapped_column(ForeignKey("author.id"))
        editor_id: Mapped[int | None] = mapped_column(ForeignKey("author.id"))
        publisher_id: Mapped[int | None] = mapped_column(ForeignKey("publisher.id"))
        after_id: Mapped[int | None] = mapped_column(ForeignKey("book.id"))

        author = relationship("Author", back_populates="books", foreign_keys=[author_id])
        editor = relationship("Author", back_populates="edited", foreign_keys=[editor_id])
        publisher = relationship("Publisher", backref="books")
        shops = relationship("Shop", secondary=book_shop, order_by="Shop.id")
        tags = relationship("Tag", secondary=book_tag, back_populates="books", order_by="Tag.id")
        after = relationship("Book", remote_side=[id], back_populates="before")
        before = relationship("Book", back_populates="after", order_by="Book.id")
        related = relationship(
            "Book",
            secondary=kinship,
            primaryjoin=id == kinship.c.left_id,
            secondaryjoin=id == kinship.c.right_id,
            order_by=kinship.c.right_id,
            backref="related_by",
        )
        credits = relationship(
            "Credit", back_populates="book", order_by="Credit.author_id", cascade="all, delete-orphan"
        )
        reviews = relationship("Review", back_populates="book", order_by="Review.id")
        copies = relationship("Copy", order_by="Copy.number")

        # Conditions and orders of their own.
        praise = relationship(
            "Review",
            primaryjoin="and_(Review.book_id == Book.id, Review.stars >= 4)",
            order_by="desc(Review.stars), Review.id",
            viewonly=True,
        )
        genres = relationship(
            "Tag",
            secondary=book_tag,
            secondaryjoin=lambda: (Tag.id == book_tag.c.right_id) & (Tag.name != "hidden"),
            order_by=lambda: [book_tag.c.position.desc(), Tag.name],
            viewonly=True,
        )
        namesakes = relationship(
            "Author",
            primaryjoin=lambda: func.lower(remote(foreign(Author.name))) == func.lower(Book.name),
            order_by="Author.id",
            viewonly=True,
        )
        coeval = relationship(
            "Book",
            primaryjoin=lambda: (remote(foreign(Book.first)) == Book.first) & (remote(Book.id) != Book.id),
            order_by="Book.id",
            viewonly=True,
        )

        # Collections.
        review_set = reading(collection_class=set)
        review_dict = reading(collection_class=attribute_keyed_dict("name"))

        # What the parent loads, and how, is no concern of its versions.
        lazy_dynamic = reading("dynamic")
        lazy_write_only = reading("write_only", passive_deletes=True)
        lazy_raise = reading("raise", viewonly=True)
        lazy_raise_on_sql = reading("raise_on_sql", viewonly=True)
        lazy_selectin = reading("selectin", viewonly=True)
        lazy_joined = reading("joined", viewonly=True)
        lazy_subquery = reading("subquery", viewonly=True)
        lazy_immediate = reading("immediate", viewonly=True)
        lazy_joined_author = relationship(
            "Author", lazy="joined", innerjoin=False, foreign_keys=[author_id], viewonly=True
        )

        # Derived.
        title: Mapped[str] = synonym("name")
        writer: Mapped[Any] = synonym("author")
        span = composite(Span, "first", "last")
        length = column_property(func.length(name))
        tag_names = association_proxy("tags", "name")
        author_name = association_proxy("author", "name")
        contributors = association_proxy("credits", "author")
        ratings = association_proxy("review_dict", "stars")

        @declared_attr
        def review_count(cls) -> Any:
            return column_property(
                select(func.count(Review.id)).where(Review.book_id == cls.id).correlate_except(Review).scalar_subquery()
            )

        @hybrid_property
        def shouted(self) -> str:
            return self.name + "!"

        @hybrid_property
        def is_tagged(self) -> bool:
            return bool(self.tags)

        @is_tagged.inplace.expression
        @classmethod
        def _is_tagged(cls) -> Any:
            return cls.tags.any()

        @hybrid_method
        def begins_after(self, year: int) -> Any:
            return self.first > year

    mapped = (Publisher, Shop, Author, Bio, Tag, Credit, Review, Copy, Loan, Book)
    return SimpleNamespace(
        Base=Base,
        manager=manager,
        strategy=strategy,
        versioned=mapped[2:],
        book_tag=book_tag,
        **{model.__name__: model for model in mapped},
    )


LIBRARIES = {strategy: library(strategy) for strategy in ("validity", "subquery")}


@pytest.fixture(params=LIBRARIES)
def models(request: pytest.FixtureRequest) -> SimpleNamespace:
    """The models under each strategy."""
    return LIBRARIES[request.param]


@pytest.fixture
def base(models: SimpleNamespace) -> type[DeclarativeBase]:
    """What `sessions` creates."""
    return models.Base


@pytest.fixture
def manager(models: SimpleNamespace) -> VersioningManager:
    """What the invariants are proved of."""
    return models.manager


Day = Callable[[Any, SimpleNamespace], Awaitable[None]]


async def founding(session: Any, m: SimpleNamespace) -> None:
    """Fill the shelves."""
    session.add_all([m.Publisher(id=n, name=f"publisher {n}") for n in (1, 2)])
    session.add_all([m.Shop(id=n, name=f"shop {n}") for n in (1, 2, 3)])
    session.add_all([m.Author(id=n, name=name) for n, name in ((1, "ann"), (2, "bob"), (3, "Two"))])
    session.add_all([m.Tag(id=n, name=name) for n, name in ((1, "old"), (2, "hidden"), (3, "new"))])
    await session.flush()
    session.add_all([m.Book(id=n, name=name, first=1900, author_id=1) for n, name in ((1, "one"), (2, "two"))])
    session.add(m.Book(id=3, name="three", first=1950, publisher_id=2))
    await session.flush()
    session.add(m.Bio(id=1, name="bio of ann", author_id=1))
    session.add_all([m.Review(id=n, name=f"review {n}", stars=n, book_id=1 + n % 2) for n in (1, 2, 3, 4, 5)])
    session.add_all([m.Copy(book_id=b, number=n, name=f"copy {n}") for b, n in ((1, 1), (1, 2), (2, 1))])
    session.add_all([m.Credit(book_id=1, author_id=1, name="text"), m.Credit(book_id=1, author_id=2, name="cover")])
    await session.flush()
    session.add_all(
        [m.Loan(id=1, name="loan 1", book_id=1, number=1), m.Loan(id=2, name="loan 2", book_id=2, number=1)]
    )
    one, two, three = [await session.get_one(m.Book, n) for n in (1, 2, 3)]
    tags = [await session.get_one(m.Tag, n) for n in (1, 2, 3)]
    for book in (one, two, three):
        for name in ("tags", "related", "related_by", "shops", "before"):
            await getattr(book.awaitable_attrs, name)
    one.tags, two.tags = tags[:2], [tags[2]]
    one.related = [two, three]
    one.shops = [await session.get_one(m.Shop, 1)]
    two.after, two.editor_id, two.publisher_id = one, 2, 1


async def moving(session: Any, m: SimpleNamespace) -> None:
    """Link otherwise, from one side or the other, and by Core; no linked row changes but by its foreign keys."""
    one, two, three = [await session.get_one(m.Book, n) for n in (1, 2, 3)]
    new, old = await session.get_one(m.Tag, 3), await session.get_one(m.Tag, 1)
    (await one.awaitable_attrs.tags).append(new)
    (await old.awaitable_attrs.books).remove(one)
    (await one.awaitable_attrs.related).remove(three)
    (await one.awaitable_attrs.related_by).append(three)
    (await one.awaitable_attrs.shops)[:] = [await session.get_one(m.Shop, n) for n in (2, 3)]
    three.after, one.first, two.author_id, three.author_id, one.editor_id = two, 1950, 2, 1, 2
    await session.flush()
    await session.execute(insert(m.book_tag).values(left_id=3, right_id=1, position=7))
    await session.execute(insert(m.book_tag).values(left_id=3, right_id=3, position=9))
    (await session.get_one(m.Bio, 1)).author_id = 2
    (await session.get_one(m.Loan, 1)).number = 2


async def renaming(session: Any, m: SimpleNamespace) -> None:
    """Change what is linked, and no link."""
    for model in (m.Author, m.Tag, m.Bio, m.Credit, m.Copy, m.Loan, m.Review):
        for each in await session.scalars(select(model)):
            each.name += "'"
    for review in await session.scalars(select(m.Review)):
        review.stars = 6 - review.stars
    (await session.get_one(m.Tag, 2)).name = "shown"
    (await session.get_one(m.Author, 2)).name = "ONE"


async def weeding(session: Any, m: SimpleNamespace) -> None:
    """Delete what is linked."""
    one = await session.get_one(m.Book, 1)
    await session.delete(await session.get_one(m.Tag, 3))
    await session.delete(await session.get_one(m.Review, 2))
    await session.delete(await session.get_one(m.Bio, 1))
    await session.delete(await session.get_one(m.Loan, 1))
    (await one.awaitable_attrs.credits).pop()
    await session.flush()
    await session.delete(await session.get_one(m.Copy, (1, 2)))
    await session.execute(delete(m.book_tag).where(m.book_tag.c.position == 7))


async def returning(session: Any, m: SimpleNamespace) -> None:
    """Bring back under the old keys what was deleted, with other names."""
    session.add_all([m.Tag(id=3, name="again"), m.Review(id=2, name="review again", stars=5, book_id=1)])
    session.add_all([m.Bio(id=1, name="bio again", author_id=1), m.Copy(book_id=1, number=2, name="copy again")])
    one = await session.get_one(m.Book, 1)
    (await one.awaitable_attrs.credits).append(m.Credit(author_id=3, name="index"))
    await session.flush()
    session.add(m.Loan(id=1, name="loan again", book_id=1, number=2))
    (await session.get_one(m.Book, 2)).publisher_id = 2
    await session.execute(insert(m.book_tag).values(left_id=1, right_id=3))


STORY: list[Day] = [founding, moving, renaming, weeding, returning]


async def touch(session: Any, m: SimpleNamespace, day: int) -> None:
    """Give every entity that relations start from a version of this day."""
    for model in m.versioned:
        for each in (await session.scalars(select(model).execution_options(populate_existing=True))).unique():
            each.day = day


async def tell(sessions: Any, m: SimpleNamespace, *, days: int = len(STORY), touched: bool = True) -> None:
    """Live through the story, a transaction for each day."""
    for day, happens in enumerate(STORY[:days]):
        async with sessions.begin() as session:
            await happens(session, m)
            await session.flush()
            if touched:
                await touch(session, m, day)


def seen(value: Any) -> Any:
    """Give what a relation shows, live or past, as plain values: keys and names, in its own order and collection."""
    match value:
        case None:
            return None
        case dict():
            return {name: seen(each) for name, each in value.items()}
        case set() | frozenset():
            return {seen(each) for each in value}
        case list():
            return [seen(each) for each in value]
    mapper = value.__mapper__
    names = [column.key for column in mapper.local_table.primary_key]
    names = [name for name in names if name != "transaction_id"]
    model = mapper.class_.__name__.removesuffix("Version")
    return (model, *(getattr(value, name) for name in names), value.name)

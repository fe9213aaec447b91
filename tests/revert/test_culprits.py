"""A revert that a rule of the database stops says whose row is in the way, whatever the rule looks at."""

from datetime import datetime
from types import SimpleNamespace

import pytest
from sqlalchemy import Column, ForeignKey, Index, String, Table, UniqueConstraint, delete, func, select, text
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, mapped_column, relationship

import async_continuum as ac
from async_continuum import versions_of


@pytest.fixture
async def refused(own, database):
    """`await refused(rules, change, says)`: a shelf of two books, changed since, cannot be what it was."""

    async def refuse(rules, change, *says, exclude=(), hidden="s", after=None):
        Base, manager = own()

        class Shelf(ac.Versioned, Base):
            __tablename__ = "shelf"
            id: Mapped[int] = mapped_column(primary_key=True)
            books: Mapped[list["Book"]] = relationship(order_by="Book.id")

        class Book(ac.Versioned, Base):
            __tablename__ = "book"
            __versioned__ = {"exclude": list(exclude)}
            id: Mapped[int] = mapped_column(primary_key=True)
            word: Mapped[str | None] = mapped_column(String(20))
            secret: Mapped[str | None] = mapped_column(String(20), default=hidden)
            number: Mapped[int] = mapped_column(default=7)
            shelf_id: Mapped[int | None] = mapped_column(ForeignKey("shelf.id"))

        for rule in rules(Book):
            Book.__table__.append_constraint(rule)
        sessions = await database(Base, manager)
        async with sessions() as session:
            session.add(Shelf(id=1, books=[Book(id=n, word=f"w{n}") for n in (1, 2)]))
            await session.commit()
            await change(session, Book)
            await session.commit()
            rows = (await session.execute(select(Book.__table__).order_by("id"))).all()
            with pytest.raises(ac.RevertError) as caught:
                await (await versions_of(session, Shelf, 1))[0].revert(session, relations=["books"])
            for each in says:
                assert each in str(caught.value)
            assert caught.value.path == "books"
            assert (await session.execute(select(Book.__table__).order_by("id"))).all() == rows
            if after is not None:
                # What the rule leaves alone is in nobody's way.
                await after(session, Book)
                await session.commit()
                await (await versions_of(session, Shelf, 1))[0].revert(session, relations=["books"])
                await session.commit()
                words = select(Book.word).where(Book.shelf_id == 1).order_by(Book.id)
                assert list(await session.scalars(words)) == ["w1", "w2"]

    return refuse


@pytest.fixture(params=["changed", "deleted"])
def taken(request):
    """`taken(values, ...)` lets book 1 go of its word, and makes a book for each of these, with it or what they say."""

    def take(*rows):
        async def change(session, Book):
            book = await session.get_one(Book, 1)
            if request.param == "deleted":
                await session.delete(book)
            else:
                book.word = None
            await session.flush()
            session.add_all([Book(id=n, **{"word": "w1", **each}) for n, each in enumerate(rows, start=3)])

        return change

    return take


def partial(condition):
    return lambda Book: [
        Index("ix_book_word", Book.word, unique=True, sqlite_where=condition(Book), postgresql_where=condition(Book))
    ]


@pytest.mark.parametrize("condition", [lambda Book: Book.number > 5, lambda Book: text("number > 5")])
async def test_a_unique_index_over_some_rows(refused, taken, condition):
    async def after(session, Book):
        (await session.get_one(Book, 3)).number = 2

    await refused(
        partial(condition),
        taken({"number": 9}, {"number": 1}),
        "Book 1 had the word 'w1', and Book 3 has it now ('ix_book_word' allows one).",
        after=after,
    )


async def test_a_unique_index_over_an_expression(refused, taken):
    async def after(session, Book):
        (await session.get_one(Book, 3)).word = "else"

    await refused(
        lambda Book: [Index("ix_book_lower", func.lower(Book.word).desc(), unique=True)],
        taken({"word": "W1"}),
        "Book 1 had the word 'w1', and Book 3 has 'W1' now ('ix_book_lower' allows one).",
        after=after,
    )


async def test_a_unique_index_over_a_text(refused, taken):
    await refused(
        lambda Book: [Index("ix_book_lower", text("lower(word)"), unique=True)],
        taken({"word": "W1"}),
        "Book 3 has now what Book 1 had ('ix_book_lower' allows one).",
    )


async def test_a_unique_pair_of_which_history_holds_one(refused, taken):
    async def after(session, Book):
        (await session.get_one(Book, 3)).secret = "t"

    await refused(
        lambda Book: [UniqueConstraint("word", "secret")],
        taken({"secret": "s"}, {"secret": "other"}),
        "Book 1 would have the word, secret ('w1', 's'), and Book 3 has it now.",
        exclude=["secret"],
        after=after,
    )


async def test_rows_that_history_does_not_tell_apart(refused):
    async def change(session, Book):
        one, two = [await session.get_one(Book, n) for n in (1, 2)]
        one.word, two.word = "x", "y"
        await session.flush()
        two.secret = one.secret

    await refused(
        lambda Book: [Index("ix_pair", func.substr(Book.word, 1, 1), Book.secret, unique=True)],
        change,
        "Book 1 and Book 2 would have the same word, secret.",
        exclude=["secret"],
        hidden=lambda context: f"s{context.get_current_parameters()['id']}",
    )


async def test_nulls_of_which_there_is_one(refused, backend):
    if backend == "sqlite":
        pytest.skip("to SQLite, NULLs differ")

    async def change(session, Book):
        (await session.get_one(Book, 1)).word = "else"
        await session.flush()
        session.add(Book(id=3, word=None))

    await refused(
        lambda Book: [Index("ix_one", func.nullif(Book.word, "w1"), unique=True, postgresql_nulls_not_distinct=True)],
        change,
        "Book 1 had the word 'w1', and Book 3 has None now ('ix_one' allows one).",
    )


async def test_a_value_of_a_type_that_no_text_is_compared_with(own, database):
    Base, manager = own()

    class Host(ac.Versioned, Base):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        address: Mapped[str | None] = mapped_column(INET().with_variant(String(20), "sqlite"), unique=True)
        seen: Mapped[datetime | None] = mapped_column(unique=True)

    sessions = await database(Base, manager)
    async with sessions() as session:
        host = Host(id=1, address="10.0.0.1", seen=datetime(2026, 1, 1))
        session.add(host)
        await session.commit()
        host.address = host.seen = None
        await session.flush()
        session.add_all([Host(id=2, address="10.0.0.1"), Host(id=3, seen=datetime(2026, 1, 1))])
        await session.commit()
        with pytest.raises(ac.RevertError, match=r"had the address .*10\.0\.0\.1.*, and Host 2 has it now") as caught:
            await (await versions_of(session, Host, 1))[0].revert(session)
        assert "had the seen datetime.datetime(2026, 1, 1, 0, 0), and Host 3 has it now" in str(caught.value)


async def test_many_rows_are_asked_about_at_once(own, database, statements):
    Base, manager = own()

    class Shelf(ac.Versioned, Base):
        __tablename__ = "shelf"
        id: Mapped[int] = mapped_column(primary_key=True)
        books: Mapped[list["Book"]] = relationship(order_by="Book.id")

    class Book(ac.Versioned, Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        word: Mapped[str] = mapped_column(String(20))
        shelf_id: Mapped[int | None] = mapped_column(ForeignKey("shelf.id"))
        __table_args__ = (Index("ix_lower", func.lower(word), unique=True),)

    sessions = await database(Base, manager)
    counted = []
    async with sessions() as session:
        for number, count in ((1, 6), (2, 410)):
            ids = range(1000 * number, 1000 * number + count)
            session.add(Shelf(id=number, books=[Book(id=n, word=f"w{n}") for n in ids]))
            await session.commit()
            await session.execute(delete(Book).where(Book.id.in_(ids)))
            session.add_all([Book(id=n + 10_000, word=f"W{n}") for n in ids])
            await session.commit()
            session.expunge_all()
            version = (await versions_of(session, Shelf, number))[0]
            before = len(statements)
            with pytest.raises(ac.RevertError, match=rf"has 'W\d+' now .* And {count - 5} more\."):
                await version.revert(session, relations=["books"])
            counted.append(len(statements) - before)
    # SQLite takes 400 rows at a time.
    assert counted[1] <= counted[0] + 2


@pytest.fixture
async def tagged(own, database):
    """An article with two tags: a tag is of one article, and what permits it has to be there."""
    Base, manager = own()
    links = Table(
        "article_tag",
        Base.metadata,
        Column("article_id", ForeignKey("article.id"), primary_key=True),
        Column("tag_id", ForeignKey("tag.id"), ForeignKey("permit.tag_id"), primary_key=True),
        Index("ix_article_tag", "tag_id", unique=True),
    )

    class Article(ac.Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        tags: Mapped[list["Tag"]] = relationship(secondary=links, back_populates="articles")

    class Tag(ac.Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        articles: Mapped[list[Article]] = relationship(secondary=links, back_populates="tags")

    class Permit(Base):
        __tablename__ = "permit"
        tag_id: Mapped[int] = mapped_column(primary_key=True)

    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add_all([Permit(tag_id=n) for n in (1, 2)])
        await session.flush()
        session.add_all([Article(id=1, tags=[Tag(id=1), Tag(id=2)]), Article(id=2)])
        await session.commit()
        yield SimpleNamespace(session=session, Article=Article, Tag=Tag, Permit=Permit, links=links)


async def test_a_link_that_only_one_may_have(tagged):
    m, session = tagged, tagged.session
    version = (await versions_of(session, m.Article, 1))[0]
    await session.execute(m.links.update().where(m.links.c.tag_id == 1).values(article_id=2))
    await session.commit()
    session.expunge_all()
    said = r"Article 1\.tags -> Tag 1 had the tag_id 1, and Article 2\.tags -> Tag 1 has it now\."
    with pytest.raises(ac.RevertError, match=said) as caught:
        await version.revert(session, relations=["tags"])
    assert caught.value.path == "tags"
    await session.commit()
    assert {(2, 1), (1, 2)} == {tuple(row) for row in await session.execute(select(m.links))}
    # Taken back together with the other one's end, it is free.
    await version.revert(session, relations=["tags.articles"])
    await session.commit()
    assert {(1, 1), (1, 2)} == {tuple(row) for row in await session.execute(select(m.links))}


async def test_a_link_whose_permit_is_gone(tagged):
    m, session = tagged, tagged.session
    version = (await versions_of(session, m.Article, 1))[0]
    await session.execute(m.links.delete())
    await session.delete(await session.get_one(m.Permit, 2))
    await session.commit()
    session.expunge_all()
    said = r"Article 1\.tags -> Tag 2 referred by its tag_id to Permit 2, which is gone"
    with pytest.raises(ac.RevertError, match=said) as caught:
        await version.revert(session, relations=["tags"])
    assert caught.value.path == "tags"
    assert (await session.execute(select(m.links))).all() == []


async def test_a_link_to_what_would_be_deleted(own, database):
    Base, manager = own()
    guests = Table(
        "room_guest",
        Base.metadata,
        Column("room_id", ForeignKey("room.id"), primary_key=True),
        Column("guest", String(20), primary_key=True),
    )

    class House(ac.Versioned, Base):
        __tablename__ = "house"
        id: Mapped[int] = mapped_column(primary_key=True)
        rooms: Mapped[list["Room"]] = relationship(cascade="all, delete-orphan")

    class Room(ac.Versioned, Base):
        __tablename__ = "room"
        id: Mapped[int] = mapped_column(primary_key=True)
        house_id: Mapped[int] = mapped_column(ForeignKey("house.id"))

    sessions = await database(Base, manager)
    async with sessions() as session:
        house = House(id=1)
        session.add(house)
        await session.commit()
        session.add_all([Room(id=n, house_id=1) for n in (1, 2)])
        await session.commit()
        await session.execute(guests.insert().values(room_id=2, guest="ann"))
        await session.commit()
        said = r"the row of 'room_guest' with room_id 2, guest 'ann' refers to Room 2 by its room_id"
        with pytest.raises(ac.RevertError, match=said):
            await (await versions_of(session, House, 1))[0].revert(session, relations=["rooms"])

"""A version class has the model's attributes under their names, and what is derived from them."""

import pickle
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import ForeignKey, String, func, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.ext.hybrid import hybrid_method, hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    column_property,
    configure_mappers,
    mapped_column,
    relationship,
    selectinload,
    synonym,
)

from async_continuum import Version, Versioned, VersioningManager, make_versioned, version_class, versions_of
from tests.domain import Article, Bookmark, Person
from tests.kit.databases import Databases
from tests.kit.own import Own

PersonVersion = version_class(Person)
BookmarkVersion = version_class(Bookmark)


def test_attributes_are_called_as_in_the_model() -> None:
    configure_mappers()
    names = set(inspect(PersonVersion).column_attrs.keys())
    own = {"transaction_id", "end_transaction_id", "operation_type"}
    assert names - own == set(inspect(Person).column_attrs.keys())
    assert inspect(PersonVersion).attrs["given"].columns[0].name == "family"
    assert inspect(PersonVersion).relationships.keys() == ["transaction", "end_transaction", "version_parent"]


async def test_synonyms_and_crosswise_names_hold_their_own_values(session: AsyncSession) -> None:
    session.add(Person(number=1, given="ann", family="smith"))
    await session.commit()
    version: Any = (await session.scalars(select(PersonVersion).where(PersonVersion.surname == "smith"))).one()
    assert (version.given, version.family, version.surname) == ("ann", "smith", "smith")


async def test_the_models_attributes_win_and_the_methods_stay_reachable(session: AsyncSession) -> None:
    words = {"next": "n", "previous": "p", "diff": "d", "revert": "r", "transaction": "t"}
    bookmark = Bookmark(id=1, index=7, **words)
    session.add(bookmark)
    await session.commit()
    bookmark.next = "m"
    await session.commit()
    first, second = await versions_of(session, Bookmark, 1)
    assert (first.index, first.next, first.previous, first.diff, first.revert, first.transaction) == (
        7,
        *words.values(),
    )
    assert await Version.index(second) == 1
    assert await Version.next(first) is second
    assert await Version.previous(second) is first
    assert await Version.diff(first, second) == {"next": ("n", "m")}
    assert await second.changeset() == {"next": ("n", "m")}
    assert await Version.revert(first, session) is bookmark
    await session.commit()
    await session.refresh(bookmark)
    assert bookmark.next == "n"
    assert (await first.awaitable_attrs.version_parent) is bookmark


async def test_version_parent_of_the_models_own_wins(own: Own, database: Databases) -> None:
    Base, manager = own()

    class Release(Versioned, Base):
        __tablename__ = "release"
        id: Mapped[int] = mapped_column(primary_key=True)
        version_parent: Mapped[str]
        changeset: Mapped[str]
        awaitable_attrs_: Mapped[str | None]

    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add(Release(version_parent="1.0", changeset="r5"))
        await session.commit()
        (version,) = await versions_of(session, Release, 1)
        assert (version.version_parent, version.changeset) == ("1.0", "r5")
        assert (await Version.changeset(version))["changeset"] == (None, "r5")


class Derived:
    """Attributes that follow from others, declared on a mixin."""

    @hybrid_property
    def shouted(self) -> str:
        return self.name + "!"  # type: ignore[attr-defined]

    @hybrid_method
    def longer_than(self, length: int) -> bool:
        return self.size > length  # type: ignore[attr-defined]


@pytest.fixture
def Book(own: Own) -> tuple[type[DeclarativeBase], Any, VersioningManager]:
    Base, manager = own()

    class Page(Versioned, Base):
        __tablename__ = "page"
        id: Mapped[int] = mapped_column(primary_key=True)
        book_id: Mapped[int] = mapped_column(ForeignKey("book.id"))

    class Book(Derived, Versioned, Base):
        __versioned__ = {"exclude": ["secret"]}
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column("title", String(50))
        secret: Mapped[str | None] = mapped_column(String(50))
        size: Mapped[int] = column_property(func.length(name))
        whole: Mapped[str] = column_property(name + "?", deferred=True)
        hidden: Mapped[str | None] = column_property(func.lower(secret))
        pages: Mapped[int] = column_property(
            select(func.count(Page.id)).where(Page.book_id == id).correlate_except(Page).scalar_subquery()
        )
        title: Mapped[str] = synonym("name")
        known: Mapped[str] = synonym("secret")

        @hybrid_property
        def initial(self) -> str:
            return self.name[0]

        @initial.inplace.expression
        @classmethod
        def _initial(cls) -> Any:
            return func.substr(cls.name, 1, 1)

        @initial.inplace.setter
        def _set_initial(self, value: str) -> None:
            self.name = value + self.name[1:]

    return Base, Book, manager


async def test_what_follows_from_a_column_follows_from_its_past(
    Book: tuple[type[DeclarativeBase], Any, VersioningManager], database: Databases
) -> None:
    Base, model, manager = Book
    sessions = await database(Base, manager)
    async with sessions() as session:
        book = model(name="dune", secret="S")
        session.add(book)
        await session.commit()
        await session.refresh(book)
        book.name = "emma2"
        await session.commit()
        BookVersion: Any = version_class(model)
        first, second = await versions_of(session, model, 1)
        assert (first.size, first.shouted, first.initial, first.title) == (4, "dune!", "d", "dune")
        assert (second.size, second.shouted, second.initial, second.longer_than(4)) == (5, "emma2!", "e", True)
        assert await first.awaitable_attrs.whole == "dune?"
        by = [
            BookVersion.size == 4,
            BookVersion.initial == "d",
            BookVersion.shouted == "dune!",
            BookVersion.title == "dune",
        ]
        for criterion in (*by, ~BookVersion.longer_than(4)):
            assert (await session.scalars(select(BookVersion).where(criterion))).all() == [first]


@pytest.mark.parametrize(
    ("name", "reason"), [("pages", "computed over other rows"), ("hidden", "'secret', which history excludes")]
)
def test_what_follows_from_elsewhere_says_that_it_is_not_there(
    Book: tuple[type[DeclarativeBase], Any, VersioningManager], name: str, reason: str
) -> None:
    BookVersion = version_class(Book[1])
    for target in (BookVersion, BookVersion()):
        with pytest.raises(AttributeError, match=f"BookVersion.{name} is not available: .*{reason}"):
            getattr(target, name)


def test_a_synonym_of_what_is_excluded_is_not_there(
    Book: tuple[type[DeclarativeBase], Any, VersioningManager],
) -> None:
    assert not hasattr(version_class(Book[1]), "known")
    assert not hasattr(version_class(Book[1]), "secret")


async def test_a_column_property_added_later_is_there_too(own: Own, database: Databases) -> None:
    Base, manager = own()

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    Tag.size = column_property(func.length(Tag.name))
    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add(Tag(name="abc"))
        await session.commit()
        (version,) = await versions_of(session, Tag, 1)
        assert version.size == 3


async def test_a_dataclass_is_versioned(own: Own, database: Databases) -> None:
    Base, manager = own()

    class Tag(MappedAsDataclass, Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        name: Mapped[str]

    sessions = await database(Base, manager)
    async with sessions() as session:
        tag = Tag(name="a")
        session.add(tag)
        await session.commit()
        (version,) = await versions_of(session, Tag, 1)
        assert version.name == "a"
        assert await version.revert(session) is tag


async def test_a_base_that_demands_arguments_demands_none_of_a_version(own: Own, database: Databases) -> None:
    class Demanding(DeclarativeBase):
        def __init__(self, name: str) -> None:
            self.name = name

        def __init_subclass__(cls, **kwargs: Any) -> None:
            assert "Version" not in cls.__name__
            super().__init_subclass__(**kwargs)

    Base, manager = own(Demanding)

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add(Tag("a"))
        await session.commit()
        (version,) = await versions_of(session, Tag, 1)
        assert (await version.awaitable_attrs.version_parent).name == "a"


# -- pickling -------------------------------------------------------------------------------------------------------


def test_a_version_class_is_importable_by_its_path() -> None:
    from tests import domain

    assert domain.ArticleVersion is version_class(Article)
    assert version_class(Article).__module__ == "tests.domain"
    assert pickle.loads(pickle.dumps(version_class(Article))) is version_class(Article)


async def test_a_version_is_picklable_with_what_it_has_loaded(sessions: async_sessionmaker[AsyncSession]) -> None:
    async with sessions() as session:
        session.add(Article(id=1, name="a"))
        await session.commit()
        ArticleVersion = version_class(Article)
        found = select(ArticleVersion).options(
            selectinload(ArticleVersion.transaction), selectinload(ArticleVersion.version_parent)
        )
        version = (await session.scalars(found)).one()
        copy: Any = pickle.loads(pickle.dumps(version))
    assert type(copy) is ArticleVersion
    assert (copy.id, copy.name, copy.transaction_id) == (1, "a", 1)
    assert copy.transaction.id == 1
    assert copy.transaction.issued_at.tzinfo is not None
    assert copy.version_parent.name == "a"
    async with sessions() as session:
        session.add(copy)
        assert await copy.index() == 0


@pytest.fixture
def module() -> Iterator[Any]:
    """A module of the user's own, in which names are taken."""
    import types

    made = types.ModuleType("magazine")
    sys.modules["magazine"] = made
    yield made
    del sys.modules["magazine"]


SOURCE = """
class {name}(Versioned, Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
"""


@pytest.mark.parametrize("nested", [False, True])
def test_a_version_class_whose_name_is_taken_is_importable_too(own: Own, module: Any, nested: bool) -> None:
    Base, _ = own()
    taken = object()
    vars(module).update(
        ArticleVersion=taken, Versioned=Versioned, Base=Base, Mapped=Mapped, mapped_column=mapped_column
    )
    if nested:
        body = SOURCE.format(name="Article").replace("\n", "\n    ")
        exec(f"class Outer:{body}", vars(module))
        Article = module.Outer.Article
    else:
        exec(SOURCE.format(name="Article"), vars(module))
        Article = module.Article
    assert module.ArticleVersion is taken
    assert version_class(Article).__name__ == "ArticleVersion"
    assert pickle.loads(pickle.dumps(version_class(Article))) is version_class(Article)


def test_what_was_put_into_the_users_module_is_taken_out_again(module: Any) -> None:
    from async_continuum import remove_versioning
    from tests.kit.own import new_base

    Base = new_base()
    vars(module).update(Versioned=Versioned, Base=Base, Mapped=Mapped, mapped_column=mapped_column)
    manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls=None)
    exec(SOURCE.format(name="Article"), vars(module))
    assert module.ArticleVersion is version_class(module.Article)
    remove_versioning(manager=manager)
    assert not hasattr(module, "ArticleVersion")


def test_versions_have_awaitable_attrs_even_where_the_base_has_not(own: Own) -> None:
    class Plain(DeclarativeBase):
        pass

    own(Plain)

    class Tag(Versioned, Plain):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("tag.id"))
        children = relationship("Tag", lazy="joined")

    configure_mappers()
    assert hasattr(version_class(Tag), "awaitable_attrs")
    assert {prop.lazy for prop in inspect(version_class(Tag)).relationships} == {"select"}

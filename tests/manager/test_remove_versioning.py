"""What `make_versioned` did is undone without a trace, and can be done again."""

import gc
from collections.abc import Iterator

import pytest
from sqlalchemy import ForeignKey, String, select
from sqlalchemy.dialects import postgresql  # noqa: F401 - its catalog's columns listen for themselves, once
from sqlalchemy.event import registry
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.declarative import AbstractConcreteBase
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from async_continuum import (
    ClassNotVersioned,
    ImproperlyConfigured,
    Versioned,
    VersioningManager,
    current_transaction,
    is_versioned,
    make_versioned,
    remove_versioning,
    transaction_class,
    version_class,
    versions_of,
)
from async_continuum.plugins import PropertyModTrackerPlugin
from tests.kit.databases import Databases
from tests.kit.own import new_base


def listeners() -> int:
    """Count what is listened to in this process, by SQLAlchemy's own books."""
    gc.collect()
    return sum(len(collections) for collections in registry._key_to_collection.values())


def kept_on(model: type) -> set[str]:
    """Name what a model has been given to find its history by."""
    return {name for name in vars(model) if "version" in name or "blueprint" in name}


@pytest.fixture
def manager() -> Iterator[VersioningManager]:
    manager = VersioningManager()
    yield manager
    remove_versioning(manager=manager)


def _magazine() -> tuple[type[DeclarativeBase], type, type]:
    Base = new_base()

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None] = mapped_column(String(50))

    class Note(Base):
        __versioned__ = {}
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)

    return Base, Article, Note


@pytest.mark.parametrize("configured", [False, True])
def test_as_many_listeners_as_before_are_left(manager: VersioningManager, configured: bool) -> None:
    Base, _, _ = _magazine()
    before = listeners()
    make_versioned(mapper=Base, manager=manager, user_cls=None)
    if configured:
        Base.registry.configure()  # not every registry of the process: other models would listen from here on
    assert listeners() > before
    remove_versioning(manager=manager)
    assert listeners() == before


@pytest.mark.parametrize("refused", ["the base, by a plugin", "the subclass, by an option"])
def test_a_class_that_is_refused_leaves_nothing_and_may_be_versioned_otherwise(
    manager: VersioningManager, refused: str
) -> None:
    Base = new_base()

    class Page(Versioned, Base):
        __tablename__ = "page"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str]

    class Title(Page):
        __tablename__ = "title"
        id: Mapped[int] = mapped_column(ForeignKey("page.id"), primary_key=True)
        size: Mapped[int]

    plugins = [PropertyModTrackerPlugin(), PropertyModTrackerPlugin()] if "plugin" in refused else []
    Title.__versioned__ = {"past_default": {"size": 1}} if "option" in refused else {}
    with pytest.raises(ImproperlyConfigured):
        make_versioned(mapper=Base, manager=manager, user_cls=None, plugins=plugins)
    remove_versioning(manager=manager)
    Title.__versioned__ = {}
    assert sorted(Base.metadata.tables) == ["page", "title"]
    make_versioned(mapper=Base, manager=manager, user_cls=None)
    assert version_class(Title).__table__.name == "title_version"


@pytest.mark.parametrize("configured", [False, True])
def test_classes_without_a_table_keep_nothing(manager: VersioningManager, configured: bool) -> None:
    Base = new_base()

    class Animal(AbstractConcreteBase, Base):
        name: Mapped[str]

    make_versioned(mapper=Base, manager=manager, user_cls=None)

    class Cat(Versioned, Animal):
        __tablename__ = "cat"
        id: Mapped[int] = mapped_column(primary_key=True)
        __mapper_args__ = {"concrete": True, "polymorphic_identity": "cat"}

    if configured:
        Base.registry.configure()
    assert kept_on(Animal)
    remove_versioning(manager=manager)
    assert not kept_on(Animal)
    Base.registry.configure()  # SQLAlchemy maps it for any registry that is configured, and then Cat must be there


def test_models_declared_in_between_leave_no_listener_either(manager: VersioningManager) -> None:
    before = listeners()
    Base = new_base()
    make_versioned(mapper=Base, manager=manager, user_cls=None)

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    Base.registry.configure()
    Article.name = mapped_column(String(50))
    remove_versioning(manager=manager)
    del Article, Base
    assert listeners() == before


async def test_as_many_listeners_as_before_are_left_after_work(manager: VersioningManager, database: Databases) -> None:
    Base, Article, _ = _magazine()
    # A first session on this engine, so that what SQLAlchemy itself sets up once is there before.
    async with AsyncSession(database.engine) as session:
        await session.connection()
    make_versioned(mapper=Base, manager=manager, user_cls=None)
    sessions = await database(Base, manager)
    async with sessions.begin() as session:
        article = Article(name="a")
        session.add(article)
        await session.flush()
        async with session.begin_nested():
            await session.delete(article)
    async with sessions() as session:
        await versions_of(session, Article, 1)
    await database.assert_invariants()
    database.managers.clear()
    del session, article
    working = listeners()
    remove_versioning(manager=manager)
    removed = listeners()
    make_versioned(mapper=Base, manager=manager, user_cls=None)
    Base.registry.configure()
    remove_versioning(manager=manager)
    assert removed < working
    assert listeners() == removed


def test_tables_and_attributes_are_gone(manager: VersioningManager) -> None:
    Base, Article, Note = _magazine()
    before = {model: dict(vars(model)) for model in (Article, Note)}
    make_versioned(mapper=Base, manager=manager, user_cls=None)
    Base.registry.configure()
    assert hasattr(Note, "awaitable_versions")
    remove_versioning(manager=manager)
    assert set(Base.metadata.tables) == {"article", "note"}
    assert not is_versioned(Article)
    assert not is_versioned(Article.__table__)
    assert Article.__table__.info == {}
    for model in (Article, Note):
        assert set(vars(model)) == set(before[model])
    for find in (version_class, transaction_class):
        with pytest.raises(ClassNotVersioned):
            find(Article)


def test_version_classes_are_mapped_no_longer(manager: VersioningManager) -> None:
    Base, Article, _ = _magazine()
    before = {mapper.class_.__name__ for mapper in Base.registry.mappers}
    make_versioned(mapper=Base, manager=manager, user_cls=None)
    Base.registry.configure()
    remove_versioning(manager=manager)
    assert {mapper.class_.__name__ for mapper in Base.registry.mappers} == before
    assert Article.__mapper__.relationships.keys() == []


async def test_it_can_be_made_again_with_other_options(manager: VersioningManager, database: Databases) -> None:
    Base, Article, _ = _magazine()
    make_versioned(mapper=Base, manager=manager, user_cls=None)
    Base.registry.configure()
    old = version_class(Article)
    remove_versioning(manager=manager)
    make_versioned(mapper=Base, manager=manager, user_cls=None, options={"table_name": "%s_history"})
    assert set(Base.metadata.tables) == {"article", "article_history", "note", "note_history", "transaction"}
    assert version_class(Article) is not old
    sessions = await database(Base, manager)
    async with sessions.begin() as session:
        session.add(Article(name="a"))
    async with sessions() as session:
        assert [version.name for version in await versions_of(session, Article, 1)] == ["a"]
        assert len((await session.scalars(select(transaction_class(Article)))).all()) == 1
    await database.assert_invariants()
    database.managers.clear()


def test_another_manager_can_take_over(manager: VersioningManager) -> None:
    Base, Article, _ = _magazine()
    first = VersioningManager()
    make_versioned(mapper=Base, manager=first, user_cls=None)
    remove_versioning(manager=first)
    make_versioned(mapper=Base, manager=manager, user_cls=None)
    assert manager.models[0] is Article
    assert first.models == ()


async def test_nothing_is_recorded_any_more_and_stored_history_stays(
    manager: VersioningManager, database: Databases
) -> None:
    Base, _, Note = _magazine()
    make_versioned(mapper=Base, manager=manager, user_cls=None)
    sessions = await database(Base)
    table = version_class(Note).__table__
    async with sessions.begin() as session:
        session.add(Note())
    remove_versioning(manager=manager)
    async with sessions.begin() as session:
        session.add(Note())
    async with sessions() as session:
        assert (await session.execute(select(table.c.id))).scalars().all() == [1]
        with pytest.raises(ClassNotVersioned):
            await current_transaction(session, model=Note)


def test_removing_what_was_never_made_does_nothing() -> None:
    manager = VersioningManager()
    before = listeners()
    remove_versioning(manager=manager)
    remove_versioning(manager=manager)
    assert listeners() == before


def test_other_managers_stay(manager: VersioningManager) -> None:
    Base, Article, _ = _magazine()
    make_versioned(mapper=Base, manager=manager, user_cls=None)
    Other, OtherArticle, _ = _magazine()
    other = make_versioned(mapper=Other, manager=VersioningManager(), user_cls=None)
    remove_versioning(manager=other)
    assert is_versioned(Article)
    assert not is_versioned(OtherArticle)

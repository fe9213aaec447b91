"""Only the sessions that `make_versioned(session=...)` means are recorded, synchronous ones too."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from async_continuum import (
    ImproperlyConfigured,
    Versioned,
    VersioningManager,
    backfill,
    current_transaction,
    make_versioned,
    remove_versioning,
    set_context,
    transaction_class,
    vacuum,
    verify,
    version_class,
    versioning_context,
    versioning_disabled,
)
from tests.kit.databases import Databases
from tests.kit.own import Own, new_base
from tests.kit.places import Place


class OwnSession(Session):
    pass


class DerivedSession(OwnSession):
    pass


class OwnAsyncSession(AsyncSession):
    pass


class DerivedAsyncSession(OwnAsyncSession):
    pass


class RoutedAsyncSession(AsyncSession):
    sync_session_class = OwnSession


RECORDED: dict[str, tuple[Any, Callable[[AsyncEngine], AsyncSession]]] = {
    "Session": (Session, AsyncSession),
    "AsyncSession": (AsyncSession, AsyncSession),
    "any, by AsyncSession": (AsyncSession, OwnAsyncSession),
    "a Session subclass": (OwnSession, lambda engine: AsyncSession(engine, sync_session_class=OwnSession)),
    "its subclass": (OwnSession, lambda engine: AsyncSession(engine, sync_session_class=DerivedSession)),
    "an AsyncSession subclass": (OwnAsyncSession, OwnAsyncSession),
    "a subclass of that": (OwnAsyncSession, DerivedAsyncSession),
    "an AsyncSession over a Session": (RoutedAsyncSession, RoutedAsyncSession),
    "a Session under it": (OwnSession, RoutedAsyncSession),
}
UNRECORDED: dict[str, tuple[Any, Callable[[AsyncEngine], AsyncSession]]] = {
    "another Session": (OwnSession, AsyncSession),
    "a parent Session": (DerivedSession, lambda engine: AsyncSession(engine, sync_session_class=OwnSession)),
    "another AsyncSession": (OwnAsyncSession, AsyncSession),
    "a parent AsyncSession": (DerivedAsyncSession, OwnAsyncSession),
    "another over the same Session": (
        RoutedAsyncSession,
        lambda engine: AsyncSession(engine, sync_session_class=OwnSession),
    ),
}

Declared = tuple[type[DeclarativeBase], type, VersioningManager]


@pytest.fixture
def declare(own: Own) -> Callable[[Any], Declared]:
    def declared(session: Any) -> Declared:
        Base, manager = own(session=session)

        class Article(Versioned, Base):
            __tablename__ = "article"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str | None]

        return Base, Article, manager

    return declared


async def _versions(engine: AsyncEngine, Article: type) -> int:
    async with AsyncSession(engine) as session:
        return (await session.scalars(select(func.count()).select_from(version_class(Article)))).one()


@pytest.mark.parametrize("case", RECORDED)
async def test_its_sessions_are_recorded(declare: Callable[[Any], Declared], database: Databases, case: str) -> None:
    scope, opened = RECORDED[case]
    Base, Article, manager = declare(scope)
    await database(Base, manager)
    async with opened(database.engine) as session:
        session.add(Article())
        await session.commit()
        (await current_transaction(session, model=Article)).remote_addr = "10.0.0.1"
        await session.delete(await session.get_one(Article, 1))
        await session.commit()
    assert await _versions(database.engine, Article) == 2


@pytest.mark.parametrize("case", UNRECORDED)
@pytest.mark.unaccounted
async def test_no_others_are(declare: Callable[[Any], Declared], database: Databases, case: str) -> None:
    scope, opened = UNRECORDED[case]
    Base, Article, manager = declare(scope)
    await database(Base, manager)
    async with opened(database.engine) as session:
        session.add(Article())
        await session.commit()
        with pytest.raises(ImproperlyConfigured):
            await current_transaction(session, model=Article)
        with pytest.raises(ImproperlyConfigured):
            await backfill(session, Article)
    assert await _versions(database.engine, Article) == 0


@pytest.mark.unaccounted
async def test_nothing_is_said_of_all_models_where_nobody_records_the_session(
    declare: Callable[[Any], Declared], database: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    Base, Article, manager = declare(OwnSession)
    await database(Base, manager)
    # The managers of other tests record every session.
    monkeypatch.setattr("async_continuum.manager.setup._active", [manager])
    async with AsyncSession(database.engine) as session:
        session.add(Article(id=1))
        await session.commit()
        for function in (verify, backfill, vacuum):
            with pytest.raises(ImproperlyConfigured, match="name the models"):
                await function(session)
        assert [(each.key, each.kind) for each in await verify(session, Article)] == [((1,), "missing")]


@pytest.mark.parametrize("kind", ["async_sessionmaker", "sync_session_class", "own class", "scoped"])
async def test_the_sessions_of_an_async_sessionmaker_are_recorded(
    declare: Callable[[Any], Declared], database: Databases, kind: str
) -> None:
    match kind:
        case "sync_session_class":
            factory = async_sessionmaker(database.engine, sync_session_class=OwnSession)
        case "own class":
            factory = async_sessionmaker(database.engine, class_=OwnAsyncSession)
        case _:
            factory = async_sessionmaker(database.engine)
    Base, Article, manager = declare(factory)
    await database(Base, manager)
    session = async_scoped_session(factory, scopefunc=lambda: 1) if kind == "scoped" else factory()
    session.add(Article())
    await session.commit()
    await session.close()
    assert await _versions(database.engine, Article) == 1


@pytest.mark.unaccounted
@pytest.mark.parametrize("class_", [AsyncSession, OwnAsyncSession])
async def test_the_sessions_of_another_async_sessionmaker_are_not(
    declare: Callable[[Any], Declared], database: Databases, class_: type[AsyncSession]
) -> None:
    Base, Article, manager = declare(async_sessionmaker(database.engine, class_=class_))
    await database(Base, manager)
    other = async_sessionmaker(database.engine, class_=class_)
    async with other.begin() as session:
        session.add(Article())
    async with AsyncSession(database.engine) as session:
        session.add(Article())
        await session.commit()
    assert await _versions(database.engine, Article) == 0


def test_an_async_sessionmaker_is_afterwards_what_it_was(own: Own) -> None:
    factory = async_sessionmaker(class_=OwnAsyncSession)
    own(session=factory)
    _, manager = own(session=factory)
    made = factory.class_
    assert issubclass(made, OwnAsyncSession)
    remove_versioning(manager=manager)
    assert factory.class_ is made
    assert make_versioned(mapper=new_base(), session=factory, manager=manager, user_cls=None) is manager
    assert factory.class_ is made


def test_an_async_sessionmaker_gets_its_class_back() -> None:
    factory = async_sessionmaker(class_=OwnAsyncSession)
    manager = make_versioned(mapper=new_base(), session=factory, manager=VersioningManager(), user_cls=None)
    remove_versioning(manager=manager)
    assert factory.class_ is OwnAsyncSession


@pytest.mark.unaccounted
async def test_of_two_sessionmakers_only_the_one_given_is_recorded(
    declare: Callable[[Any], Declared], database: Databases, place: Place
) -> None:
    engine = place.sync_engine()
    factory, other = sessionmaker(engine), sessionmaker(engine)
    Base, Article, manager = declare(factory)
    await database(Base, manager)
    with factory.begin() as session:
        session.add(Article())
    with other.begin() as session:
        session.add(Article())
    with Session(engine) as session:
        session.add(Article())
        session.commit()
    assert await _versions(database.engine, Article) == 1


@pytest.mark.parametrize("kind", ["Session", "sessionmaker", "scoped"])
async def test_a_plain_synchronous_session_writes_the_same_history(
    declare: Callable[[Any], Declared], database: Databases, place: Place, kind: str
) -> None:
    Base, Article, manager = declare(Session)
    sessions = await database(Base, manager)
    engine: Engine = place.sync_engine()
    async with sessions.begin() as session:
        session.add(Article(name="a"))
    opened: Any
    match kind:
        case "Session":
            opened = Session(engine)
        case "sessionmaker":
            opened = sessionmaker(engine)()
        case _:
            opened = scoped_session(sessionmaker(engine))
    with versioning_context(remote_addr="10.0.0.7"):
        opened.get(Article, 1).name = "b"
        opened.flush()
        with opened.begin_nested() as savepoint:
            opened.get(Article, 1).name = "c"
            opened.flush()
            savepoint.rollback()
        opened.commit()
    with versioning_disabled():
        other = Article(name="unseen")
        opened.add(other)
        opened.flush()
        opened.delete(other)
        opened.commit()
    set_context(opened() if kind == "scoped" else opened, remote_addr="10.0.0.8")
    opened.delete(opened.get(Article, 1))
    opened.commit()
    opened.close()
    async with sessions() as session:
        ArticleVersion, Transaction = version_class(Article), transaction_class(Article)
        rows = await session.execute(
            select(ArticleVersion.name, ArticleVersion.operation_type, Transaction.remote_addr)
            .join(Transaction, Transaction.id == ArticleVersion.transaction_id)
            .order_by(Transaction.id)
        )
        assert rows.all() == [("a", 0, None), ("b", 1, "10.0.0.7"), ("b", 2, "10.0.0.8")]


@pytest.mark.parametrize("session", ["Session", 3, object, DeclarativeBase, None])
def test_what_is_no_scope_of_sessions_is_refused(session: object) -> None:
    with pytest.raises(ImproperlyConfigured, match="no session class and no sessionmaker") as caught:
        make_versioned(session=session, manager=VersioningManager())
    assert caught.value.option == "session"

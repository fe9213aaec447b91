"""The wrong kind of session is refused at once, and nothing is stored in it."""

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import async_continuum as ac
from tests.domain import Article
from tests.kit.databases import Databases
from tests.kit.places import Place

ASYNC: dict[str, Callable[[Any], Any]] = {
    "versions_of": lambda session: ac.versions_of(session, Article, 1),
    "versions_of, an object": lambda session: ac.versions_of(session, Article(id=1)),
    "awaitable_versions": lambda session: Article(id=1).awaitable_versions(session),
    "changesets": lambda session: ac.changesets(session, []),
    "current_transaction": lambda session: ac.current_transaction(session),
    "vacuum": lambda session: ac.vacuum(session, Article),
    "backfill": lambda session: ac.backfill(session, Article),
    "verify": lambda session: ac.verify(session, Article),
    "revert": lambda session: ac.version_class(Article)(id=1).revert(session),
}


async def _finished(result: Any) -> Any:
    return await result if isawaitable(result) else result


@pytest.mark.parametrize("call", ASYNC)
@pytest.mark.parametrize("kind", [Session, sessionmaker, async_sessionmaker, object])
async def test_an_async_session_is_wanted(call: str, kind: type) -> None:
    given = kind()
    with pytest.raises(TypeError, match=rf"expected .*AsyncSession, got .*{kind.__qualname__}"):
        await _finished(ASYNC[call](given))
    assert getattr(given, "info", {}) == {}


@pytest.mark.parametrize("call", [ac.versioned_objects, ac.is_session_modified])
@pytest.mark.parametrize("given", [object(), None, sessionmaker(), Session])
def test_a_session_of_either_colour_is_wanted(call: Any, given: object) -> None:
    with pytest.raises(TypeError, match=r"expected an AsyncSession or a Session, got"):
        call(given)


@pytest.mark.parametrize("given", [object(), None, sessionmaker(), Session])
def test_a_context_is_set_on_sessions_only(given: Any) -> None:
    with pytest.raises(TypeError, match="expected an AsyncSession"):
        ac.set_context(given, remote_addr="10.0.0.1")


@pytest.mark.parametrize("call", [ac.versioned_objects, ac.is_session_modified])
def test_plain_functions_take_both_colours(call: Any) -> None:
    for session in (
        Session(),
        AsyncSession(),
        scoped_session(sessionmaker())(),
        async_scoped_session(async_sessionmaker(), lambda: 1),
    ):
        assert not call(session)


async def test_an_object_of_a_synchronous_session_says_which_is_wanted(
    sessions: async_sessionmaker[AsyncSession], place: Place
) -> None:
    async with sessions.begin() as session:
        session.add(Article(id=1, name="a"))
    with Session(place.sync_engine()) as synchronous:
        article = synchronous.get(Article, 1)
        assert article is not None
        held = dict(synchronous.info)  # managers with association tables watch every transaction that begins
        with pytest.raises(TypeError, match=r"expected .*AsyncSession, got .*Session"):
            article.awaitable_versions()
        with pytest.raises(TypeError, match=r"expected .*AsyncSession, got .*Session"):
            ac.versions_of(article)
        with pytest.raises(TypeError, match=r"expected .*AsyncSession, got .*Session"):
            await ac.count_versions(article)
        assert synchronous.info == held


async def test_a_mistaken_call_poisons_nothing(database: Databases, session: AsyncSession) -> None:
    with pytest.raises(TypeError):
        await ac.current_transaction(session.sync_session)  # type: ignore[arg-type]
    article = Article(name="a")
    session.add(article)
    await session.commit()
    assert await ac.count_versions(article) == 1


async def test_an_object_without_a_session_names_itself_and_the_remedy(
    sessions: async_sessionmaker[AsyncSession],
) -> None:
    async with sessions() as session:
        article = Article(name="a")
        session.add(article)
        await session.commit()
    calls: list[Callable[[], Any]] = [
        article.awaitable_versions,
        lambda: ac.versions_of(article),
        lambda: ac.count_versions(article),
    ]
    for call in calls:
        with pytest.raises(ac.NoSession, match=r"Article at 0x.* no AsyncSession.*awaitable_versions\(session\)") as no:
            await _finished(call())
        assert no.value.instance is article
    async with sessions() as session:
        assert await article.awaitable_versions(session).count() == 1
        assert await ac.versions_of(session, article).count() == 1


async def test_an_object_that_was_never_stored_has_no_versions() -> None:
    article = Article(name="a")
    assert await article.awaitable_versions() == []
    assert await ac.versions_of(article) == []
    assert await ac.count_versions(article) == 0


async def test_a_scoped_session_is_an_async_session(sessions: async_sessionmaker[AsyncSession]) -> None:
    scoped: Any = async_scoped_session(sessions, scopefunc=lambda: 1)
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: ac.versions_of(scoped, Article, 1),
        lambda: ac.verify(scoped, Article),
        lambda: ac.vacuum(scoped, Article),
        lambda: ac.backfill(scoped, Article),
        lambda: ac.changesets(scoped, []),
    ]
    for call in calls:
        assert not await call()
    await scoped.remove()


async def test_history_is_read_and_reverted_by_a_scoped_session(sessions: async_sessionmaker[AsyncSession]) -> None:
    scoped = async_scoped_session(sessions, scopefunc=lambda: 1)
    article = Article(name="a")
    scoped.add(article)
    await scoped.flush()
    assert (await ac.current_transaction(scoped)).id is not None
    await scoped.commit()
    await scoped.refresh(article)
    article.name = "b"
    await scoped.commit()
    first = await ac.versions_of(scoped, article)[0]
    assert (await first.plan_revert(scoped)).updated
    live = await first.as_live(scoped)
    assert live is not None
    assert live.name == "a"
    transaction = await first.awaitable_attrs.transaction
    past = await transaction.state(scoped)
    assert (await past.get(Article, article.id)).name == "a"
    assert list(await ac.changed_entities(scoped, [transaction])) == [transaction]
    reverted = await first.revert(scoped)
    assert reverted is not None
    assert reverted.name == "a"
    await scoped.rollback()
    await scoped.remove()


async def test_a_class_without_a_key_is_no_entity(session: AsyncSession) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: ac.versions_of(session, Article),  # type: ignore[call-overload]
        lambda: ac.versions_of(Article),  # type: ignore[call-overload]
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"Article is a class: give a key .*versions_of\(session, Article, key\)"):
            call()

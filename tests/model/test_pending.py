"""What is changed and not flushed yet is told without IO."""

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from async_continuum import (
    Change,
    ClassNotVersioned,
    changeset,
    is_modified,
    is_modified_or_deleted,
    is_session_modified,
    versioned_objects,
)
from tests.domain import Article, Comment, Person, Profile, Tag, User
from tests.kit.statements import Statements


@pytest.fixture
async def article(session: AsyncSession) -> Article:
    article = Article(id=1, name="a", content="text")
    session.add(article)
    await session.commit()
    await session.refresh(article)
    return article


async def test_a_change_of_a_live_object_is_told_with_its_old_value(
    session: AsyncSession, article: Article, statements: Statements
) -> None:
    assert changeset(article) == {}
    assert not is_modified(article)
    article.name = "b"
    article.content = None
    assert changeset(article) == {"name": Change("a", "b"), "content": Change("text", None)}
    assert is_modified(article)
    assert is_session_modified(session)
    assert not statements
    await session.flush()
    assert changeset(article) == {}
    assert not is_session_modified(session)


async def test_a_value_set_back_is_no_change(session: AsyncSession, article: Article) -> None:
    article.name = "b"
    article.name = "a"
    assert changeset(article) == {}
    assert not is_modified(article)
    assert not is_session_modified(session)


async def test_the_old_value_of_what_was_not_loaded_is_not_known(
    session: AsyncSession, article: Article, statements: Statements
) -> None:
    session.expire(article)
    article.name = "b"
    assert changeset(article) == {"name": Change(None, "b")}
    assert is_modified(article)
    assert not statements


def test_a_new_object_changes_what_was_set_on_it() -> None:
    article = Article(name="a")
    assert changeset(article) == {"name": Change(None, "a")}
    assert is_modified(article)


def test_attributes_are_called_as_in_the_model() -> None:
    assert changeset(Person(number=1, given="ann", born=None)) == {
        "number": Change(None, 1),
        "given": Change(None, "ann"),
    }


async def test_excluded_columns_do_not_count(session: AsyncSession) -> None:
    profile = Profile(nickname="ann", password="x")
    session.add(profile)
    await session.commit()
    await session.refresh(profile)
    profile.password = "y"
    assert changeset(profile) == {}
    assert not is_modified(profile)
    assert not is_session_modified(session)


async def test_related_objects_do_not_count(session: AsyncSession, article: Article) -> None:
    await session.refresh(article, ["comments"])
    article.comments.append(Comment(text="well"))
    assert changeset(article) == {}
    assert is_session_modified(session)


async def test_a_deleted_object_is_told_until_it_is_flushed(session: AsyncSession, article: Article) -> None:
    assert not is_modified_or_deleted(article)
    await session.delete(article)
    assert not is_modified(article)
    assert is_modified_or_deleted(article)
    assert is_session_modified(session)
    await session.flush()
    assert not is_session_modified(session)


async def test_an_object_in_no_session_is_modified_or_not(
    sessions: async_sessionmaker[AsyncSession], session: AsyncSession, article: Article
) -> None:
    session.expunge(article)
    assert not is_modified_or_deleted(article)
    article.name = "b"
    assert is_modified_or_deleted(article)


async def test_objects_whose_history_is_kept_are_listed(session: AsyncSession, article: Article) -> None:
    tag, user = Tag(name="t"), User(name="ann")
    session.add_all([tag, user])
    assert set(versioned_objects(session)) == {article, tag}
    assert set(versioned_objects(session.sync_session)) == {article, tag}


async def test_a_session_of_unversioned_changes_is_not_modified(session: AsyncSession) -> None:
    session.add(User(name="ann"))
    assert not is_session_modified(session)
    await session.flush()
    (await session.scalars(select(User))).one().name = "bob"
    assert not is_session_modified(session)
    assert not is_session_modified(session.sync_session)


@pytest.mark.parametrize("ask", [changeset, is_modified, is_modified_or_deleted])
def test_an_object_without_history_says_so(ask: object) -> None:
    with pytest.raises(ClassNotVersioned) as caught:
        ask(User(name="ann"))  # type: ignore[operator]
    assert caught.value.model is User

"""User code in which exactly the marked lines must be errors, for mypy --strict and for pyright. It is never run."""

from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from async_continuum import (
    Change,
    Version,
    Versioned,
    as_of,
    changes_between,
    make_versioned,
    version_class,
    versions_of,
)

make_versioned(options={"stratgy": "validity"})  # error
make_versioned(options={"strategy": "valid"})  # error
make_versioned(options={"table_name": 5})  # error
make_versioned(user="User")  # error


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Article(Versioned, Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Misspelt(Versioned, Base):
    __versioned__ = {"exlude": ["name"]}  # error
    __tablename__ = "misspelt"
    id: Mapped[int] = mapped_column(primary_key=True)


class Mistaken(Versioned, Base):
    __versioned__ = {"strategy": "valid"}  # error
    __tablename__ = "mistaken"
    id: Mapped[int] = mapped_column(primary_key=True)


ArticleVersion = version_class(Article)
version_class("Article")  # error


async def forget_to_await(session: AsyncSession, article: Article, version: Version[Article]) -> None:
    article.awaitable_versions().count() + 1  # error
    for each in article.awaitable_versions():  # error
        print(each)
    len(article.awaitable_versions())  # error
    version.previous().name  # error
    version.changeset()["name"]  # error
    version.revert(session)  # error


async def mistake_the_past(session: AsyncSession) -> None:
    as_of("session", 1)  # error
    as_of(session, 1, live="ignore")  # error
    as_of(session)  # error
    with as_of(session, 1):  # error
        pass
    for each in changes_between(session, Article, 1, 2):  # error
        print(each)
    changes_between(session, "Article", 1, 2).only(5)  # error


async def confuse(session: AsyncSession, article: Article, version: Version[Article]) -> None:
    article.awaitable_versions("session")  # error
    versions_of(session, "Article", 1)  # error
    versions_of(session, Article)  # error
    versions_of(Article)  # error
    await version.revert("session")  # error
    (await version.revert(session)).name  # error
    (await version.previous()).name  # error
    await version.changeset(session)  # error
    await article.awaitable_versions().first(1)  # error
    Change(old=1)  # error

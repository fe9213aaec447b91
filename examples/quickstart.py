"""The main job in one file: insert, update and delete an article, list its versions, see who did what, take it back."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import String, event, select
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from async_continuum import (
    Versioned,
    deleted,
    make_versioned,
    transaction_class,
    version_class,
    versioning_context,
    versions_of,
)

make_versioned(user_cls="User")


class Base(AsyncAttrs, DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))


class Article(Versioned, Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    content: Mapped[str | None]


def sqlite_engine(path: Path) -> AsyncEngine:
    """Open SQLite with SQLAlchemy's documented recipe, without which a savepoint does not hold."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")

    @event.listens_for(engine.sync_engine, "connect")
    def no_implicit_begin(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


async def main(path: Path) -> None:
    engine = sqlite_engine(path)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    sessions = async_sessionmaker(engine)

    async with sessions() as session:
        ann = User(name="Ann")
        session.add(ann)
        await session.commit()

        with versioning_context(user=ann, remote_addr="10.0.0.7"):
            article = Article(name="Asyncio", content="A first draft")
            session.add(article)
            await session.commit()

            article.content = "A second draft"
            await session.commit()
            before_the_accident = datetime.now(UTC)

            await session.delete(article)
            await session.commit()

    ArticleVersion: Any = version_class(Article)
    Transaction = transaction_class(Article)

    async with sessions() as session:
        print("Deleted articles, and what they were:")
        for gone in await session.scalars(deleted(Article)):
            print(f"  {gone.name!r}: {gone.content!r}")

        print("Its versions:")
        versions = await versions_of(session, Article, 1)
        for version in versions:
            transaction = await session.get_one(Transaction, version.transaction_id)
            user = await transaction.awaitable_attrs.user
            print(
                f"  {version.operation_type.name:6} by {user.name} from {transaction.remote_addr}: "
                f"{ {name: change.new for name, change in (await version.changeset()).items()} }"
            )

        lost = await versions_of(session, Article, 1).at(before_the_accident)
        assert lost is not None
        article = await lost.revert(session)
        await session.commit()
        await session.refresh(article)
        print(f"Taken back: {article.name!r}: {article.content!r}")

        statement = select(ArticleVersion).where(ArticleVersion.content.like("%draft%"))
        found = (await session.scalars(statement)).all()
        print(f"History is queried like any model: {len(found)} versions have a draft.")
        newest = await article.awaitable_versions()[-1]
        print(
            f"The newest is {newest!r}, number {await newest.index()} of {await article.awaitable_versions().count()}."
        )

    await engine.dispose()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder) / "quickstart.db"))

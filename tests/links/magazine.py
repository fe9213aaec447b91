"""Articles with links of every shape, under each strategy, and how to read their history."""

from types import SimpleNamespace
from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, String, Table, func, select
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import async_continuum as ac
from async_continuum import Operation, Versioned, VersioningManager, make_versioned
from tests.kit import mode


def magazine(strategy: str) -> SimpleNamespace:
    """Make the models and association tables, and the manager that keeps their history."""

    class Base(AsyncAttrs, DeclarativeBase):
        pass

    manager = make_versioned(
        mapper=Base, manager=VersioningManager(), options=mode.options(strategy=strategy), user_cls=None
    )

    def ends() -> list[Column[Any]]:
        return [Column("article_id", ForeignKey("article.id")), Column("tag_id", ForeignKey("tag.id"))]

    tagged = Table(
        "article_tag",
        Base.metadata,
        Column("article_id", ForeignKey("article.id"), primary_key=True),
        Column("tag_id", ForeignKey("tag.id"), primary_key=True),
    )
    ranked_ = Table(
        "article_ranked",
        Base.metadata,
        Column("article_id", ForeignKey("article.id"), primary_key=True),
        Column("tag_id", ForeignKey("tag.id"), primary_key=True),
        Column("place", Integer, default=7),
        Column("reason", String(20), server_default="none given"),
        Column("note", String(20)),
    )
    numbered_ = Table("article_numbered", Base.metadata, Column("id", Integer, primary_key=True), *ends())
    keyless_ = Table("article_keyless", Base.metadata, *ends())
    hidden_ = Table("article_hidden", Base.metadata, *ends())
    follows = Table(
        "article_follows",
        Base.metadata,
        Column("follower_id", ForeignKey("article.id"), primary_key=True),
        Column("followed_id", ForeignKey("article.id"), primary_key=True),
    )

    class Article(Versioned, Base):
        __tablename__ = "article"
        __versioned__ = {"exclude": ["hidden"]}
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50), default="unnamed")

        tags: Mapped[list["Tag"]] = relationship(secondary=tagged, back_populates="articles", order_by="Tag.id")
        ranked: Mapped[list["Tag"]] = relationship(secondary=ranked_)
        numbered: Mapped[list["Tag"]] = relationship(secondary=numbered_, backref="numbering")
        keyless: Mapped[list["Tag"]] = relationship(secondary=keyless_)
        hidden: Mapped[list["Tag"]] = relationship(secondary=hidden_)
        followed: Mapped[list["Article"]] = relationship(
            secondary=follows,
            primaryjoin=id == follows.c.follower_id,
            secondaryjoin=id == follows.c.followed_id,
            backref="followers",
        )

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50), default="unnamed")

        articles: Mapped[list["Article"]] = relationship(secondary=tagged, back_populates="tags")

    return SimpleNamespace(
        Base=Base,
        manager=manager,
        strategy=strategy,
        Article=Article,
        Tag=Tag,
        tagged=tagged,
        ranked=ranked_,
        numbered=numbered_,
        keyless=keyless_,
        hidden=hidden_,
        follows=follows,
    )


MAGAZINES = {strategy: magazine(strategy) for strategy in ("validity", "subquery")}


async def links(session: Any, manager: VersioningManager, table: Table, *more: str) -> list[tuple[Any, ...]]:
    """Tell the history of an association table: key, further columns, operation by name; oldest first."""
    history = manager.coverage.links[table].history
    versions = history.version_table
    columns = [*history.key_of(versions), *(versions.c[name] for name in more), versions.c[history.operation]]
    rows = await session.execute(select(*columns).order_by(versions.c[history.begins], *history.key_of(versions)))
    return [(*row[:-1], Operation(row[-1]).name) for row in rows]


async def transactions(session: Any, models: SimpleNamespace) -> int:
    """Count the transaction rows."""
    found = await session.scalars(select(func.count()).select_from(ac.transaction_class(models.Article)))
    return int(found.one())

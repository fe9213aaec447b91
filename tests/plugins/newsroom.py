"""Models whose history is kept with every built-in plugin at once, under each strategy."""

import uuid
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Column, ForeignKey, String, Table, Text, Uuid
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from async_continuum import Versioned, VersioningManager, make_versioned
from async_continuum.plugins import (
    ActivityPlugin,
    NullDeletePlugin,
    PropertyModTrackerPlugin,
    TransactionChangesPlugin,
    TransactionMetaPlugin,
)
from tests.kit import mode


def newsroom(strategy: str) -> SimpleNamespace:
    """Make the models, each with its history under `strategy`, and the manager that keeps it."""

    class Base(AsyncAttrs, DeclarativeBase):
        pass

    activities = ActivityPlugin()
    beside = (TransactionChangesPlugin(), TransactionMetaPlugin())
    manager = make_versioned(
        mapper=Base,
        manager=VersioningManager(),
        options=mode.options(strategy=strategy),
        user_cls=None,
        plugins=[activities, PropertyModTrackerPlugin(), *beside, NullDeletePlugin()],
    )

    article_tag = Table(
        "article_tag",
        Base.metadata,
        Column("article_id", ForeignKey("article.id", ondelete="CASCADE"), primary_key=True),
        Column("tag_id", ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True),
    )

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(255))
        content: Mapped[str | None] = mapped_column("body", Text)
        secret: Mapped[str | None] = mapped_column(Text, deferred=True)
        tags: Mapped[list["Tag"]] = relationship(secondary=article_tag, passive_deletes=True)
        comments: Mapped[list["Comment"]] = relationship(back_populates="article", passive_deletes=True)

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))

    class Comment(Versioned, Base):
        __tablename__ = "comment"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str] = mapped_column(Text)
        article_id: Mapped[int | None] = mapped_column(ForeignKey("article.id", ondelete="CASCADE"))
        article: Mapped["Article | None"] = relationship(back_populates="comments")

    class Seat(Versioned, Base):
        __tablename__ = "seat"
        guest: Mapped[str | None] = mapped_column(String(50))
        number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        hall: Mapped[str] = mapped_column(String(20), primary_key=True)

    class Device(Versioned, Base):
        __tablename__ = "device"
        id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
        label: Mapped[str | None] = mapped_column(String(50))

    class Visitor(Base):
        """Without history."""

        __tablename__ = "visitor"
        name: Mapped[str] = mapped_column(String(50), primary_key=True)

    models: tuple[Any, ...] = (Article, Tag, Comment, Seat, Device)
    return SimpleNamespace(
        Base=Base,
        manager=manager,
        activities=activities,
        strategy=strategy,
        versioned=models,
        **{model.__name__: model for model in (*models, Visitor)},
    )


NEWSROOMS = {strategy: newsroom(strategy) for strategy in ("validity", "subquery")}

"""What the service stores: users, and articles with tags, whose history is kept."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table, Text
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from async_continuum import Versioned, VersioningManager, make_versioned
from async_continuum.plugins import TransactionMetaPlugin


class Base(AsyncAttrs, DeclarativeBase):
    pass


# A manager for this Base alone, so that the service shares a process with others, its tests for instance. Where the
# process is the service's own, make_versioned(plugins=[...]) is enough. The plugin stores the request ids.
manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls="User", plugins=[TransactionMetaPlugin()])


class User(Base):
    __tablename__ = "user_account"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    token: Mapped[str] = mapped_column(String(50), unique=True)


article_tag = Table(
    "article_tag",
    Base.metadata,
    Column("article_id", ForeignKey("article.id"), primary_key=True),
    Column("tag_name", ForeignKey("tag.name"), primary_key=True),
)


class Tag(Versioned, Base):
    __tablename__ = "tag"
    name: Mapped[str] = mapped_column(String(50), primary_key=True)


class Article(Versioned, Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200), unique=True)
    body: Mapped[str] = mapped_column(Text, default="")
    published: Mapped[bool] = mapped_column(default=False)

    tags: Mapped[list[Tag]] = relationship(secondary=article_tag, order_by="Tag.name")

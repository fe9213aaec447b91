"""Articles with relations of every kind, under each strategy."""

from types import SimpleNamespace

from sqlalchemy import Column, ForeignKey, String, Table
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import (
    DeclarativeBase,
    DynamicMapped,
    Mapped,
    WriteOnlyMapped,
    attribute_keyed_dict,
    mapped_column,
    relationship,
)

from async_continuum import Versioned, VersioningManager, make_versioned
from tests.kit import mode


def web(strategy: str) -> SimpleNamespace:
    """Make the models, and the manager that keeps their history under `strategy`."""

    class Base(AsyncAttrs, DeclarativeBase):
        pass

    manager = make_versioned(
        mapper=Base, manager=VersioningManager(), options=mode.options(strategy=strategy), user_cls=None
    )

    article_tag = Table(
        "article_tag",
        Base.metadata,
        Column("article_id", ForeignKey("article.id"), primary_key=True),
        Column("tag_id", ForeignKey("tag.id"), primary_key=True),
    )
    article_topic = Table(
        "article_topic",
        Base.metadata,
        Column("article_id", ForeignKey("article.id"), primary_key=True),
        Column("tag_id", ForeignKey("tag.id"), primary_key=True),
    )

    article_hidden = Table(
        "article_hidden",
        Base.metadata,
        Column("article_id", ForeignKey("article.id"), primary_key=True),
        Column("tag_id", ForeignKey("tag.id"), primary_key=True),
    )

    class Plain(Base):
        """Keeps no history."""

        __tablename__ = "plain"
        id: Mapped[int] = mapped_column(primary_key=True)
        article_id: Mapped[int | None] = mapped_column(ForeignKey("article.id"))

    class Author(Versioned, Base):
        __tablename__ = "author"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20), default="n")
        articles: Mapped[list["Article"]] = relationship(back_populates="author")

    class Article(Versioned, Base):
        __tablename__ = "article"
        __versioned__ = {"exclude": ["hidden"]}
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20), default="n")
        slug: Mapped[str | None] = mapped_column(String(20), unique=True)
        author_id: Mapped[int | None] = mapped_column(ForeignKey("author.id"))
        origin_id: Mapped[int | None] = mapped_column(ForeignKey("article.id"))

        author: Mapped[Author | None] = relationship(back_populates="articles")
        comments: Mapped[list["Comment"]] = relationship(
            cascade="all, delete-orphan", back_populates="article", order_by="Comment.id"
        )
        notes: Mapped[list["Note"]] = relationship(back_populates="article")
        keyed: Mapped[dict[str, "Keyed"]] = relationship(
            collection_class=attribute_keyed_dict("word"), cascade="all, delete-orphan"
        )
        detail: Mapped["Detail | None"] = relationship(back_populates="article", cascade="all, delete-orphan")
        tags: Mapped[list["Tag"]] = relationship(secondary=article_tag, back_populates="articles")
        topics: WriteOnlyMapped["Tag"] = relationship(secondary=article_topic, passive_deletes=True)
        lines: DynamicMapped["Line"] = relationship(cascade="all, delete-orphan")
        pages: WriteOnlyMapped["Page"] = relationship(cascade="all, delete-orphan", passive_deletes=True)
        credits: Mapped[list["Credit"]] = relationship(cascade="all, delete-orphan", back_populates="article")
        origin: Mapped["Article | None"] = relationship(remote_side=id, back_populates="copies", post_update=True)
        copies: Mapped[list["Article"]] = relationship(back_populates="origin", post_update=True)
        plains: Mapped[list[Plain]] = relationship()
        shown: Mapped[list["Note"]] = relationship(viewonly=True)
        hidden: Mapped[list["Tag"]] = relationship(secondary=article_hidden)

    class Comment(Versioned, Base):
        __tablename__ = "comment"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str] = mapped_column(String(20), default="t")
        article_id: Mapped[int] = mapped_column(ForeignKey("article.id"))
        article: Mapped[Article] = relationship(back_populates="comments")

    class Note(Versioned, Base):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str] = mapped_column(String(20), default="t")
        article_id: Mapped[int | None] = mapped_column(ForeignKey("article.id"))
        article: Mapped[Article | None] = relationship(back_populates="notes")

    class Keyed(Versioned, Base):
        __tablename__ = "keyed"
        id: Mapped[int] = mapped_column(primary_key=True)
        word: Mapped[str] = mapped_column(String(20))
        article_id: Mapped[int] = mapped_column(ForeignKey("article.id"))

    class Detail(Versioned, Base):
        __tablename__ = "detail"
        id: Mapped[int] = mapped_column(primary_key=True)
        article_id: Mapped[int] = mapped_column(ForeignKey("article.id"), unique=True)
        article: Mapped[Article] = relationship(back_populates="detail")

    class Line(Versioned, Base):
        __tablename__ = "line"
        id: Mapped[int] = mapped_column(primary_key=True)
        article_id: Mapped[int] = mapped_column(ForeignKey("article.id"))

    class Page(Versioned, Base):
        __tablename__ = "page"
        id: Mapped[int] = mapped_column(primary_key=True)
        article_id: Mapped[int] = mapped_column(ForeignKey("article.id", ondelete="CASCADE"))

    class Category(Versioned, Base):
        __tablename__ = "category"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20), default="n")

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20), default="n")
        category_id: Mapped[int | None] = mapped_column(ForeignKey("category.id"))
        category: Mapped[Category | None] = relationship()
        articles: Mapped[list[Article]] = relationship(secondary=article_tag, back_populates="tags")

    class Credit(Versioned, Base):
        """An association object."""

        __tablename__ = "credit"
        article_id: Mapped[int] = mapped_column(ForeignKey("article.id"), primary_key=True)
        author_id: Mapped[int] = mapped_column(ForeignKey("author.id"), primary_key=True)
        role: Mapped[str] = mapped_column(String(20), default="r")
        article: Mapped[Article] = relationship(back_populates="credits")
        author: Mapped[Author] = relationship()

    mapped = (Plain, Author, Article, Comment, Note, Keyed, Detail, Line, Page, Category, Tag, Credit)
    return SimpleNamespace(
        Base=Base,
        manager=manager,
        strategy=strategy,
        article_tag=article_tag,
        **{model.__name__: model for model in mapped},
    )


WEBS = {strategy: web(strategy) for strategy in ("validity", "subquery")}

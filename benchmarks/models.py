"""The models that every contender works on: an article that keeps history, a note that does not."""

from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Column, ForeignKey, String, Table, Text, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

COLUMNS = ("id", "name", "content", "views", "created_at")
"""The columns of `article`, in their order."""


def declare(
    base: type[DeclarativeBase], *, mixins: tuple[type, ...] = (), attributes: dict[str, Any] | None = None
) -> tuple[type[Any], type[Any]]:
    """Declare `Article`, with what makes a contender keep its history, and `Note`, without."""

    class ArticleColumns:
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(255))
        content: Mapped[str | None] = mapped_column(Text)
        views: Mapped[int]
        created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    class Note(base):  # type: ignore[misc, valid-type]
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(255))
        content: Mapped[str | None] = mapped_column(Text)
        views: Mapped[int]

    article = type("Article", (*mixins, ArticleColumns, base), {"__module__": __name__, **(attributes or {})})
    return article, Note


def declare_many(
    base: type[DeclarativeBase],
    number: int,
    *,
    mixins: tuple[type, ...] = (),
    attributes: dict[str, Any] | None = None,
) -> list[type[Any]]:
    """Declare that many models of five columns, for the time that their configuration takes."""

    class Columns:
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(255))
        content: Mapped[str | None] = mapped_column(Text)
        views: Mapped[int]
        created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    return [
        type(
            f"Model{i}",
            (*mixins, Columns, base),
            {"__module__": __name__, "__tablename__": f"model_{i}", **(attributes or {})},
        )
        for i in range(number)
    ]


def declare_related(base: type[DeclarativeBase], *, mixins: tuple[type, ...] = ()) -> SimpleNamespace:
    """Declare books with an author and tags, for what is done along relations."""

    class AuthorColumns:
        __tablename__ = "author"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        name: Mapped[str] = mapped_column(String(255))

    class TagColumns:
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        name: Mapped[str] = mapped_column(String(255))

    class BookColumns:
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        name: Mapped[str] = mapped_column(String(255))
        content: Mapped[str | None] = mapped_column(Text)
        author_id: Mapped[int | None] = mapped_column(ForeignKey("author.id"), index=True)

    links = Table(
        "book_tag",
        base.metadata,
        Column("book_id", ForeignKey("book.id"), primary_key=True),
        Column("tag_id", ForeignKey("tag.id"), primary_key=True),
    )

    def made(columns: type, **relations: Any) -> type[Any]:
        name = columns.__name__.removesuffix("Columns")
        return type(name, (*mixins, columns, base), {"__module__": __name__, **relations})

    return SimpleNamespace(
        Tag=made(TagColumns),
        Book=made(
            BookColumns,
            tags=relationship("Tag", secondary=links),
            author=relationship("Author", back_populates="books"),
        ),
        Author=made(AuthorColumns, books=relationship("Book", back_populates="author")),
        links=links,
    )


def text_for(i: int) -> str:
    """Give an article's content: a paragraph, so that values weigh what they do in life."""
    return f"The content of article {i}. " * 8

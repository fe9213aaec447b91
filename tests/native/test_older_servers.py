"""What triggers are made of is taken by PostgreSQL 14 as well, whichever server the tests run on."""

import re
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Table, column, create_mock_engine
from sqlalchemy.orm import Mapped, mapped_column, relationship

from async_continuum import Versioned, VersioningManager, make_versioned
from async_continuum.plugins import NullDeletePlugin, PropertyModTrackerPlugin
from tests.kit.own import new_base

SUBQUERY = re.compile(r"\b(?:FROM|JOIN(?: LATERAL)?) \(\s*(?:SELECT|VALUES|WITH)\b")
NAMED = re.compile(r"\s*(?:AS )?[a-z_]\w*\b")


def script(strategy: str, plugins: list[Any]) -> str:
    """Write what `create_all` would execute for tables of every kind."""
    Base = new_base()
    options: Any = {"strategy": strategy, "native_versioning": True}
    make_versioned(mapper=Base, manager=VersioningManager(), user_cls=None, options=options, plugins=plugins)

    links = Table(
        "paper_word",
        Base.metadata,
        Column("paper_id", ForeignKey("paper.id", ondelete="CASCADE"), primary_key=True),
        Column("word_id", ForeignKey("word.id"), primary_key=True),
    )

    class Paper(Versioned, Base):
        __tablename__ = "paper"
        __versioned__ = {"record_if": column("state") != "draft"}
        id: Mapped[int] = mapped_column(primary_key=True)
        state: Mapped[str]
        words: Mapped[list["Word"]] = relationship(secondary=links)

    class Word(Versioned, Base):
        __tablename__ = "word"
        __versioned__ = {"exclude": ["secret"]}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        secret: Mapped[str | None]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "word"}

    class Name(Word):
        __tablename__ = "name"
        id: Mapped[int] = mapped_column(ForeignKey("word.id"), primary_key=True)
        owner: Mapped[str | None]
        __mapper_args__ = {"polymorphic_identity": "name"}

    sent: list[str] = []
    engine: Any = create_mock_engine(
        "postgresql+asyncpg://", lambda sql, *_, **__: sent.append(str(sql.compile(dialect=engine.dialect)))
    )
    Base.metadata.create_all(engine, checkfirst=False)
    return "\n".join(sent)


def unnamed(sql: str) -> list[str]:
    """List the subqueries of FROM and JOIN that have no name."""
    found = []
    for match in SUBQUERY.finditer(sql):
        start = end = sql.index("(", match.start())
        depth = 0
        for end in range(start, len(sql)):
            depth += {"(": 1, ")": -1}.get(sql[end], 0)
            if depth == 0:
                break
        after = sql[end + 1 : end + 40]
        if not NAMED.match(after) or re.match(r"\s*(WHERE|LIMIT|ON|GROUP|ORDER|UNION)\b", after):
            found.append(sql[match.start() : end + 20])
    return found


@pytest.mark.parametrize("strategy", ["with ends", "without ends"])
@pytest.mark.parametrize("with_plugins", [False, True])
def test_every_subquery_has_a_name(strategy: str, with_plugins: bool) -> None:
    """Before version 16 PostgreSQL asks for one: https://www.postgresql.org/docs/release/16.0/."""
    plugins = [PropertyModTrackerPlugin(), NullDeletePlugin()] if with_plugins else []
    sql = script("validity" if strategy == "with ends" else "subquery", plugins)
    assert sql.count("new_rows") > 20
    assert unnamed(sql) == []


def test_one_without_is_seen() -> None:
    assert len(unnamed("SELECT (SELECT 1 FROM (SELECT 2)) FROM (SELECT 3) AS n JOIN (SELECT 4) m ON true")) == 1

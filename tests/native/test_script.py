"""A script of the tables, by `create_mock_engine`, has all that `create_all` makes."""

import re
from typing import Any

from sqlalchemy import Column, ForeignKey, String, Table, column, create_mock_engine
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column, relationship

import async_continuum as ac
from tests.kit.databases import Databases
from tests.kit.history import told
from tests.kit.own import Own


async def test_a_script_makes_what_create_all_makes(own: Own, database: Databases) -> None:
    Base, manager = own(options={"native_versioning": True, "transaction_table_name": "script_transaction"})
    linked = Table(
        "script_link",
        Base.metadata,
        Column("script_id", ForeignKey("script.id"), primary_key=True),
        Column("word_id", ForeignKey("word.id"), primary_key=True),
    )

    class Word(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "word"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Script(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "script"
        id: Mapped[int] = mapped_column(primary_key=True)
        share: Mapped[str] = mapped_column(comment="in %")
        # Known when mappers are configured, which the script makes up for.
        words: Mapped[list[Word]] = relationship(secondary=lambda: linked)

    script: list[str] = []

    def write(ddl: Any, *_: Any, **__: Any) -> None:
        script.append(str(ddl.compile(dialect=database.engine.dialect)))

    Base.metadata.create_all(create_mock_engine(database.engine.url, write), checkfirst=False)
    async with database.engine.begin() as connection:
        for statement in script:
            await connection.exec_driver_sql(statement)
    made = len(script)
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)

    sessions: async_sessionmaker[AsyncSession] = await database(Base, manager)
    async with sessions() as session:
        session.add(Script(id=1, share="10 %", words=[Word(id=1)]))
        await session.commit()
    assert await told(sessions, Script, 1, "share") == [("INSERT", "10 %")]
    assert sum("script_link_version" in statement for statement in script) > 1
    assert len(script) == made


def test_every_subquery_of_the_triggers_has_a_name(own: Own) -> None:
    """PostgreSQL demands it of one in FROM before its version 16."""
    Base, _ = own(options={"native_versioning": True, "transaction_table_name": "named_transaction"})
    # Of tables whose rows are not all recorded, the triggers read a subquery.
    Table(
        "named_link", Base.metadata, Column("named_id", ForeignKey("named.id")), Column("to_id", ForeignKey("named.id"))
    )

    class Named(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "named"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(String(10))
        linked: Mapped[list["Named"]] = relationship(
            secondary="named_link",
            primaryjoin="Named.id == named_link.c.named_id",
            secondaryjoin="Named.id == named_link.c.to_id",
        )
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "named"}

    class Unkept(Named):
        __versioned__ = {"versioning": False}
        __mapper_args__ = {"polymorphic_identity": "unkept"}

    class Wanted(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "wanted"
        __versioned__ = {"record_if": column("state") != "draft"}
        id: Mapped[int] = mapped_column(primary_key=True)
        state: Mapped[str]

    script: list[str] = []

    def write(ddl: Any, *_: Any, **__: Any) -> None:
        script.append(str(ddl.compile(dialect=engine.dialect)))

    engine = create_mock_engine("postgresql+asyncpg://", write)
    Base.metadata.create_all(engine, checkfirst=False)
    subqueries = [each for statement in script for each in subqueries_in_from(statement)]
    assert len(subqueries) > 10
    assert [each for each in subqueries if not re.match(r"(AS )?(?!WHERE|LIMIT|ORDER|GROUP)\w", each)] == []


def subqueries_in_from(statement: str) -> list[str]:
    """Give what follows each of them."""
    found = []
    for start in re.finditer(r"FROM \((?=SELECT)", statement):
        depth, place = 1, start.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(statement[place], 0)
            place += 1
        found.append(statement[place : place + 40].strip())
    return found

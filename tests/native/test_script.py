"""A script of the tables, by `create_mock_engine`, has all that `create_all` makes."""

from typing import Any

from sqlalchemy import Column, ForeignKey, Table, create_mock_engine
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

"""Statements are recorded where `schema_translate_map` has their tables, and told where it has them elsewhere."""

import pytest
from sqlalchemy import String, delete, insert, select, text, update
from sqlalchemy.exc import SAWarning
from sqlalchemy.orm import Mapped, mapped_column

from async_continuum import Versioned, verify
from tests.kit.history import told


def _declare(own, **options):
    Base, manager = own(options=options)

    class Book(Versioned, Base):
        __tablename__ = "book"
        __table_args__ = {"schema": "shop"}
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))

    return Base, manager, Book


@pytest.fixture
def moved(engine):
    """An engine that has what belongs into one schema in the usual one."""
    return engine.execution_options(schema_translate_map={"shop": None})


async def test_statements_are_recorded_where_the_connection_has_their_tables(database, own, moved):
    Base, manager, Book = _declare(own)
    database.engine = moved
    sessions = await database(Base, manager)
    async with sessions.begin() as session:
        await session.execute(insert(Book), [{"name": "a"}, {"name": "b"}])
        await session.execute(insert(Book).from_select(["name"], select(Book.name + "!").where(Book.id == 1)))
    async with sessions.begin() as session:
        await session.execute(update(Book).where(Book.name != "b").values(name=Book.name + "?"))
    async with sessions.begin() as session:
        await session.execute(delete(Book).where(Book.name == "a?"))
        await session.execute(update(Book.__table__).where(Book.__table__.c.id == 2).values(id=7))
        assert await verify(session, Book) == []
    assert await told(sessions, Book, 1, "name") == [("INSERT", "a"), ("UPDATE", "a?"), ("DELETE", "a?")]
    assert await told(sessions, Book, 2, "name") == [("INSERT", "b"), ("DELETE", "b")]
    assert await told(sessions, Book, 3, "name") == [("INSERT", "a!"), ("UPDATE", "a!?")]
    assert await told(sessions, Book, 7, "name") == [("INSERT", "b")]


@pytest.mark.sessions_record("triggers record in the schema of their table")
@pytest.mark.unaccounted
@pytest.mark.not_on("mariadb", "a schema is a database of its own there")
async def test_a_statement_that_goes_to_another_schema_than_the_rest_is_told(database, own, engine, moved, backend):
    Base, manager, Book = _declare(own)
    database.engine = moved
    sessions = await database(Base, manager)
    async with moved.begin() as connection:
        if backend == "postgresql":
            await connection.exec_driver_sql("CREATE SCHEMA elsewhere")
            await connection.exec_driver_sql("CREATE TABLE elsewhere.book (LIKE book INCLUDING ALL)")
            await connection.exec_driver_sql("INSERT INTO elsewhere.book VALUES (1, 'x')")
    async with sessions() as session:
        if backend == "sqlite":
            # Attached to this session's connection, and gone with it.
            await session.execute(text("ATTACH ':memory:' AS elsewhere"))
            await session.execute(text("CREATE TABLE elsewhere.book (id INTEGER PRIMARY KEY, name VARCHAR)"))
            await session.execute(text("INSERT INTO elsewhere.book VALUES (1, 'x')"))
        await session.execute(insert(Book).values(id=1, name="here"))
        for statement in (
            update(Book).values(name="there"),
            delete(Book).where(Book.id == 1),
            insert(Book).values(id=2, name="there"),
        ):
            with pytest.warns(SAWarning, match="cannot be recorded"):
                await session.execute(statement, execution_options={"schema_translate_map": {"shop": "elsewhere"}})
        # The same as the connection's is no other.
        await session.execute(
            update(Book).values(name="here too"), execution_options={"schema_translate_map": {"shop": None, "a": "b"}}
        )
        await session.commit()
    assert await told(sessions, Book, 1, "name") == [("INSERT", "here too")]
    assert await told(sessions, Book, 2, "name") == []

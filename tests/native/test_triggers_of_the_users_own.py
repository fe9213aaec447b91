"""Rows that a trigger of the user's own changes while the statement runs, and snapshots that show rows gone since."""

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, ForeignKey, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column

import async_continuum as ac
from tests.kit.history import told
from tests.kit.invariants import assert_invariants
from tests.kit.own import Own
from tests.kit.places import Place

Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
async def models(own: Own, engine: AsyncEngine) -> SimpleNamespace:
    Base, manager = own(options={"native_versioning": True, "transaction_table_name": "word_transaction"})

    class Word(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "word"
        id: Mapped[int] = mapped_column(primary_key=True)
        said: Mapped[str | None]

    class Begun(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "begun"
        __versioned__ = {"strategy": "subquery"}
        id: Mapped[int] = mapped_column(primary_key=True)
        said: Mapped[str | None]

    class Beast(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "beast"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "beast"}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(server_default="beast")
        said: Mapped[str | None]

    class Dog(Beast):
        __tablename__ = "dog"
        __mapper_args__ = {"polymorphic_identity": "dog"}
        id: Mapped[int] = mapped_column(ForeignKey("beast.id", ondelete="CASCADE"), primary_key=True)

    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    return SimpleNamespace(manager=manager, word=Word, begun=Begun, beast=Beast)


def _trim(connection: Connection, table: str, each: str) -> None:
    if each == "ROW":
        changed = f"UPDATE {table} SET said = trim(NEW.said) WHERE id = NEW.id AND said <> trim(said)"
        referencing = ""
    else:
        changed = f"UPDATE {table} w SET said = trim(n.said) FROM n WHERE n.id = w.id AND w.said <> trim(w.said)"
        referencing = "REFERENCING NEW TABLE AS n"
    connection.exec_driver_sql(
        f"CREATE FUNCTION trimmed() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {changed}; RETURN NULL; END$$"
    )
    # Statement triggers fire by their names: this one before ours.
    connection.exec_driver_sql(
        f"CREATE TRIGGER a_trim AFTER UPDATE ON {table} {referencing} FOR EACH {each} WHEN (pg_trigger_depth() < 1)"
        " EXECUTE FUNCTION trimmed()"
    )


@pytest.mark.parametrize("each", ["ROW", "STATEMENT"])
@pytest.mark.parametrize("table", ["word", "begun", "beast"])
async def test_rows_that_a_trigger_turns_back_have_no_version(
    sessions: Sessions, engine: AsyncEngine, models: SimpleNamespace, table: str, each: str
) -> None:
    model: Any = getattr(models, table)
    async with engine.begin() as connection:
        await connection.run_sync(_trim, table, each)
        await connection.execute(text(f"INSERT INTO {table} (id, said) VALUES (1, 'a'), (2, 'b'), (3, 'c')"))
    for change in (
        "said = said || ' '",
        "said = said || ' ' WHERE id = 1",
        "said = CASE id WHEN 1 THEN 'a ' ELSE 'z ' END WHERE id < 3",
        "said = 'c ' WHERE id = 3",
    ):
        async with engine.begin() as connection:
            await connection.execute(text(f"UPDATE {table} SET {change}"))

    await assert_invariants(engine, models.manager)
    assert await told(sessions, model, 1, "said") == [("INSERT", "a")]
    assert await told(sessions, model, 2, "said") == [("INSERT", "b"), ("UPDATE", "z")]
    assert await told(sessions, model, 3, "said") == [("INSERT", "c")]


@pytest.mark.parametrize("said", ["a", "b"])
@pytest.mark.parametrize("table", ["word", "begun", "beast"])
@pytest.mark.parametrize("how", ["insert", "change of key"])
async def test_a_snapshot_that_shows_a_deleted_row_takes_no_new_one_by_its_key(
    sessions: Sessions, engine: AsyncEngine, models: SimpleNamespace, place: Place, table: str, said: str, how: str
) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"INSERT INTO {table} (id, said) VALUES (1, 'a'), (2, '{said}')"))
    late = place.engine(isolation_level="REPEATABLE READ")
    put = f"INSERT INTO {table} (id, said) VALUES (1, '{said}')"
    if how == "change of key":
        put = f"UPDATE {table} SET id = 1 WHERE id = 2"

    async with late.connect() as connection:
        await connection.execute(text(f"SELECT FROM {table}"))
        async with engine.begin() as other:
            await other.execute(text(f"DELETE FROM {table} WHERE id = 1"))
        with pytest.raises(DBAPIError, match="could not serialize access"):
            await connection.execute(text(put))
        await connection.rollback()
        await connection.execute(text(put))
        await connection.commit()

    await assert_invariants(engine, models.manager)
    told_of_it = await told(sessions, getattr(models, table), 1, "said")
    assert told_of_it == [("INSERT", "a"), ("DELETE", "a"), ("INSERT", said)]

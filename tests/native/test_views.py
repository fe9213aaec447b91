"""What cannot have triggers is told before anything is made, with what to do."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Mapped, mapped_column

import async_continuum as ac
from tests.kit.databases import Databases
from tests.kit.own import Own

KINDS = {
    "a view": "CREATE VIEW shown AS SELECT id, name FROM stored",
    "a materialized view": "CREATE MATERIALIZED VIEW shown AS SELECT id, name FROM stored",
}


@pytest.mark.parametrize("what", KINDS)
async def test_a_class_on_a_view_is_told_when_its_tables_are_created(
    own: Own, database: Databases, engine: AsyncEngine, what: str
) -> None:
    Base, manager = own(options={"native_versioning": True})

    class Shown(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "shown"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE stored (id integer PRIMARY KEY, name varchar NOT NULL)"))
        await connection.execute(text(KINDS[what]))
    with pytest.raises(ac.ImproperlyConfigured, match=f"'shown' is {what} in the database") as caught:
        await database(Base, manager)
    assert caught.value.model is Shown
    assert caught.value.option == "native_versioning"
    assert "__versioned__ = {'native_versioning': False}" in str(caught.value)


async def test_a_class_on_a_view_is_told_when_something_is_written(
    own: Own, database: Databases, engine: AsyncEngine
) -> None:
    Base, manager = own(options={"native_versioning": True})

    class Shown(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "shown"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    sessions = await database(Base, manager)
    async with engine.begin() as connection:
        for statement in ("ALTER TABLE shown RENAME TO stored", KINDS["a view"]):
            await connection.execute(text(statement))
    async with sessions() as session:
        session.add(Shown(id=1, name="a"))
        with pytest.raises(ac.ImproperlyConfigured, match="'shown' is a view in the database"):
            await session.commit()


async def test_with_its_remedy_a_class_on_a_view_is_recorded(
    own: Own, database: Databases, engine: AsyncEngine
) -> None:
    Base, manager = own(options={"native_versioning": True})

    class Stored(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "other"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Shown(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "shown"
        __versioned__ = {"native_versioning": False}
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE stored (id integer PRIMARY KEY, name varchar NOT NULL)"))
        await connection.execute(text(KINDS["a view"]))
    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add_all([Shown(id=1, name="a"), Stored(id=1)])
        await session.commit()
        (await session.get_one(Shown, 1)).name = "b"
        await session.commit()
        assert [version.name for version in await ac.versions_of(session, Shown, 1)] == ["a", "b"]

"""Statements on a class of several tables: each row that they write or take away is in the history of its table."""

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import ForeignKey, delete, func, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from async_continuum import Versioned, verify, version_class, version_table
from tests.kit.own import own

__all__ = ["own"]

ROWS: list[dict[str, Any]] = [{"name": "a", "lives": 1}, {"name": "b", "lives": 2}]


@pytest.fixture(params=["validity", "subquery"])
def animals(own, request):
    """Animals, and cats, which have a table of their own, under each strategy."""
    Base, manager = own(options={"strategy": request.param})

    class Animal(Versioned, Base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        name: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Cat(Animal):
        __tablename__ = "cat"
        id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
        lives: Mapped[int]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    return SimpleNamespace(Base=Base, manager=manager, Animal=Animal, Cat=Cat)


INSERTED = {
    "without keys": (lambda m: insert(m.Cat), ROWS),
    "returned": (lambda m: insert(m.Cat).returning(m.Cat), ROWS),
    "one": (lambda m: insert(m.Cat), ROWS[:1]),
    "with keys": (lambda m: insert(m.Cat), [{"id": key, **row} for key, row in enumerate(ROWS, 5)]),
}


@pytest.mark.parametrize("way", INSERTED)
async def test_what_is_inserted_is_recorded_in_all_tables(database, animals, way):
    m = animals
    sessions = await database(m.Base, m.manager)
    given, rows = INSERTED[way]
    async with sessions() as session:
        await session.execute(given(m), rows)
        await session.commit()
        assert await verify(session, m.Animal, m.Cat) == []
        versions = (await session.scalars(select(version_class(m.Cat)))).all()
        assert sorted((v.name, v.lives) for v in versions) == [(row["name"], row["lives"]) for row in rows]
        await session.execute(update(m.Cat), [{"id": v.id, "name": "new", "lives": 9} for v in versions])
        await session.commit()
        assert await verify(session, m.Animal, m.Cat) == []


async def test_a_row_of_the_lower_table_that_is_gone_already_has_no_further_version(database, animals):
    m = animals
    sessions = await database(m.Base, m.manager)
    async with sessions() as session:
        session.add_all([m.Cat(id=1, name="a", lives=1), m.Cat(id=2, name="b", lives=1)])
        await session.commit()
        # As SQLAlchemy has it, of `cat` alone.
        await session.execute(delete(m.Cat).where(m.Cat.id == 1))
        await session.commit()
        await session.execute(update(m.Animal).values(name="c"))
        await session.commit()
        assert await verify(session, m.Animal, m.Cat) == []
        await session.execute(delete(m.Animal).where(m.Animal.id == 1))
        await session.commit()
        assert await verify(session, m.Animal, m.Cat) == []
        cats = version_table(m.Cat)
        told = await session.execute(select(cats.c.operation_type).where(cats.c.id == 1).order_by("transaction_id"))
        assert [row[0] for row in told] == [0, 2]
        assert await session.scalar(select(func.count()).select_from(cats).where(cats.c.id == 2)) == 2

"""An entity becomes one of another class, in one transaction: its history goes on, and nothing is found missing."""

from typing import Any

import pytest
from sqlalchemy import select, text, update

from async_continuum import backfill, verify, version_class, version_table, versions_of

ZOO = ("Animal", "Cat", "Kitten", "Dog")


async def become(session: Any, instance: Any, other: Any) -> None:
    """Delete, and insert under the same key as another class, in one transaction."""
    await session.delete(instance)
    await session.flush()
    session.add(other)
    await session.commit()


async def told(session: Any, models: Any) -> list[Any]:
    """Every version of the first animal: of which class it is, and what has been done."""
    AnimalVersion = version_class(models.Animal)
    statement = select(AnimalVersion).where(AnimalVersion.id == 1).order_by(AnimalVersion.transaction_id)
    found = await session.scalars(statement, execution_options={"populate_existing": True})
    return [(type(each).__name__, each.operation_type.name) for each in found]


async def test_one_that_leaves_a_table_is_accounted_for(session, models):
    session.add_all([models.Kitten(id=1, name="a", toy="ball"), models.Cat(id=2, name="stays")])
    await session.commit()
    await become(session, await session.get_one(models.Kitten, 1), models.Cat(id=1, name="b", lives=9))
    await become(session, await session.get_one(models.Cat, 1), models.Dog(id=1, name="c", tricks=1))
    assert await verify(session, models.Animal) == []
    assert await told(session, models) == [
        ("KittenVersion", "INSERT"),
        ("CatVersion", "UPDATE"),
        ("DogVersion", "UPDATE"),
    ]
    (kitten,) = await versions_of(session, models.Kitten, 1)
    assert (await kitten.next()).lives == 9
    assert [type(each) for each in await versions_of(session, models.Cat, 1)] == [
        type(kitten),
        version_class(models.Cat),
    ]


async def test_one_that_comes_back_to_a_table_is_accounted_for(session, models):
    session.add(models.Cat(id=1, name="a", lives=9))
    await session.commit()
    await become(session, await session.get_one(models.Cat, 1), models.Dog(id=1, name="a"))
    await become(session, await session.get_one(models.Dog, 1), models.Cat(id=1, name="a", lives=8))
    await session.delete(await session.get_one(models.Cat, 1))
    await session.commit()
    session.add(models.Dog(id=1))
    await session.commit()
    await become(session, await session.get_one(models.Dog, 1), models.Cat(id=1, lives=7))
    await become(session, await session.get_one(models.Cat, 1), models.Dog(id=1))
    await session.delete(await session.get_one(models.Dog, 1))
    await session.commit()
    session.add(models.Cat(id=1, lives=6))
    await session.commit()
    assert await verify(session, models.Animal) == []
    assert [name for name, _ in await told(session, models)] == [
        f"{name}Version" for name in ("Cat", "Dog", "Cat", "Cat", "Dog", "Cat", "Dog", "Dog", "Cat")
    ]
    assert [each.lives for each in await versions_of(session, models.Cat, 1)] == [9, 8, 8, 7, 6]


async def test_its_discriminator_may_be_updated(session, models):
    session.add_all([models.Dog(id=1, name="a", tricks=1), models.Animal(id=2, name="b")])
    await session.commit()
    await session.execute(update(models.Animal.__table__).values(kind="dog"))
    await session.commit()
    await session.execute(update(models.Animal.__table__).where(models.Animal.id == 1).values(kind="animal"))
    await session.commit()
    assert await verify(session, models.Animal) == []
    assert await told(session, models) == [("DogVersion", "INSERT"), ("AnimalVersion", "UPDATE")]


async def test_a_row_that_stays_in_a_table_below_when_the_discriminator_is_updated_is_accounted_for(session, models):
    session.add(models.Cat(id=1, name="a", lives=9))
    await session.commit()
    await session.execute(update(models.Animal.__table__).values(kind="dog"))
    await session.commit()
    assert await verify(session, models.Animal) == []
    await session.execute(models.Cat.__table__.delete())
    await session.commit()
    assert await verify(session, models.Animal) == []


async def test_repair_leaves_ended_what_has_left(session, models):
    session.add(models.Cat(id=1, name="a", lives=9))
    await session.commit()
    await become(session, await session.get_one(models.Cat, 1), models.Dog(id=1, name="a"))
    versions = version_table(models.Cat)
    before = (await session.execute(select(versions))).all()
    assert await backfill(session, models.Animal, repair=True) == 0
    await session.commit()
    assert (await session.execute(select(versions))).all() == before
    if "end_transaction_id" in versions.c:
        # Opened by somebody, it is found, and ended where it was.
        await session.execute(text("UPDATE cat_version SET end_transaction_id = NULL"))
        assert [each.kind for each in await verify(session, models.Animal)] == ["broken"]
        await backfill(session, models.Animal, repair=True)
        await session.commit()
        assert (await session.execute(select(versions))).all() == before


@pytest.mark.unaccounted
@pytest.mark.sessions_record("a trigger has recorded what text() has deleted")
async def test_one_that_went_without_a_word_is_still_found(session, models):
    session.add_all([models.Cat(id=1), models.Cat(id=2)])
    await session.commit()
    await session.execute(text("DELETE FROM cat WHERE id = 1"))
    assert {(each.model, each.kind) for each in await verify(session, models.Animal)} == {(models.Cat, "orphaned")}

"""What a hierarchy promises beyond the life of one entity: its tables change together, its versions are polymorphic."""

import pytest
from sqlalchemy import inspect, select, update
from sqlalchemy.orm import aliased, selectinload, with_polymorphic

from async_continuum import (
    Operation,
    backfill,
    deleted,
    transaction_class,
    vacuum,
    verify,
    version_class,
    version_table,
    versioning_disabled,
    versions_of,
)


async def rows(session, model):
    """Every version row of the model's own table, as (key, operation)."""
    versions = version_table(model)
    key = next(iter(versions.primary_key))
    found = await session.execute(select(key, versions.c.operation_type).order_by(versions.c.transaction_id, key))
    return [tuple(row) for row in found]


async def test_every_table_of_the_chain_has_its_version_whichever_has_changed(session, models):
    kitten = models.Kitten(id=1, name="a", lives=9, toy="ball")
    session.add(kitten)
    await session.commit()
    for name, value in (("name", "b"), ("lives", 8), ("toy", "mouse")):
        setattr(kitten, name, value)
        await session.commit()
    kitten.name, kitten.toy = "c", "string"
    await session.commit()
    await session.delete(kitten)
    await session.commit()

    expected = [(1, 0), (1, 1), (1, 1), (1, 1), (1, 1), (1, 2)]
    assert [await rows(session, model) for model in (models.Animal, models.Cat, models.Kitten)] == [expected] * 3
    versions = await versions_of(session, models.Kitten, 1)
    assert [(v.name, v.lives, v.toy, v.number) for v in versions] == [
        ("a", 9, "ball", 1),
        ("b", 9, "ball", 1),
        ("b", 8, "ball", 1),
        ("b", 8, "mouse", 1),
        ("c", 8, "string", 1),
        ("c", 8, "string", 1),
    ]
    assert await versions[4].changeset() == {"name": ("b", "c"), "toy": ("mouse", "string")}
    assert list(await session.scalars(deleted(models.Animal))) == [versions[-1]]


async def test_a_change_that_is_taken_back_makes_no_version_in_any_table(session, models):
    kitten = models.Kitten(id=1, name="a", lives=9, toy="ball")
    session.add(kitten)
    await session.commit()

    kitten.toy = "mouse"
    await session.flush()
    kitten.lives = 1
    await session.flush()
    kitten.toy, kitten.lives = "ball", 9
    await session.commit()
    session.add(models.Kitten(id=2))
    await session.flush()
    await session.delete(await session.get_one(models.Kitten, 2))
    await session.commit()
    await session.delete(kitten)
    await session.flush()
    session.add(models.Kitten(id=1, name="a", lives=9, toy="ball"))
    await session.commit()

    assert [await rows(session, model) for model in (models.Animal, models.Cat, models.Kitten)] == [[(1, 0)]] * 3


async def test_what_is_deleted_and_born_again_as_another_class_is_one_of_that_class(session, models):
    session.add(models.Cat(id=1, name="a", lives=9))
    await session.commit()
    await session.delete(await session.get_one(models.Cat, 1))
    await session.flush()
    session.add(models.Kitten(id=1, name="a", lives=9, toy="ball"))
    await session.commit()

    then, now = await session.scalars(
        select(version_class(models.Animal)).order_by(version_class(models.Animal).transaction_id)
    )
    assert (type(then), type(now)) == (version_class(models.Cat), version_class(models.Kitten))
    assert (then.end_transaction_id, now.end_transaction_id) == (now.transaction_id, None)
    expected = {"kind": ("cat", "kitten"), "toy": (None, "ball"), "number": (None, 1)}
    assert await then.diff(now) == await now.changeset() == expected
    assert await verify(session, models.Animal) == []


async def test_neighbours_lead_through_every_class_that_an_entity_was_of(session, models):
    for born in (models.Cat(id=1, name="a"), models.Kitten(id=1, toy="ball"), models.Dog(id=1, tricks=1)):
        session.add(born)
        await session.commit()
        await session.delete(born)
        await session.commit()
    session.add(models.Cat(id=2, name="another"))
    await session.commit()

    AnimalVersion = version_class(models.Animal)
    versions = list(
        await session.scalars(select(AnimalVersion).where(AnimalVersion.id == 1).order_by(AnimalVersion.transaction_id))
    )
    classes = [version_class(each) for each in (models.Cat, models.Kitten, models.Dog) for _ in range(2)]
    assert [type(each) for each in versions] == classes
    assert [await each.index() for each in versions] == list(range(6))
    assert [await each.next() for each in versions] == [*versions[1:], None]
    assert [await each.previous() for each in versions] == [None, *versions[:-1]]


async def test_versions_are_objects_of_the_classes_that_their_rows_name(session, models):
    session.add_all(
        [
            models.Animal(id=1, name="a"),
            models.Cat(id=2, lives=9),
            models.Kitten(id=3, lives=8, toy="ball"),
            models.Dog(id=4, tricks=1),
        ]
    )
    await session.commit()
    session.expunge_all()
    AnimalVersion, CatVersion, KittenVersion, DogVersion = map(
        version_class, (models.Animal, models.Cat, models.Kitten, models.Dog)
    )

    found = list(await session.scalars(select(AnimalVersion).order_by(AnimalVersion.id)))
    assert [type(each) for each in found] == [AnimalVersion, CatVersion, KittenVersion, DogVersion]
    # Whole, though only the class above was asked for: nothing can be loaded later.
    assert (found[1].lives, found[2].lives, found[2].toy, found[3].tricks) == (9, 8, "ball", 1)
    assert [each.id for each in await session.scalars(select(CatVersion).order_by(CatVersion.id))] == [2, 3]
    assert [each.id for each in await session.scalars(select(DogVersion))] == [4]
    assert issubclass(KittenVersion, CatVersion)
    assert issubclass(DogVersion, AnimalVersion)

    every = with_polymorphic(AnimalVersion, "*")
    statement = select(every).where((every.KittenVersion.toy == "ball") | (every.DogVersion.tricks == 1))
    assert {each.id for each in await session.scalars(statement)} == {3, 4}
    other = aliased(AnimalVersion, flat=True)
    assert await session.scalar(select(other.id).where(other.name == "a")) == 1


async def test_relations_lead_to_and_from_every_class(session, models):
    keeper, friend = models.Keeper(id=1), models.Dog(id=4, name="d")
    cat, kitten = models.Cat(id=2, keeper=keeper), models.Kitten(id=3, keeper=keeper, friend=friend)
    session.add_all([cat, kitten, models.Tag(id=1, cats=[kitten, cat])])
    await session.commit()
    cat.keeper = None
    kitten.friend = None
    await session.commit()
    session.expunge_all()

    KeeperVersion, CatVersion = version_class(models.Keeper), version_class(models.Cat)
    options = (
        selectinload(KeeperVersion.animals.of_type(CatVersion)).selectinload(CatVersion.tags),
        selectinload(KeeperVersion.cats),
    )
    (then,) = await session.scalars(select(KeeperVersion).options(*options))
    # The keeper has not changed: both animals were there at its only version.
    assert [type(each) for each in sorted(then.animals, key=lambda each: each.id)] == [
        version_class(models.Cat),
        version_class(models.Kitten),
    ]
    assert [[tag.id for tag in each.tags] for each in then.animals] == [[1], [1]]
    assert {each.id for each in then.cats} == {2, 3}
    first, second = await versions_of(session, models.Kitten, 3)
    assert (await first.awaitable_attrs.friend).name == "d"
    assert await second.awaitable_attrs.friend is None
    assert (await first.awaitable_attrs.keeper).id == 1
    assert type(await first.awaitable_attrs.version_parent) is models.Kitten
    (tag,) = await versions_of(session, models.Tag, 1)
    assert {each.id for each in await tag.awaitable_attrs.cats} == {2, 3}


async def test_transactions_know_the_classes_that_they_touched(session, models):
    session.add_all([models.Kitten(id=1), models.Dog(id=2)])
    await session.commit()
    dog = await session.get_one(models.Dog, 2)
    dog.tricks = 3
    await session.commit()

    Transaction = transaction_class(models.Animal)
    first, second = await session.scalars(select(Transaction).order_by(Transaction.id))
    assert await first.entity_names() == ["Dog", "Kitten"]
    assert await second.entity_names() == ["Dog"]
    changed = await first.changed_entities()
    assert {cls: [v.id for v in versions] for cls, versions in changed.items()} == {
        version_class(models.Kitten): [1],
        version_class(models.Dog): [2],
    }
    for target, touched in ((models.Animal, 2), (models.Cat, 1), (models.Dog, 2), (models.Kitten, 1), (dog, 2)):
        found = list(await session.scalars(select(Transaction.id).where(Transaction.touched(target))))
        assert len(found) == touched, target


async def test_what_the_database_deletes_and_unlinks_is_recorded_in_every_table(session, models, backend):
    if backend == "sqlite":
        await (await session.connection()).exec_driver_sql("PRAGMA foreign_keys = ON")
        await session.commit()
    keeper, dog = models.Keeper(id=1), models.Dog(id=5)
    friend = models.Kitten(id=4, friend=dog, toy="ball")
    session.add_all([keeper, models.Kitten(id=2, keeper=keeper), models.Dog(id=3, keeper=keeper), friend])
    await session.commit()
    await session.delete(keeper)
    await session.delete(dog)
    await session.commit()

    gone = [(2, Operation.DELETE), (3, Operation.DELETE), (5, Operation.DELETE)]
    enforced = backend != "sqlite" or await _enforces(session)
    if enforced:
        assert (await rows(session, models.Animal))[-4:] == [gone[0], gone[1], (4, 1), gone[2]]
        assert (await rows(session, models.Kitten))[-2:] == [(2, 2), (4, 1)]
    newest = await versions_of(session, models.Kitten, 4)[-1]
    assert (newest.friend_id, newest.toy) == (None if enforced else 5, "ball")


async def _enforces(session):
    return (await (await session.connection()).exec_driver_sql("PRAGMA foreign_keys")).scalar_one() == 1


@pytest.mark.unaccounted
async def test_a_hierarchy_is_maintained_as_a_whole(session, models):
    session.add_all([models.Kitten(id=1, name="a", toy="ball"), models.Dog(id=2, tricks=1)])
    await session.commit()
    with versioning_disabled():
        await session.execute(models.Kitten.__table__.update().values(toy="mouse"))
        await session.execute(models.Animal.__table__.update().where(models.Animal.id == 2).values(tricks=2))
    found = await verify(session, models.Animal)
    assert {(each.model, each.key, each.kind, each.columns) for each in found} == {
        (models.Kitten, (1,), "changed", ("toy",)),
        (models.Animal, (2,), "changed", ("tricks",)),
    }
    await session.rollback()
    for model in (models.Kitten, models.Cat, models.Animal):
        await session.execute(version_table(model).delete())
    await session.execute(transaction_class(models.Animal).__table__.delete())
    assert await backfill(session, models.Cat) == 2
    await session.commit()
    assert await verify(session, models.Animal) == []
    assert await backfill(session, models.Animal) == 0
    (version,) = await versions_of(session, models.Kitten, 1)
    assert (version.name, version.toy, version.operation_type) == ("a", "ball", Operation.INSERT)
    await session.commit()

    kitten = await session.get_one(models.Kitten, 1)
    for toy in ("mouse", "string"):
        kitten.toy = toy
        await session.commit()
    versions = version_table(models.Kitten)
    await session.execute(update(versions).where(versions.c.toy == "string").values(toy="mouse"))
    assert await vacuum(session, models.Animal) == 1
    await session.commit()
    assert [len(await rows(session, model)) for model in (models.Animal, models.Cat, models.Kitten)] == [3, 2, 2]


async def test_the_number_of_statements_does_not_grow_with_the_rows(sessions, models, statements):
    counted = []
    for start, number in ((0, 1), (100, 30)):
        async with sessions() as session:
            kittens = [models.Kitten(id=start + i, name="a", toy="ball") for i in range(number)]
            session.add_all(kittens)
            before = len(statements.matching("_version"))
            await session.commit()
            inserted = len(statements.matching("_version")) - before
            kittens = list(await session.scalars(select(models.Kitten).where(models.Kitten.id >= start)))
            for kitten in kittens:
                kitten.toy = "mouse"
            before = len(statements.matching("_version"))
            await session.commit()
            updated = len(statements.matching("_version")) - before
            kittens = list(await session.scalars(select(models.Kitten).where(models.Kitten.id >= start)))
            for kitten in kittens:
                await session.delete(kitten)
            before = len(statements.matching("_version"))
            await session.commit()
            counted.append((inserted, updated, len(statements.matching("_version")) - before))
    assert counted[0] == counted[1]


async def test_statements_on_any_table_make_versions_in_every_table(session, models):
    session.add_all([models.Kitten(id=1, name="a", toy="ball"), models.Dog(id=2, name="b"), models.Cat(id=3, name="c")])
    await session.commit()
    await session.execute(update(models.Kitten.__table__).values(toy="mouse"))
    await session.commit()
    await session.execute(update(models.Animal).where(models.Animal.name < "c").values(name="z"))
    await session.commit()
    await session.execute(models.Kitten.__table__.delete())
    await session.execute(models.Cat.__table__.delete())
    await session.execute(models.Animal.__table__.delete().where(models.Animal.id != 2))
    await session.commit()

    assert await rows(session, models.Kitten) == [(1, 0), (1, 1), (1, 1), (1, 2)]
    assert await rows(session, models.Cat) == [(1, 0), (3, 0), (1, 1), (1, 1), (1, 2), (3, 2)]
    versions = await versions_of(session, models.Kitten, 1)
    assert [(v.name, v.toy) for v in versions] == [("a", "ball"), ("a", "mouse"), ("z", "mouse"), ("z", "mouse")]
    assert [v.name for v in await versions_of(session, models.Dog, 2)] == ["b", "z"]


async def test_a_class_that_keeps_no_history_is_left_out_of_the_table_that_it_shares(session, models, backend):
    if backend == "sqlite":
        await (await session.connection()).exec_driver_sql("PRAGMA foreign_keys = ON")
        await session.commit()
    keeper = models.Keeper(id=1)
    session.add_all([keeper, models.Fish(id=1, depth=3, keeper=keeper), models.Dog(id=2, keeper=keeper)])
    await session.commit()
    await session.execute(update(models.Animal.__table__).values(name="b"))
    await session.commit()
    assert await verify(session, models.Animal) == []
    assert await backfill(session, models.Animal) == 0
    await session.delete(keeper)
    await session.commit()

    assert {key for key, _ in await rows(session, models.Animal)} == {2}
    assert "depth" not in version_table(models.Animal).c


async def test_revert_brings_back_the_whole_chain_and_what_was_related(session, models):
    keeper = models.Keeper(id=1)
    session.add_all(
        [models.Kitten(id=2, name="a", toy="ball", lives=9, keeper=keeper), models.Dog(id=3, keeper=keeper)]
    )
    await session.commit()
    (then,) = await versions_of(session, models.Keeper, 1)
    kitten = await session.get_one(models.Kitten, 2)
    kitten.name, kitten.toy = "b", "mouse"
    await session.commit()
    await session.delete(kitten)
    await session.delete(await session.get_one(models.Dog, 3))
    await session.commit()

    await then.revert(session, relations=["animals"])
    await session.commit()
    kitten, dog = await session.get_one(models.Kitten, 2), await session.get_one(models.Dog, 3)
    assert (kitten.name, kitten.toy, kitten.lives, kitten.keeper_id, dog.keeper_id) == ("a", "ball", 9, 1, 1)
    version = await versions_of(session, models.Kitten, 2)[1]
    await version.revert(session)
    await session.commit()
    await session.refresh(kitten)
    assert (kitten.name, kitten.toy) == ("b", "mouse")


def test_the_tables_are_those_of_sqlalchemy_continuum(models):
    own = {"transaction_id", "operation_type"} | (
        {"end_transaction_id"} if "end_transaction_id" in version_table(models.Cat).c else set()
    )
    for model, key in ((models.Animal, "id"), (models.Cat, "id"), (models.Kitten, "number")):
        live, versions = inspect(model).local_table, version_table(model)
        assert versions.name == f"{live.name}_version"
        assert set(versions.c.keys()) == set(live.c.keys()) - {"depth"} | own
        assert {column.name for column in versions.primary_key} == {key, "transaction_id"}
    assert version_table(models.Dog) is version_table(models.Animal)

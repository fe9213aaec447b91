"""What concrete classes promise: version classes are read from all tables, as the models are; recording stays apart."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Mapped, configure_mappers, joinedload, mapped_column, selectinload, with_polymorphic

from async_continuum import (
    ClassNotVersioned,
    Operation,
    Versioned,
    alive_at,
    as_of,
    changes_between,
    changesets,
    deleted,
    transaction_class,
    verify,
    version_class,
    version_table,
    versions_of,
)
from tests.mappings.fauna import FAUNAS


@pytest.fixture(params=FAUNAS)
def models(request):
    """The models under each strategy."""
    configure_mappers()
    return FAUNAS[request.param]


@pytest.fixture
async def lived(session, models):
    """Four transactions: all are born, two change, one dies, one lives again; under keys that are no one's own."""
    keeper = models.Keeper(id=1, name="k")
    session.add_all(
        [
            keeper,
            models.Animal(id=1, name="a", keeper=keeper),
            models.Cat(id=1, name="c", lives=9, keeper=keeper),
            models.Dog(id=2, name="d", tricks=1),
            models.Tree(id=1, name="t", rings=3, keeper=keeper),
            models.Fern(id=1, name="f", fronds=4),
        ]
    )
    await session.commit()
    (await session.get_one(models.Cat, 1)).lives = 8
    (await session.get_one(models.Tree, 1)).rings = 4
    await session.commit()
    await session.delete(await session.get_one(models.Cat, 1))
    await session.delete(await session.get_one(models.Fern, 1))
    await session.commit()
    (await session.get_one(models.Animal, 1)).name = "b"
    await session.commit()
    session.expunge_all()
    return list(
        await session.scalars(select(transaction_class(models.Cat).id).order_by(transaction_class(models.Cat).id))
    )


def told(versions):
    """Say of versions which they are."""
    return [(type(each).__name__, each.id, each.name, each.operation_type) for each in versions]


async def test_a_version_class_gives_the_versions_of_the_classes_below_it_as_their_objects(session, models, lived):
    AnimalVersion, CatVersion, PlantVersion, TreeVersion = map(
        version_class, (models.Animal, models.Cat, models.Plant, models.Tree)
    )
    found = list(
        await session.scalars(select(AnimalVersion).order_by(AnimalVersion.transaction_id, AnimalVersion.name))
    )
    assert told(found) == [
        ("AnimalVersion", 1, "a", Operation.INSERT),
        ("CatVersion", 1, "c", Operation.INSERT),
        ("DogVersion", 2, "d", Operation.INSERT),
        ("CatVersion", 1, "c", Operation.UPDATE),
        ("CatVersion", 1, "c", Operation.DELETE),
        ("AnimalVersion", 1, "b", Operation.UPDATE),
    ]
    # Whole, with what only one of them has, and each with the end that its own table says.
    assert [each.lives for each in found if type(each) is CatVersion] == [9, 8, 8]
    assert [each.end_transaction_id for each in found] == [lived[3], lived[1], None, lived[2], None, None]
    plants = list(await session.scalars(select(PlantVersion).order_by(PlantVersion.transaction_id, PlantVersion.name)))
    assert told(plants) == [
        ("FernVersion", 1, "f", Operation.INSERT),
        ("TreeVersion", 1, "t", Operation.INSERT),
        ("TreeVersion", 1, "t", Operation.UPDATE),
        ("FernVersion", 1, "f", Operation.DELETE),
    ]
    assert [each.end_transaction_id for each in plants] == [lived[2], lived[1], None, None]
    assert issubclass(CatVersion, AnimalVersion)
    assert issubclass(TreeVersion, PlantVersion)
    # Of a class below, from its own table alone.
    assert {type(each) for each in await session.scalars(select(CatVersion))} == {CatVersion}
    every = with_polymorphic(AnimalVersion, "*")
    assert (await session.scalar(select(every).where(every.CatVersion.lives == 9))).transaction_id == lived[0]


async def test_a_moment_holds_for_all_of_them(session, models, lived):
    for model, expected in (
        (models.Animal, [{"a", "c", "d"}, {"a", "c", "d"}, {"a", "d"}, {"b", "d"}]),
        (models.Plant, [{"t", "f"}, {"t", "f"}, {"t"}, {"t"}]),
    ):
        Version = version_class(model)
        for moment, names in zip(lived, expected, strict=True):
            assert {
                each.name for each in await session.scalars(select(Version).where(alive_at(Version, moment)))
            } == names
    assert told(await session.scalars(deleted(models.Animal))) == [("CatVersion", 1, "c", Operation.DELETE)]
    assert told(await session.scalars(deleted(models.Plant))) == [("FernVersion", 1, "f", Operation.DELETE)]


async def test_a_session_in_the_past_gives_all_classes_as_they_were(session, models, lived):
    async with as_of(session, lived[0]) as past:
        animals = list(await past.scalars(select(models.Animal).order_by(models.Animal.name)))
        assert [(type(each), each.name) for each in animals] == [
            (models.Animal, "a"),
            (models.Cat, "c"),
            (models.Dog, "d"),
        ]
        assert animals[1].lives == 9
        plants = await past.scalars(select(models.Plant).order_by(models.Plant.name))
        assert [type(each) for each in plants] == [models.Fern, models.Tree]
    async with as_of(session, lived[2]) as past:
        assert {each.name for each in await past.scalars(select(models.Animal))} == {"a", "d"}
        assert [each.rings for each in await past.scalars(select(models.Plant))] == [4]


async def test_the_history_of_an_object_is_that_of_its_own_table(session, models, lived):
    animal = await session.get_one(models.Dog, 2)
    assert await animal.awaitable_versions().count() == 1
    (animal,) = await session.scalars(select(models.Animal).where(models.Animal.name == "b"))
    versions = await animal.awaitable_versions()
    assert told(versions) == [("AnimalVersion", 1, "a", Operation.INSERT), ("AnimalVersion", 1, "b", Operation.UPDATE)]
    assert await animal.awaitable_versions().count() == 2
    assert [await each.index() for each in versions] == [0, 1]
    assert await versions[0].next() is versions[1]
    assert await versions[1].previous() is versions[0]
    assert await versions[1].changeset() == {"name": ("a", "b")}
    # A key says nothing of the table: all of which select() gives it.
    assert len(await versions_of(session, models.Animal, 1)) == 5
    assert len(await versions_of(session, models.Cat, 1)) == 3
    assert len(await versions_of(session, models.Plant, 1)) == 4
    every = list(await session.scalars(select(version_class(models.Animal))))
    found = await changesets(session, every)
    assert [found[each] for each in every if each.transaction_id == lived[1]] == [{"lives": (9, 8)}]
    await versions[0].revert(session)
    await session.commit()
    assert len(await animal.awaitable_versions()) == 3
    assert await verify(session, models.Animal, models.Plant, models.Keeper) == []


async def test_transactions_tell_of_each_record_once_under_its_own_class(session, models, lived):
    Transaction = transaction_class(models.Animal)
    first, second, third, fourth = await session.scalars(select(Transaction).order_by(Transaction.id))
    changed = await first.changed_entities()
    assert {cls.__name__: [each.name for each in versions] for cls, versions in changed.items()} == {
        "KeeperVersion": ["k"],
        "AnimalVersion": ["a"],
        "CatVersion": ["c"],
        "DogVersion": ["d"],
        "TreeVersion": ["t"],
        "FernVersion": ["f"],
    }
    assert await second.entity_names() == ["Cat", "Tree"]
    assert await third.entity_names() == ["Cat", "Fern"]
    assert await fourth.entity_names() == ["Animal"]
    for target, expected in ((models.Animal, lived), (models.Plant, lived[:3]), (models.Cat, lived[:3])):
        touched = select(Transaction.id).where(Transaction.touched(target)).order_by(Transaction.id)
        assert list(await session.scalars(touched)) == expected
    for model, expected in (
        (models.Animal, [("Animal", "name"), ("Cat", None)]),
        (models.Plant, [("Fern", None), ("Tree", "rings")]),
    ):
        changes = await changes_between(session, model, lived[0], lived[3])
        found = [
            (e.model.__name__, next(iter(e.changes)) if e.operation is Operation.UPDATE else None) for e in changes
        ]
        assert sorted(found) == expected


async def test_relations_lead_to_and_from_all_of_them(session, models, lived):
    KeeperVersion, AnimalVersion = version_class(models.Keeper), version_class(models.Animal)
    options = (selectinload(KeeperVersion.animals), selectinload(KeeperVersion.plants))
    (then,) = await session.scalars(select(KeeperVersion).options(*options))
    assert told(sorted(then.animals, key=lambda each: each.name)) == [
        ("AnimalVersion", 1, "a", Operation.INSERT),
        ("CatVersion", 1, "c", Operation.INSERT),
    ]
    assert told(then.plants) == [("TreeVersion", 1, "t", Operation.INSERT)]
    session.expunge_all()
    (then,) = (await session.scalars(select(KeeperVersion).options(joinedload(KeeperVersion.animals)))).unique()
    assert {type(each).__name__ for each in then.animals} == {"AnimalVersion", "CatVersion"}
    first = (await session.scalars(select(AnimalVersion).where(AnimalVersion.name == "c"))).first()
    assert (await first.awaitable_attrs.keeper).name == "k"
    (tree,) = await versions_of(session, models.Tree, 1)[:1]
    assert (await tree.awaitable_attrs.keeper).name == "k"
    assert type(await tree.awaitable_attrs.version_parent) is models.Tree


def test_a_class_without_a_table_has_no_version_table(models):
    with pytest.raises(ClassNotVersioned):
        version_table(models.Plant)
    assert version_table(models.Animal).name == "animal_version"


@pytest.mark.parametrize("strategy", ["validity", "subquery"])
async def test_classes_without_a_table_of_their_own_may_stand_below_a_concrete_one(own, database, strategy):
    Base, manager = own(options={"strategy": strategy})

    class Animal(Versioned, Base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    class Cat(Animal):
        __tablename__ = "cat"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        kind: Mapped[str]
        __mapper_args__ = {"concrete": True, "polymorphic_on": "kind", "polymorphic_identity": "cat"}

    class Kitten(Cat):
        toy: Mapped[str | None]
        __mapper_args__ = {"polymorphic_identity": "kitten"}

    # SQLAlchemy itself cannot load what has expired of an object below a concrete class.
    sessions = await database(Base, manager, expire_on_commit=False)
    async with sessions() as session:
        kitten = Kitten(id=1, name="k", toy="ball")
        session.add_all([kitten, Cat(id=2, name="c"), Animal(id=1, name="a")])
        await session.commit()
        kitten.toy = "mouse"
        await session.commit()
        await session.delete(kitten)
        await session.commit()
        CatVersion, KittenVersion = version_class(Cat), version_class(Kitten)
        found = await session.scalars(select(CatVersion).order_by(CatVersion.transaction_id, CatVersion.id))
        assert told(found) == [
            ("KittenVersion", 1, "k", Operation.INSERT),
            ("CatVersion", 2, "c", Operation.INSERT),
            ("KittenVersion", 1, "k", Operation.UPDATE),
            ("KittenVersion", 1, "k", Operation.DELETE),
        ]
        versions = await versions_of(session, Kitten, 1)
        assert [each.toy for each in versions] == ["ball", "mouse", "mouse"]
        assert all(type(each) is KittenVersion for each in versions)
        assert await versions[1].changeset() == {"toy": ("ball", "mouse")}
        assert (await versions[0].revert(session)).toy == "ball"
        await session.commit()
        assert len(await versions_of(session, Kitten, 1)) == 4
        assert len(await versions_of(session, Animal, 1)) == 1
        assert await verify(session, Animal, Cat, Kitten) == []

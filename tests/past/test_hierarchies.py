"""Classes that inherit from one another, in one table or several, are in the past the classes that they were."""

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import String, func, select
from sqlalchemy.ext.declarative import AbstractConcreteBase
from sqlalchemy.orm import (
    Mapped,
    aliased,
    joinedload,
    mapped_column,
    selectin_polymorphic,
    selectinload,
    with_polymorphic,
)

from async_continuum import (
    Operation,
    Versioned,
    VersioningManager,
    changes_between,
    make_versioned,
    transaction_class,
    version_class,
    versions_of,
)
from tests.kit.own import new_base
from tests.mappings.zoo import ZOOS
from tests.past.twice import ask_twice


def garage() -> SimpleNamespace:
    """Make classes with a table each and nothing above them but a union."""
    Base: Any = new_base()
    manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls=None)

    class Vehicle(AbstractConcreteBase, Base):
        pass

    class Car(Versioned, Vehicle):
        __tablename__ = "car"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))
        doors: Mapped[int]
        __mapper_args__ = {"polymorphic_identity": "car", "concrete": True}

    class Bike(Versioned, Vehicle):
        __tablename__ = "bike"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))
        __mapper_args__ = {"polymorphic_identity": "bike", "concrete": True}

    Base.registry.configure()
    return SimpleNamespace(Base=Base, manager=manager, Vehicle=Vehicle, Car=Car, Bike=Bike)


HIERARCHIES = {**ZOOS, "concrete": garage()}


@pytest.fixture(params=ZOOS)
def models(request):
    return HIERARCHIES[request.param]


@pytest.fixture
def base(models):
    return models.Base


@pytest.fixture
def manager(models):
    return models.manager


async def opening(session: Any, m: Any) -> None:
    session.add_all([m.Keeper(id=1), m.Keeper(id=2), m.Tag(id=1), m.Tag(id=2)])
    await session.flush()
    tags = [await session.get_one(m.Tag, n) for n in (1, 2)]
    session.add(m.Animal(id=1, name="ant", keeper_id=1))
    session.add(m.Dog(id=2, name="dot", tricks=3, keeper_id=1))
    session.add(m.Cat(id=3, name="cat", lives=9, keeper_id=2, tags=tags))
    session.add(m.Kitten(id=4, name="kit", lives=9, toy="ball", keeper_id=1, friend_id=3, tags=tags[:1]))


async def changing(session: Any, m: Any) -> None:
    """Change each table by itself, and the links."""
    (await session.get_one(m.Kitten, 4)).toy = "mouse"
    (await session.get_one(m.Cat, 3)).lives = 8
    (await session.get_one(m.Animal, 2)).name = "dog"
    (await session.get_one(m.Dog, 2)).tricks = 4
    (await session.get_one(m.Animal, 1)).keeper_id = 2
    cat = await session.get_one(m.Cat, 3)
    (await cat.awaitable_attrs.tags).pop()


async def ending(session: Any, m: Any) -> None:
    await session.delete(await session.get_one(m.Kitten, 4))
    await session.delete(await session.get_one(m.Dog, 2))
    await session.flush()
    session.add(m.Cat(id=5, name="new", lives=7, keeper_id=2, friend_id=1))
    cat = await session.get_one(m.Cat, 3)
    cat.name, cat.keeper_id = "old cat", 1


async def returning(session: Any, m: Any) -> None:
    """Another kind of animal lives under an old key."""
    session.add(m.Cat(id=2, name="was a dog", lives=1, keeper_id=1))
    await session.delete(await session.get_one(m.Animal, 1))
    for cat in await session.scalars(select(m.Cat)):
        cat.lives -= 1


def shown(animal: Any) -> Any:
    """Give the class of an animal and all that is loaded of it."""
    if animal is None:
        return None
    names = [name for name in ("name", "keeper_id", "lives", "friend_id", "toy", "tricks") if name in vars(animal)]
    return type(animal).__name__, animal.id, [(name, getattr(animal, name)) for name in names]


def listed(statement: Any, *names: str) -> Any:
    async def ask(session: Any, m: Any) -> Any:
        found = (await session.scalars(statement(m))).unique()
        return sorted((shown(each), [_related(each, name) for name in names]) for each in found)

    return ask


def _related(instance: Any, name: str) -> Any:
    value = getattr(instance, name)
    return sorted((shown(each) or each.id) if hasattr(each, "kind") else each.id for each in value)


def rows(statement: Any) -> Any:
    async def ask(session: Any, m: Any) -> Any:
        return sorted(tuple(row) for row in await session.execute(statement(m)))

    return ask


async def get(session: Any, m: Any) -> Any:
    return [shown(await session.get(m.Animal, key)) for key in (1, 2, 3, 4, 5)]


async def awaited(session: Any, m: Any) -> Any:
    found = []
    for cat in await session.scalars(select(m.Cat).order_by(m.Cat.id)):
        friend, keeper = await cat.awaitable_attrs.friend, await cat.awaitable_attrs.keeper
        found.append((cat.id, await cat.awaitable_attrs.lives, shown(friend) and friend.id, keeper.id))
    return found


QUESTIONS = {
    "get": get,
    "relations one by one": awaited,
    "the class above": listed(lambda m: select(m.Animal)),
    "a class with a table of its own": listed(lambda m: select(m.Cat)),
    "a class with a third table": listed(lambda m: select(m.Kitten)),
    "a class in the table above": listed(lambda m: select(m.Dog)),
    "a condition on both tables": listed(lambda m: select(m.Cat).where(m.Cat.name.like("%"), m.Cat.lives > 7)),
    "all at once": listed(lambda m: select(with_polymorphic(m.Animal, "*"))),
    "some at once": listed(
        lambda m: (lambda a: select(a).where((a.Cat.lives > 1) | (a.Dog.tricks > 1)))(
            with_polymorphic(m.Animal, [m.Cat, m.Dog])
        )
    ),
    "flat, as an alias": listed(lambda m: select(with_polymorphic(m.Animal, [m.Kitten], flat=True, aliased=True))),
    "selectin_polymorphic": listed(
        lambda m: select(m.Animal).options(selectin_polymorphic(m.Animal, [m.Cat, m.Kitten, m.Dog]))
    ),
    "a collection of several classes": listed(
        lambda m: select(m.Keeper).options(
            selectinload(m.Keeper.animals).selectin_polymorphic([m.Cat, m.Dog]), selectinload(m.Keeper.cats)
        ),
        *("animals", "cats"),
    ),
    "a joined collection": listed(lambda m: select(m.Keeper).options(joinedload(m.Keeper.cats)), "cats"),
    "links of a class": listed(lambda m: select(m.Cat).options(selectinload(m.Cat.tags)), "tags"),
    "columns of two tables": rows(lambda m: select(m.Kitten.name, m.Kitten.toy, m.Kitten.lives)),
    "a join to a class": rows(lambda m: select(m.Keeper.id, m.Cat.name).join(m.Keeper.animals.of_type(m.Cat))),
    "two of one hierarchy": rows(
        lambda m: (lambda friend: select(m.Cat.name, friend.name).join(m.Cat.friend.of_type(friend)))(aliased(m.Animal))
    ),
    "counted by class": rows(lambda m: select(m.Animal.kind, func.count()).group_by(m.Animal.kind)),
}
QUESTIONS["a collection of several classes"] = listed(
    lambda m: select(m.Keeper).options(selectinload(m.Keeper.animals), selectinload(m.Keeper.cats)), "animals", "cats"
)


async def test_a_hierarchy_is_asked_in_the_past_as_it_was_asked_then(sessions, models):
    story = [opening, changing, ending, returning]
    transactions = transaction_class(models.Animal)
    await ask_twice(sessions, models, transactions=transactions, story=story, questions=QUESTIONS)

    async with sessions() as session:
        first, second, *_, last = (await session.scalars(select(transactions.id).order_by(transactions.id))).all()
        found = {
            (change.model.__name__, change.key): (change.operation, sorted(change.changes))
            for change in await changes_between(session, models.Animal, first, second)
        }
        assert found == {
            ("Animal", (1,)): (Operation.UPDATE, ["keeper_id"]),
            ("Dog", (2,)): (Operation.UPDATE, ["name", "tricks"]),
            ("Cat", (3,)): (Operation.UPDATE, ["lives"]),
            ("Kitten", (4,)): (Operation.UPDATE, ["toy"]),
        }
        every = changes_between(session, [models.Kitten, models.Animal, models.Cat, models.Dog], first, second)
        assert [change.key for change in await every] == [(1,), (2,), (3,), (4,)]
        assert await every.count() == 4
        below = changes_between(session, [models.Dog, models.Kitten, models.Cat], first, second)
        assert [change.key for change in await below] == [(2,), (3,), (4,)]
        kittens = await changes_between(session, models.Kitten, first, last)
        assert [(change.operation, type(change.before)) for change in kittens] == [
            (Operation.DELETE, version_class(models.Kitten))
        ]
        kitten = await (await versions_of(session, models.Kitten, 4)[0]).as_live(session)
        assert (type(kitten), kitten.toy, kitten.lives) == (models.Kitten, "ball", 9)


@pytest.mark.parametrize("models", ["concrete"], indirect=True)
async def test_classes_with_a_table_each_are_asked_through_their_union(sessions, models):
    async def buying(session, m):
        session.add_all([m.Car(id=1, name="car", doors=4), m.Bike(id=1, name="bike"), m.Bike(id=2, name="other")])

    async def painting(session, m):
        (await session.get_one(m.Car, 1)).name = "red car"
        (await session.get_one(m.Bike, 1)).name = "red bike"

    async def selling(session, m):
        await session.delete(await session.get_one(m.Bike, 2))
        (await session.get_one(m.Car, 1)).doors = 5

    def named(statement):
        async def ask(session, m):
            found = await session.scalars(statement(m))
            return sorted((type(each).__name__, each.id, each.name, getattr(each, "doors", None)) for each in found)

        return ask

    questions = {
        "all": named(lambda m: select(m.Vehicle)),
        "some": named(lambda m: select(m.Vehicle).where(m.Vehicle.name.like("%bike"))),
        "one class": named(lambda m: select(m.Car)),
        "counted": rows(lambda m: select(func.count()).select_from(m.Vehicle)),
    }
    transactions = transaction_class(models.Car)
    story = [buying, painting, selling]
    await ask_twice(sessions, models, transactions=transactions, story=story, questions=questions)

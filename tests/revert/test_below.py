"""A path may name a relation that only classes below the one it has come to declare."""

import pytest
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from async_continuum import RevertError, Versioned, versions_of
from tests.kit.statements import count_statements


@pytest.fixture(params=["single", "joined"])
def farm(request, own):
    Base, manager = own()

    class Farm(Versioned, Base):
        __tablename__ = "farm"
        id: Mapped[int] = mapped_column(primary_key=True)
        animals: Mapped[list["Animal"]] = relationship(order_by="Animal.id")

    class Animal(Versioned, Base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        name: Mapped[str | None]
        farm_id: Mapped[int | None] = mapped_column(ForeignKey("farm.id"))
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    key = {"id": mapped_column(ForeignKey("animal.id"), primary_key=True)} if request.param == "joined" else {}
    table = {"__tablename__": "cat"} if request.param == "joined" else {}

    class Cat(Animal):
        locals().update(**table, **key)
        toys: Mapped[list["Toy"]] = relationship(cascade="all, delete-orphan", order_by="Toy.id")
        __mapper_args__ = {"polymorphic_identity": "cat"}

    class Persian(Cat):
        __mapper_args__ = {"polymorphic_identity": "persian"}

    class Toy(Versioned, Base):
        __tablename__ = "toy"
        id: Mapped[int] = mapped_column(primary_key=True)
        colour: Mapped[str] = mapped_column(default="red")
        animal_id: Mapped[int] = mapped_column(ForeignKey("cat.id" if table else "animal.id"))

    return Base, manager, {each.__name__: each for each in (Farm, Animal, Cat, Persian, Toy)}


async def test_what_classes_below_are_linked_to_is_taken_back(farm, database, engine):
    Base, manager, m = farm
    sessions = await database(Base, manager)
    statements = []
    for cats in (1, 20):
        async with sessions() as session:
            first = cats * 100
            beasts = [
                m["Animal"](id=first),
                *(m["Cat"](id=first + n, toys=[m["Toy"](id=first + n)]) for n in range(1, cats + 1)),
                m["Persian"](id=first + 50, toys=[m["Toy"](id=first + 50)]),
            ]
            session.add(m["Farm"](id=cats, animals=beasts))
            await session.commit()
            for beast in beasts[1:]:
                (toy,) = await beast.awaitable_attrs.toys
                toy.colour = "worn"
            beasts[1].toys = [m["Toy"](id=first + 99)]
            beasts[0].name = "ox"
            await session.commit()
            session.expire_all()
            version = await versions_of(session, m["Farm"], cats)[0]
            plan = await version.plan_revert(session, relations=["animals.toys"])
            assert f"unlinked Cat {first + 1}.toys" not in str(plan)
            assert [str(each) for each in plan.inserted] == [f"Toy {first + 1}"]
            assert [str(each) for each in plan.deleted] == [f"Toy {first + 99}"]
            with count_statements(engine) as counted:
                back = await version.revert(session, relations=["animals.toys"])
                await session.commit()
            statements.append(len(counted.texts))
            session.expire_all()
            animals = await back.awaitable_attrs.animals
            assert animals[0].name is None
            for beast in animals[1:]:
                assert [toy.id for toy in await beast.awaitable_attrs.toys] == [beast.id]
                assert [toy.colour for toy in beast.toys] == ["red"]
    assert statements[0] == statements[1]


async def test_a_name_that_no_class_below_has_is_told(farm, database):
    Base, manager, m = farm
    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add(m["Farm"](id=1))
        await session.commit()
        version = await versions_of(session, m["Farm"], 1)[0]
        with pytest.raises(RevertError, match=r"Animal has no relation 'toy' .*Did you mean 'toys'\?"):
            await version.revert(session, relations=["animals.toy"])

"""Plugins that change what versions hold know the tables of a hierarchy."""

import pytest
from sqlalchemy import ForeignKey, select, update
from sqlalchemy.orm import Mapped, mapped_column

from async_continuum import Versioned, backfill, transaction_class, version_class, versioning_disabled, versions_of
from async_continuum.plugins import NullDeletePlugin, PropertyModTrackerPlugin, TransactionChangesPlugin
from tests.kit import mode


@pytest.mark.parametrize("strategy", ["validity", "subquery"])
@pytest.mark.unaccounted
async def test_flags_nulls_and_names_are_right_in_every_table(own, database, strategy):
    # Triggers do not name the classes of joined inheritance: the plugin is refused, and versions say the names.
    names = TransactionChangesPlugin()
    Base, manager = own(
        options={"strategy": strategy},
        plugins=[PropertyModTrackerPlugin(), NullDeletePlugin(), *([] if mode.is_native() else [names])],
    )

    class Animal(Versioned, Base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        name: Mapped[str | None]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Cat(Animal):
        __tablename__ = "cat"
        id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    class Dog(Animal):
        tricks: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "dog"}

    sessions = await database(Base, manager, expire_on_commit=False)
    async with sessions() as session:
        cat, dog = Cat(id=1, name="a", lives=9), Dog(id=2, name="b", tricks=1)
        session.add_all([cat, dog])
        await session.commit()
        cat.lives, dog.tricks = 8, 2
        await session.commit()
        cat.name = "c"
        await session.commit()
        await session.delete(cat)
        await session.delete(dog)
        await session.commit()

        cats = [(v.name, v.lives, v.name_mod, v.lives_mod) for v in await versions_of(session, Cat, 1)]
        assert cats == [
            ("a", 9, True, True),
            ("a", 8, False, True),
            ("c", 8, True, False),
            (None, None, True, True),
        ]
        dogs = [(v.name, v.tricks, v.name_mod, v.tricks_mod) for v in await versions_of(session, Dog, 2)]
        assert dogs == [("b", 1, True, True), ("b", 2, False, True), (None, None, True, True)]
        # The column that names the class stays, or no DELETE version could be loaded.
        newest = await session.scalars(
            select(version_class(Animal)).order_by(version_class(Animal).transaction_id.desc()).limit(2)
        )
        assert {each.kind for each in newest} == {"cat", "dog"}
        Transaction = transaction_class(Animal)
        told = [
            await each.entity_names() for each in await session.scalars(select(Transaction).order_by(Transaction.id))
        ]
        assert told == [["Cat", "Dog"], ["Cat", "Dog"], ["Cat"], ["Cat", "Dog"]]

        with versioning_disabled():
            session.add_all([Cat(id=3, name="old", lives=7), Dog(id=4, tricks=3)])
            await session.commit()
        assert await backfill(session, Animal) == 2
        await session.commit()
        (old,), (old_dog,) = await versions_of(session, Cat, 3), await versions_of(session, Dog, 4)
        assert (old.name, old.lives, old.name_mod, old.lives_mod) == ("old", 7, True, True)
        assert (old_dog.tricks, old_dog.name_mod, old_dog.tricks_mod) == (3, True, True)
        # The classes of the rows, though a backfill and a statement are told of one class alone.
        assert await (await session.get_one(Transaction, old.transaction_id)).entity_names() == ["Cat", "Dog"]
        await session.execute(update(Animal).where(Animal.id == 3).values(name="new"))
        await session.commit()
        new = (await versions_of(session, Cat, 3))[-1]
        assert (new.name, new.lives, new.name_mod, new.lives_mod) == ("new", 7, True, False)
        assert await (await session.get_one(Transaction, new.transaction_id)).entity_names() == ["Cat"]

"""Plugins that change what versions hold know the tables of a hierarchy."""

import pytest
from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column

from async_continuum import Versioned, transaction_class, version_class, versions_of
from async_continuum.plugins import NullDeletePlugin, PropertyModTrackerPlugin, TransactionChangesPlugin


@pytest.mark.parametrize("strategy", ["validity", "subquery"])
@pytest.mark.unaccounted
async def test_flags_nulls_and_names_are_right_in_every_table(own, database, strategy):
    Base, manager = own(
        options={"strategy": strategy},
        plugins=[PropertyModTrackerPlugin(), NullDeletePlugin(), TransactionChangesPlugin()],
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
        names = [
            await each.entity_names() for each in await session.scalars(select(Transaction).order_by(Transaction.id))
        ]
        assert names == [["Cat", "Dog"], ["Cat", "Dog"], ["Cat"], ["Cat", "Dog"]]

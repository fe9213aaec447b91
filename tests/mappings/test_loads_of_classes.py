"""Versions that are read by a class above get what their own class adds, their keys handed over in one parameter."""

from typing import Any

import pytest
from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column

from async_continuum import Versioned, version_class
from tests.kit.databases import Databases
from tests.kit.own import Own, own
from tests.kit.statements import Statements

__all__ = ["own"]


@pytest.mark.parametrize("number", [1, 2, 501, 1_100])
async def test_keys_of_a_load_of_what_a_class_adds(
    own: Own, database: Databases, statements: Statements, number: int
) -> None:
    Base, manager = own()

    class Animal(Versioned, Base):
        __tablename__ = "animal"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]

    class Dog(Animal):
        __tablename__ = "dog"
        __mapper_args__ = {"polymorphic_identity": "dog", "polymorphic_load": "selectin"}
        id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
        breed: Mapped[str]

    sessions = await database(Base, manager)
    async with sessions.begin() as session:
        session.add_all([Dog(id=n, breed=f"breed {n}") for n in range(1, number + 1)])
        session.add(Animal(id=0))
    version: Any = version_class(Animal)
    for _ in range(2):
        async with sessions() as session:
            before = len(statements)
            found = (await session.scalars(select(version).order_by(version.id))).all()
            sent = statements.parameters[before:]
        assert [each.breed for each in found[1:]] == [f"breed {n}" for n in range(1, number + 1)]
        assert all(type(each) is version_class(Dog) for each in found[1:])
        assert 2 <= len(sent) <= 1 + -(-number // 500)
        assert all(len(parameters) <= 3 for parameters in sent)

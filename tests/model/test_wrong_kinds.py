"""What is given something of another kind says so, by name, before anything is done."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Mapped, mapped_column

import async_continuum as ac
from async_continuum import RevertError, Versioned, VersioningManager, make_versioned, version_class, versions_of
from tests.kit.own import new_base

Base = new_base()
_manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls=None)


class Leaf(Versioned, Base):
    __tablename__ = "leaf"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]


LeafVersion: Any = version_class(Leaf)


@pytest.fixture
def base() -> Any:
    return Base


@pytest.fixture
def manager() -> VersioningManager:
    return _manager


@pytest.fixture
async def version(sessions: Any) -> Any:
    async with sessions() as session:
        leaf = Leaf(id=1, name="a")
        session.add(leaf)
        await session.commit()
        leaf.name = "b"
        await session.commit()
        yield await versions_of(session, Leaf, 1).first()


OBJECTS: list[Callable[[Any], Any]] = [ac.is_modified, ac.is_modified_or_deleted, ac.changeset, ac.count_versions]


@pytest.mark.parametrize("asked", OBJECTS, ids=lambda each: each.__name__)
async def test_an_object_is_due(asked: Callable[[Any], Any], version: Any) -> None:
    async def ask(target: Any) -> None:
        answer = asked(target)
        if hasattr(answer, "__await__"):
            await answer

    with pytest.raises(TypeError, match="expected an object of Leaf, got the class Leaf"):
        await ask(Leaf)
    with pytest.raises(TypeError, match="expected an object of Leaf, got the class LeafVersion"):
        await ask(LeafVersion)
    with pytest.raises(TypeError, match=r"expected an object of Leaf, got the version <LeafVersion \(1, 1\)"):
        await ask(version)
    with pytest.raises(ac.ClassNotVersioned, match="NoneType"):
        await ask(None)


async def test_versions_are_due(session: Any, version: Any) -> None:
    with pytest.raises(TypeError, match="takes versions of Leaf, not <"):
        await ac.changesets(session, [Leaf(id=2)])
    with pytest.raises(TypeError, match="takes versions of Leaf, not <class"):
        await ac.changesets(session, [LeafVersion])
    with pytest.raises(TypeError, match="takes a list of versions, not <LeafVersion"):
        await ac.changesets(session, version)


@pytest.mark.parametrize("given", [None, Leaf, Leaf(id=3), "x"], ids=["None", "a class", "an object", "a string"])
async def test_transactions_are_due(session: Any, given: Any) -> None:
    with pytest.raises(TypeError, match="expected a Transaction, got"):
        await ac.changed_entities(session, [given])


async def test_models_are_due(session: Any, version: Any) -> None:
    with pytest.raises(TypeError, match="takes a model, a list of models or None, not <LeafVersion"):
        ac.changes_between(session, version, 1, 2)


async def test_numbers_are_due(session: Any, version: Any) -> None:
    query = versions_of(version)
    for each in (query, ac.changes_between(session, Leaf, 1, 2)):
        with pytest.raises(ValueError, match="limit is not below 0: -1"):
            each.limit(-1)
        with pytest.raises(ValueError, match="offset is not below 0: -1"):
            each.offset(-1)
    index: Any = 1.5
    with pytest.raises(TypeError, match="float"):
        await query[index]


async def test_a_version_stands_for_its_entity(sessions: Any, version: Any) -> None:
    assert [each.name for each in await versions_of(version)] == ["a", "b"]
    async with sessions() as another:
        assert await versions_of(another, version).count() == 2


async def test_what_a_revert_cannot_take(session: Any, version: Any) -> None:
    relations: Any = None
    with pytest.raises(RevertError, match="must be a list of paths"):
        await version.revert(session, relations=relations)
    with pytest.raises(RevertError, match="It has: none"):
        await version.revert(session, relations=["leaves"])
    with pytest.raises(RevertError, match="made by hand"):
        await LeafVersion().revert(session)

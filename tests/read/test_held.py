"""What a session holds of versions is as stored after each reading, and what was loaded of them stays loaded."""

from contextlib import contextmanager

import pytest
from sqlalchemy import ForeignKey, event, inspect
from sqlalchemy.orm import Mapped, mapped_column, relationship, selectinload

import async_continuum as ac
from async_continuum import Versioned, changes_between, changesets, version_class, versions_of
from tests.kit.own import own
from tests.kit.statements import count_statements

__all__ = ["own"]


@pytest.fixture
def models(own):
    Base, manager = own()

    class Person(Versioned, Base):
        __tablename__ = "person"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(default="a")
        boss_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
        boss: Mapped["Person | None"] = relationship(remote_side=[id], back_populates="staff")
        staff: Mapped[list["Person"]] = relationship(back_populates="boss")

    return Base, manager, Person, version_class(Person)


@pytest.fixture
async def session(models, database):
    Base, manager, Person, _ = models
    sessions = await database(Base, manager)
    async with sessions() as session:
        ann = Person(id=1, staff=[Person(id=2)])
        session.add(ann)
        await session.commit()
        for name in ("b", "c"):
            ann.name = name
            await session.commit()
            await session.refresh(ann)
        yield session


READINGS = {
    "previous": lambda session, versions, _: versions[1].previous(),
    "next": lambda session, versions, _: versions[0].next(),
    "changeset": lambda session, versions, _: versions[1].changeset(),
    "changesets": lambda session, versions, _: changesets(session, versions[1:]),
    "one": lambda session, versions, Person: versions_of(session, Person, 1)[0],
    "at": lambda session, versions, Person: versions_of(session, Person, 1).at(versions[1]),
    "all": lambda session, versions, Person: versions_of(session, Person, 1).all(),
    "a stream": lambda session, versions, Person: read_all(versions_of(session, Person, 1)),
    "changes": lambda session, versions, Person: read_all(changes_between(session, Person, *versions[::2])),
    "entities": lambda session, versions, Person: changed(session, versions[1]),
}


@contextmanager
def listening(session, listener):
    event.listen(session.sync_session, "do_orm_execute", listener)
    try:
        yield
    finally:
        event.remove(session.sync_session, "do_orm_execute", listener)


def refuse(_):
    raise LookupError


async def read_all(query):
    return [each async for each in query]


async def changed(session, version):
    transaction = await session.get(ac.transaction_class(version), version.transaction_id)
    return await transaction.changed_entities()


@pytest.mark.parametrize("reading", READINGS)
async def test_what_was_loaded_of_a_version_stays_loaded(session, models, reading):
    _, _, Person, PersonVersion = models
    versions = await versions_of(session, Person, 1).options(selectinload(PersonVersion.staff))
    await READINGS[reading](session, versions, Person)
    assert [[each.id for each in version.staff] for version in versions] == [[2], [2], [2]]


@pytest.mark.parametrize("reading", [name for name in READINGS if name not in ("previous", "next", "changeset")])
async def test_what_another_flush_has_closed_is_closed(session, models, reading):
    _, _, Person, PersonVersion = models
    held = await versions_of(session, Person, 1).options(selectinload(PersonVersion.staff))
    expected = [version.end_transaction_id for version in held]
    for version in held:
        inspect(version).dict["end_transaction_id"] = 77
    found = await READINGS[reading](session, held, Person)
    read = {"changesets": held[:2], "one": held[:1], "at": held[1:2], "entities": held[1:2]}.get(reading, held)
    assert found
    for version, ends in zip(held, expected, strict=True):
        assert version.end_transaction_id == (ends if version in read else 77)


async def test_a_path_that_comes_by_the_version_itself_again_leaves_it_its_relations(session, models):
    _, _, Person, PersonVersion = models
    path = selectinload(PersonVersion.staff).selectinload(PersonVersion.boss)
    for _ in range(2):
        versions = await versions_of(session, Person, 1).options(path)
        assert [[each.boss.id for each in version.staff] for version in versions] == [[1], [1], [1]]
        async for version in versions_of(session, Person, 1).options(path):
            assert [each.boss.id for each in version.staff] == [1]


async def test_related_versions_that_are_held_are_as_stored(session, models):
    _, _, Person, PersonVersion = models
    (worker,) = await versions_of(session, Person, 2)
    inspect(worker).dict["end_transaction_id"] = 77
    await versions_of(session, Person, 1).options(selectinload(PersonVersion.staff))
    assert worker.end_transaction_id is None


async def test_a_query_that_fails_takes_nothing_away(session, models):
    _, _, Person, PersonVersion = models
    versions = await versions_of(session, Person, 1).options(selectinload(PersonVersion.staff))
    with pytest.raises(LookupError), listening(session, refuse):
        await versions_of(session, Person, 1)
    assert [(version.name, [each.id for each in version.staff]) for version in versions] == [
        ("a", [2]),
        ("b", [2]),
        ("c", [2]),
    ]


async def test_it_costs_no_statement(session, models, engine):
    _, _, Person, PersonVersion = models
    versions = await versions_of(session, Person, 1).options(selectinload(PersonVersion.staff))
    with count_statements(engine) as counted:
        await versions_of(session, Person, 1)
        await versions[1].previous()
    assert len(counted.texts) == 2


@pytest.mark.not_on("sqlite", "it has one writer at a time")
async def test_a_version_that_a_flush_moves_to_a_later_transaction_is_where_it_was_moved(session, models, database):
    """The query flushes first: what it puts back is not what was before."""
    Base, manager, Person, PersonVersion = models
    sessions = await database(Base, manager)
    await session.commit()
    (worker, boss) = [await session.get_one(Person, key) for key in (2, 1)]
    worker.name = "w"
    await session.flush()
    mine = await versions_of(session, Person, 2).options(selectinload(PersonVersion.boss))
    async with sessions() as other:
        (await other.get_one(Person, 1)).name = "younger"
        await other.commit()
    await session.refresh(boss)
    boss.name = "overtaken"
    held = mine[-1]
    before = held.transaction_id
    await versions_of(session, Person, 2)
    assert held.transaction_id > before
    assert held is (await versions_of(session, Person, 2))[-1]
    await session.commit()

"""The same life for every mapping: inserted, updated, deleted, inserted again, read every way, reverted."""

from typing import Any

from sqlalchemy import Column, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from async_continuum import (
    Operation,
    OperationType,
    alive_at,
    changesets,
    deleted,
    end_tx_column_name,
    transaction_class,
    tx_column_name,
    vacuum,
    verify,
    version_class,
    versions_of,
)
from tests.mappings.entry import Subject

Sessions = async_sessionmaker[AsyncSession]
State = dict[str, Any]

BIRTH, CHANGE, DEATH, REBIRTH = Operation.INSERT, Operation.UPDATE, Operation.DELETE, Operation.INSERT


async def live(sessions: Sessions, subject: Subject) -> list[State]:
    """Live a life, and give the state that each of its transactions has left."""
    model, entry = subject.model, subject.entry
    async with sessions() as session:
        instance = model(**entry.new)
        session.add(instance)
        await session.commit()
        assert tuple(inspect(instance).identity) == entry.key
        states = [await state_of(session, subject)]
    async with sessions() as session:
        instance = await session.get_one(model, entry.key)
        for name, value in entry.change.items():
            setattr(instance, name, value)
        await session.commit()
        states.append(await state_of(session, subject))
        assert states[0] != states[1]
    async with sessions() as session:
        await session.delete(await session.get_one(model, entry.key))
        await session.commit()
        states.append(states[1])
    async with sessions() as session:
        if entry.returns:
            session.add(model(**entry.new))
        else:
            first = await versions_of(session, model, entry.key)[0]
            await first.revert(session)
        await session.commit()
        states.append(await state_of(session, subject))
    return states


async def state_of(session: AsyncSession, subject: Subject) -> State:
    """Load every column of the live object that history holds."""
    names = kept(subject)
    instance = await session.get_one(subject.model, subject.entry.key)
    await session.refresh(instance, attribute_names=names)
    return {name: getattr(instance, name) for name in names}


def kept(subject: Subject) -> list[str]:
    """Name the columns, rather than expressions, that model and version have in common."""
    versions = inspect(version_class(subject.model)).column_attrs
    mapper = inspect(subject.model)
    names = [each.key for each in mapper.column_attrs if each.key in versions and isinstance(each.columns[0], Column)]
    # A column with two names changes under that which the class gave it last.
    return [name for name in names if mapper.get_property_by_column(mapper.columns[name]).key == name]


def held(version: Any, subject: Subject) -> State:
    """Give what a version holds of them."""
    return {name: getattr(version, name) for name in kept(subject)}


def operation(version: Any) -> Operation:
    """Give a version's operation, whatever its column is called."""
    columns = inspect(type(version)).columns
    return getattr(version, next(name for name, column in columns.items() if isinstance(column.type, OperationType)))


def difference(old: State, new: State) -> dict[str, tuple[Any, Any]]:
    """Say what differs between two states."""
    return {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}


async def read_every_way(sessions: Sessions, subject: Subject, states: list[State]) -> None:
    """Read the life back."""
    model, key = subject.model, subject.entry.key
    Version, Transaction = version_class(model), transaction_class(model)
    async with sessions() as session:
        query = versions_of(session, model, key)
        versions = await query
        assert [operation(each) for each in versions] == [BIRTH, CHANGE, DEATH, REBIRTH]
        assert [held(each, subject) for each in versions] == states
        begins, ends = tx_column_name(model), end_tx_column_name(model)
        ids = [getattr(each, begins) for each in versions]
        assert [getattr(each, ends) for each in versions] == [*ids[1:], None]
        assert all(isinstance(each, Version) for each in versions)

        assert await query.count() == 4
        assert [await query.first(), await query[1], await query[-2], await query.last()] == versions
        assert [each async for each in query[1:3]] == versions[1:3]
        assert [await query.at(moment) for moment in ids] == [versions[0], versions[1], None, versions[3]]
        made = await session.scalars(select(Version).where(getattr(Version, begins) == ids[1]))
        assert list(made) == [versions[1]]
        alive = await session.scalars(select(Version).where(alive_at(Version, ids[1])))
        assert list(alive) == [versions[1]]
        assert list(await session.scalars(deleted(model))) == []

        for place, each in enumerate(versions):
            assert await each.index() == place
            assert await each.previous() is (versions[place - 1] if place else None)
            assert await each.next() is (versions[place + 1] if place < 3 else None)
        absent: State = dict.fromkeys(states[0])
        expected = [
            difference(absent, states[0]),
            difference(states[0], states[1]),
            difference(states[2], absent),
            difference(absent, states[3]),
        ]
        found = await changesets(session, versions)
        assert [found[each] for each in versions] == expected
        assert [await each.changeset() for each in versions] == expected
        assert await versions[0].diff(versions[1]) == expected[1]

        parent = await versions[0].awaitable_attrs.version_parent
        assert parent is await session.get_one(model, key)
        transaction = await versions[1].awaitable_attrs.transaction
        assert await transaction.changed_entities() == {Version: [versions[1]]}
        assert await transaction.entity_names() == [model.__name__]
        touched = select(Transaction.id).where(Transaction.touched(parent)).order_by(Transaction.id)
        assert list(await session.scalars(touched)) == ids
        assert list(await session.scalars(touched.where(Transaction.touched(model)))) == ids
        assert await parent.awaitable_versions().count() == 4


async def revert_to_every_version(sessions: Sessions, subject: Subject, states: list[State]) -> None:
    """Take the entity back to its change, to where it is already, to its death, and bring it back to life."""
    model, key = subject.model, subject.entry.key
    async with sessions() as session:
        versions = await versions_of(session, model, key)
        for place in (1, 1, 2, 0):
            reverted = await versions[place].revert(session)
            assert (reverted is None) is (place == 2)
            await session.commit()
            if reverted is not None:
                now = await state_of(session, subject)
                assert without_counters(now, subject) == without_counters(states[place], subject)
            for each in versions:
                await session.refresh(each)
        operations = [operation(each) for each in await versions_of(session, model, key)]
        assert operations[4:] == [CHANGE, DEATH, REBIRTH]


def without_counters(state: State, subject: Subject) -> State:
    """Leave out what goes on counting: the column of optimistic locking."""
    mapper = inspect(subject.model)
    counter = mapper.version_id_col
    name = None if counter is None else mapper.get_property_by_column(counter).key
    return {each: value for each, value in state.items() if each != name}


async def maintain(sessions: Sessions, subject: Subject) -> None:
    """Find nothing to mend."""
    async with sessions() as session:
        assert await verify(session, subject.model) == []
        assert await vacuum(session, subject.model) == 0
        await session.commit()

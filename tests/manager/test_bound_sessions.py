"""A session that is bound by Base or by model finds history where the rows of the model are."""

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, selectinload

from async_continuum import (
    Change,
    Versioned,
    VersioningManager,
    changes_between,
    changesets,
    current_transaction,
    make_versioned,
    transaction_class,
    verify,
    version_class,
    versions_of,
)
from async_continuum.plugins import ActivityPlugin

plugin = ActivityPlugin()


class Base(AsyncAttrs, DeclarativeBase):
    pass


manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls=None, plugins=[plugin])


class Note(Versioned, Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str | None]


NoteVersion, Transaction = version_class(Note), transaction_class(Note)


@pytest.fixture
def base():
    return Base


@pytest.fixture(name="manager")
def its_manager():
    return manager


@pytest.fixture(params=["base", "model"])
def bound(request, sessions, engine):
    """Make sessions that have an engine for our classes only by way of the model's."""
    return lambda: AsyncSession(binds={Base if request.param == "base" else Note: engine})


async def test_history_is_written_and_read_every_way(bound):
    async with bound() as session:
        note = Note(id=1, text="a")
        session.add(note)
        (await current_transaction(session)).remote_addr = "10.0.0.7"
        await session.commit()
        note.text = "b"
        await session.commit()
    async with bound() as session:
        assert (await session.get_one(Transaction, 1)).remote_addr == "10.0.0.7"
    async with bound() as session:
        first, second = await session.scalars(select(NoteVersion).options(selectinload(NoteVersion.transaction)))
        assert first.transaction.remote_addr == "10.0.0.7"
        assert await versions_of(session, Note, 1).count() == 2
        assert (await changesets(session, [first, second]))[second] == {"text": Change("a", "b")}
        assert (await changes_between(session, Note, 1, 2).first()).changes == {"text": Change("a", "b")}
        assert (await (await first.next()).awaitable_attrs.version_parent).text == "b"
        assert await verify(session) == []
        assert (await first.revert(session)).text == "a"
        await session.commit()
    async with bound() as session:
        assert (await session.scalars(select(Transaction.id).where(Transaction.touched(Note)))).all() == [1, 2, 3]


async def test_an_activity_is_stored_beside_the_model(bound):
    async with bound() as session:
        note = Note(id=1, text="a")
        session.add_all([note, plugin.activity_cls(verb="wrote", object=note)])
        await session.commit()
    async with bound() as session:
        activity = (await session.scalars(select(plugin.activity_cls))).one()
        assert (await activity.object(session)).text == "a"

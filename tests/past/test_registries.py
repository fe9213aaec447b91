"""Where several registries keep history, in one database or in several, each is read as of the same moment."""

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import inspect, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from async_continuum import (
    ImproperlyConfigured,
    Versioned,
    VersioningManager,
    as_of,
    changes_between,
    make_versioned,
    transaction_class,
)
from tests.kit.own import new_base

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def registry(called: str) -> SimpleNamespace:
    Base: Any = new_base()
    options: Any = {"transaction_table_name": f"{called}_transaction"}
    manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls=None, options=options)

    class Thing(Versioned, Base):
        __tablename__ = called
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    return SimpleNamespace(Base=Base, manager=manager, Thing=Thing, Transaction=transaction_class(Thing))


ONE, TWO = registry("one"), registry("two")


async def live(session: AsyncSession) -> None:
    """Change one thing four times and the other twice, in turns, so that their transactions are numbered apart."""
    for thing, name in [(ONE, "a"), (ONE, "b"), (TWO, "A"), (ONE, "c"), (TWO, "B"), (ONE, "d")]:
        found = await session.get(thing.Thing, 1)
        if found is None:
            session.add(thing.Thing(id=1, name=name))
        else:
            found.name = name
        await session.commit()


async def seen(session: AsyncSession) -> list[Any]:
    return [(await session.scalars(select(each.Thing.name))).all() for each in (ONE, TWO)]


async def transactions_of(session: AsyncSession, of: SimpleNamespace) -> Any:
    # Binds of a session that are given for a base class are not those of classes that do not derive from it.
    bind = {"bind": session.get_bind(inspect(of.Thing))}
    return (await session.scalars(select(of.Transaction).order_by(of.Transaction.id), bind_arguments=bind)).all()


async def assert_that_a_moment_is_one_for_both(session: AsyncSession) -> None:
    transactions, other = [await transactions_of(session, each) for each in (ONE, TWO)]
    expected = [["a"], []], [["b"], []], [["c"], ["A"]], [["d"], ["B"]]
    for moment, then in zip(transactions, expected, strict=True):
        for source in (moment, moment.issued_at):
            async with as_of(session, source) as past:
                assert await seen(past) == then
    async with as_of(session, other[0]) as past:
        assert await seen(past) == [["b"], ["A"]]
    with pytest.raises(ValueError, match=r"may be of any of one_transaction, two_transaction.*give a Transaction"):
        async with as_of(session, 1):
            pass
    listed = await changes_between(session, [ONE.Thing, TWO.Thing], transactions[1], transactions[3])
    assert [change.changes["name"] for change in listed] == [("b", "d"), (None, "B")]
    query = changes_between(session, [ONE.Thing, TWO.Thing], transactions[1], transactions[3])
    assert await query.count() == 2
    assert [change.model for change in await query.offset(1).limit(1)] == [TWO.Thing]


async def test_two_registries_share_a_database(database, engine):
    sessions = await database(ONE.Base, ONE.manager)
    await database(TWO.Base, TWO.manager)
    async with sessions() as session:
        await live(session)
        await assert_that_a_moment_is_one_for_both(session)
        with pytest.raises(ImproperlyConfigured, match="name the models"):
            changes_between(session, None, 1, 2)


async def test_two_registries_have_a_database_each(database, engine, places):
    await database(ONE.Base, ONE.manager)
    async with places.fresh("sqlite", TWO.Base.metadata) as second:
        async with AsyncSession(binds={ONE.Base: engine, TWO.Base: second.engine()}) as session:
            await live(session)
            await assert_that_a_moment_is_one_for_both(session)
        # A session that knows one of them only is asked with a number as ever.
        async with AsyncSession(binds={ONE.Base: engine}) as session, as_of(session, 2) as past:
            assert (await past.scalars(select(ONE.Thing.name))).all() == ["b"]

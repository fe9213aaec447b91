"""Links come back with the other columns that their rows had, and those that stay are given them again."""

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, String, Table, delete, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column, relationship

from async_continuum import RevertError, Versioned, versions_of
from tests.kit.statements import count_statements


@pytest.fixture(params=["validity", "subquery"])
def club(own, request):
    """A club with members, each in a role, and a number of their own."""
    Base, manager = own(options={"strategy": request.param})
    membership = Table(
        "membership",
        Base.metadata,
        Column("club_id", ForeignKey("club.id"), primary_key=True),
        Column("person_id", ForeignKey("person.id"), primary_key=True),
        Column("the role", String(10), key="role", nullable=False),
        Column("note", String(10), server_default="none"),
    )

    class Club(Versioned, Base):
        __tablename__ = "club"
        id: Mapped[int] = mapped_column(primary_key=True)
        members: Mapped[list["Person"]] = relationship(secondary=membership, back_populates="clubs")

    class Person(Versioned, Base):
        __tablename__ = "person"
        id: Mapped[int] = mapped_column(primary_key=True)
        clubs: Mapped[list[Club]] = relationship(secondary=membership, back_populates="members")

    return SimpleNamespace(Base=Base, manager=manager, Club=Club, Person=Person, membership=membership)


async def fill(sessions: Any, m: SimpleNamespace, number: int = 2) -> None:
    async with sessions() as session:
        session.add_all([m.Club(id=1), *(m.Person(id=key) for key in range(1, number + 1))])
        await session.flush()
        rows = [{"club_id": 1, "person_id": key, "role": f"r{key}", "note": None} for key in range(1, number + 1)]
        await session.execute(insert(m.membership), rows)
        await session.commit()


async def members(session: Any, m: SimpleNamespace) -> list[tuple[Any, ...]]:
    table = m.membership
    rows = await session.execute(select(table.c.person_id, table.c.role, table.c.note).order_by(table.c.person_id))
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("side", ["members", "clubs"])
async def test_links_that_are_gone_come_back_with_their_columns(database, club, side):
    m = club
    sessions = await database(m.Base, m.manager)
    await fill(sessions, m)
    async with sessions() as session:
        await session.execute(delete(m.membership))
        await session.commit()
        model = m.Club if side == "members" else m.Person
        version = await versions_of(session, model, 1)[0]
        live = await version.revert(session, relations=[side])
        assert len(getattr(live, side)) == (2 if side == "members" else 1)
        await session.commit()
        assert await members(session, m) == [(1, "r1", None), (2, "r2", None)][: 2 if side == "members" else 1]


async def test_links_that_stay_are_given_what_they_had(database, club):
    m = club
    sessions = await database(m.Base, m.manager)
    await fill(sessions, m)
    async with sessions() as session:
        await session.execute(update(m.membership).where(m.membership.c.person_id == 2).values(role="new", note="x"))
        await session.commit()
        version = await versions_of(session, m.Club, 1)[0]
        plan = await version.plan_revert(session, relations=["members"])
        assert str(plan) == "relinked Club 1.members -> Person 2"
        await version.revert(session, relations=["members"])
        await session.commit()
        assert await members(session, m) == [(1, "r1", None), (2, "r2", None)]
        assert not await version.plan_revert(session, relations=["members"])


async def test_links_of_later_go_and_those_of_now_are_left_alone(database, club):
    m = club
    sessions = await database(m.Base, m.manager)
    await fill(sessions, m)
    async with sessions() as session:
        session.add(m.Person(id=3))
        await session.flush()
        await session.execute(insert(m.membership).values(club_id=1, person_id=3, role="late"))
        await session.commit()
        await (await versions_of(session, m.Club, 1)[0]).revert(session, relations=["members"])
        await session.commit()
        assert [row[0] for row in await members(session, m)] == [1, 2]


async def test_the_number_of_statements_is_that_of_a_few(database, club, engine):
    m = club
    sessions = await database(m.Base, m.manager)
    await fill(sessions, m, 60)
    numbers = []
    async with sessions() as session:
        for last in (4, 60):
            chosen = m.membership.c.person_id <= last
            await session.execute(delete(m.membership).where(chosen, m.membership.c.person_id % 2 == 0))
            await session.execute(update(m.membership).where(chosen).values(role="new"))
            await session.commit()
            version = await versions_of(session, m.Club, 1)[0]
            with count_statements(engine) as statements:
                await version.revert(session, relations=["members"])
                await session.commit()
            numbers.append(len(statements.texts))
            assert [row[1] for row in await members(session, m)] == [f"r{key}" for key in range(1, 61)]
    assert numbers[0] == numbers[1]


async def test_a_refusal_leaves_them_as_they_were(database, club):
    m = club
    sessions = await database(m.Base, m.manager)
    await fill(sessions, m)
    async with sessions() as session:
        version = await versions_of(session, m.Club, 1)[0]
        await session.execute(update(m.membership).values(role="new"))
        await session.commit()
        with pytest.raises(RevertError):
            await version.revert(session, relations=["members", "nobody"])
        await session.commit()
        assert [row[1] for row in await members(session, m)] == ["new", "new"]

"""A column without a past is never read in the past: not its present value, and not a silent None."""

import pickle
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import ForeignKey, String, func, inspect, select, union
from sqlalchemy.orm import (
    Mapped,
    aliased,
    column_property,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
    undefer,
)

from async_continuum import (
    ColumnNotVersioned,
    ImproperlyConfigured,
    Versioned,
    VersioningManager,
    as_of,
    make_versioned,
)
from tests.kit.own import new_base

Base: Any = new_base()
manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls=None)


class Member(Versioned, Base):
    """Tells its history neither its password nor who brought it in; of its plan a value is declared."""

    __tablename__ = "member"
    __versioned__ = {
        "exclude": ["password", "plan", "visits", "team_id", "notes"],
        "past_default": {"plan": "free", "visited": 0},
    }
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    password: Mapped[str] = mapped_column("passwd", String(50))
    plan: Mapped[str] = mapped_column(String(10))
    visits: Mapped[int] = mapped_column("visited")
    notes: Mapped[str | None] = mapped_column(String(50), deferred=True)
    team_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"))
    team: Mapped["Team | None"] = relationship(back_populates="members")
    length: Mapped[int] = column_property(func.length(password))
    shout: Mapped[str] = column_property(func.upper(name))


class Team(Versioned, Base):
    __tablename__ = "team"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    members: Mapped[list[Member]] = relationship(back_populates="team")


@pytest.fixture
def base():
    return Base


@pytest.fixture(name="manager")
def the_manager():
    return manager


MISSING = ("password", "notes", "team_id", "length")


@pytest.fixture
async def past(session):
    """What the member was called before it got another name, password and plan."""
    team = Team(id=1, name="team")
    session.add(Member(id=1, name="ann", password="old", plan="gold", visits=7, notes="n", team=team))
    await session.commit()
    member = await session.get_one(Member, 1)
    member.name, member.password, member.plan, member.visits = "ann b.", "new", "silver", 8
    await session.commit()
    async with as_of(session, 1) as past:
        yield past


async def refuses(member, name):
    with pytest.raises(ColumnNotVersioned, match=rf"Member\.{name}.*past_default") as raised:
        await getattr(member.awaitable_attrs, name)
    with pytest.raises(ColumnNotVersioned):
        getattr(member, name)
    assert inspect(raised.value.column).key == name
    assert name not in inspect(member).dict


LOADED = {
    "get": lambda past: past.get_one(Member, 1),
    "select": lambda past: past.scalar(select(Member)),
    "an alias": lambda past: past.scalar(select(aliased(Member))),
    "a subquery": lambda past: past.scalar(select(aliased(Member, select(Member).limit(1).subquery()))),
    "from a statement": lambda past: past.scalar(select(Member).from_statement(select(Member))),
    "undefer": lambda past: past.scalar(select(Member).options(undefer(Member.notes))),
    "a union": lambda past: past.scalar(
        select(Member).from_statement(union(select(Member).where(Member.id == 1), select(Member).where(Member.id == 9)))
    ),
}


async def test_an_object_is_loaded_without_what_history_does_not_hold(past):
    for load in LOADED.values():
        past.expunge_all()
        await holds_no_more_than_history(past, await load(past))


async def holds_no_more_than_history(past, member):
    assert (member.name, member.plan, member.visits, member.shout) == ("ann", "free", 0, "ANN")
    for name in MISSING:
        await refuses(member, name)
    past.expire(member)
    for name in MISSING:
        await refuses(member, name)
    assert await member.awaitable_attrs.name == "ann"
    await past.refresh(member)
    again = (await past.scalars(select(Member), execution_options={"populate_existing": True})).one()
    assert again is member
    past.expire_all()
    await past.refresh(member, ["name"])
    for name in MISSING:
        await refuses(member, name)
    assert member.name == "ann"


ASKED = {
    "a column": lambda: select(Member.password),
    "a column beside an entity": lambda: select(Member, Member.password),
    "a column of an alias": lambda: select(aliased(Member).password),
    "a column of a subquery": lambda: select(select(Member).subquery().c.passwd),
    "a whole subquery": lambda: select(select(Member).subquery()),
    "a whole table": lambda: select(Member.__table__),
    "a union": lambda: union(select(Member), select(Member)),
    "a condition": lambda: select(Member.id).where(Member.password == "new"),
    "a condition on an entity": lambda: select(Member).where(Member.password == "new"),
    "an order": lambda: select(Member.id).order_by(Member.password),
    "a function": lambda: select(func.max(Member.password)),
    "a column property": lambda: select(Member.length),
    "a scalar subquery": lambda: select(Team.id, select(func.count(Member.password)).scalar_subquery()),
    "in a subquery": lambda: select(Team).where(Team.name.in_(select(Member.password))),
    "a join over an excluded foreign key": lambda: select(Member).join(Member.team),
    "an existence over an excluded foreign key": lambda: select(Team).where(Team.members.any()),
    "eager loading over an excluded foreign key": lambda: select(Member).options(joinedload(Member.team)),
    "eager loading of the other side": lambda: select(Team).options(selectinload(Team.members)),
}


async def test_a_query_that_names_such_a_column_is_refused(past):
    answered = []
    for name, question in ASKED.items():
        with suppress(ColumnNotVersioned):
            answered.append((name, (await past.execute(question())).all()))
    assert answered == []


async def test_a_declared_value_is_a_value_in_queries_too(past):
    assert (await past.execute(select(Member.plan, Member.visits))).all() == [("free", 0)]
    assert (await past.scalars(select(Member.id).where(Member.plan == "free", Member.visits < 1))).all() == [1]
    assert (await past.scalars(select(Member.id).where(Member.plan == "gold"))).all() == []


async def test_a_relation_over_an_excluded_foreign_key_is_refused_and_not_empty(past):
    member = await past.get_one(Member, 1)
    team = await past.get_one(Team, 1)
    for owner, name in ((member, "team"), (team, "members")):
        with pytest.raises(ColumnNotVersioned, match="team_id"):
            await getattr(owner.awaitable_attrs, name)


async def test_an_object_of_the_past_refuses_when_it_has_left_its_session(past):
    member = await past.get_one(Member, 1)
    past.expunge(member)
    copy = pickle.loads(pickle.dumps(member))
    for each in (member, copy):
        assert each.name == "ann"
        with pytest.raises(ColumnNotVersioned, match="password"):
            _ = each.password


async def test_the_present_is_read_as_before(session, past):
    await past.get_one(Member, 1)
    live = await session.get_one(Member, 1)
    await session.refresh(live)
    assert (live.password, live.plan, live.length, await live.awaitable_attrs.notes) == ("new", "silver", 3, "n")
    assert (await session.execute(select(Member.password))).scalars().all() == ["new"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"pasword": "x"}, "no column of it that is excluded. Did you mean 'password'?"),
        ({"name": "x"}, "not excluded: history holds its past values"),
    ],
)
async def test_a_value_for_a_column_that_needs_none_is_refused(own, values, problem):
    Own, _ = own()
    with pytest.raises(ImproperlyConfigured, match=problem.replace("?", r"\?")) as raised:

        class Account(Versioned, Own):
            __tablename__ = "account"
            __versioned__ = {"exclude": ["password"], "past_default": values}
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str]
            password: Mapped[str]

    assert raised.value.option == "past_default"

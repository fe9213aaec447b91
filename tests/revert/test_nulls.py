"""NULL and the null of JSON are both None to Python; a revert stores the one that was stored."""

import pytest
from sqlalchemy import JSON, ForeignKey, case, cast, null, select, update
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import String

from async_continuum import Versioned, verify, versions_of
from tests.kit.statements import count_statements


@pytest.mark.parametrize("was", ["NULL", "null"])
async def test_what_was_stored_is_stored_again(own, database, engine, was):
    Base, manager = own()

    class Case(Versioned, Base):
        __tablename__ = "case"
        id: Mapped[int] = mapped_column("the id", primary_key=True)
        kind: Mapped[str] = mapped_column(default="case")
        data: Mapped[dict | None] = mapped_column("the data", JSON)
        above_id: Mapped[int | None] = mapped_column(ForeignKey("case.the id"))
        below: Mapped[list["Case"]] = relationship()
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "case"}

    class Special(Case):
        __tablename__ = "special"
        number: Mapped[int] = mapped_column(ForeignKey("case.the id"), primary_key=True)
        more: Mapped[dict | None] = mapped_column(JSON)
        __mapper_args__ = {"polymorphic_identity": "special"}

    async def stored(session):
        told = [case((column.is_(None), "NULL"), else_=cast(column, String)) for column in (Case.data, Special.more)]
        return {tuple(row) for row in await session.execute(select(*told).select_from(Special))}

    sessions = await database(Base, manager)
    statements = []
    async with sessions() as session:
        given = {} if was == "NULL" else {"data": None, "more": None}
        session.add(Case(id=1, below=[Special(id=key, **given) for key in range(2, 32)]))
        await session.commit()
        assert await stored(session) == {(was, was)}
        # One that has not changed stays: whether NULL and null differ there is asked once for each column.
        for last in (4, 31):
            await session.execute(update(Case).where(Case.id > 1, Case.id < last).values(data={"x": 1}))
            await session.execute(update(Special).where(Special.number < last).values(more={"y": 1}))
            await session.commit()
            session.expire_all()
            version = await versions_of(session, Case, 1)[0]
            with count_statements(engine) as counted:
                await version.revert(session, relations=["below"])
                await session.commit()
            statements.append(len(counted.texts))
            assert await stored(session) == {(was, was)}
            assert await verify(session, Case, Special) == []
        assert len(await versions_of(session, Special, 2)) == 5
    assert statements[0] == statements[1]


@pytest.mark.parametrize("was", ["NULL", "null"])
async def test_what_differs_in_nothing_else_is_planned_and_set_back(own, database, engine, was):
    Base, manager = own()

    class Parcel(Versioned, Base):
        __tablename__ = "parcel"
        id: Mapped[int] = mapped_column("the id", primary_key=True)
        data: Mapped[dict | None] = mapped_column("the data", JSON)
        around_id: Mapped[int | None] = mapped_column(ForeignKey("parcel.the id"))
        within: Mapped[list["Parcel"]] = relationship()

    async def stored(session):
        told = case((Parcel.data.is_(None), "NULL"), else_=cast(Parcel.data, String))
        return dict((await session.execute(select(Parcel.id, told).order_by(Parcel.id))).all())

    sessions = await database(Base, manager)
    then, now = (null(), JSON.NULL) if was == "NULL" else (JSON.NULL, null())
    async with sessions() as session:
        session.add(Parcel(id=1, data=then, within=[Parcel(id=key, data=then) for key in range(2, 32)]))
        await session.commit()
        statements = []
        for last in (4, 32):
            await session.execute(update(Parcel).where(Parcel.id < last).values(data=now))
            await session.commit()
            session.expire_all()
            version = await versions_of(session, Parcel, 1)[0]
            plan = await version.plan_revert(session, relations=["within"])
            assert {entity.key[0] for entity in plan.updated} == set(range(1, last))
            with count_statements(engine) as counted:
                await version.revert(session, relations=["within"])
                await session.commit()
            statements.append(len(counted.texts))
            assert await stored(session) == dict.fromkeys(range(1, 32), was)
            assert not await version.plan_revert(session, relations=["within"])
        assert await verify(session, Parcel) == []
        assert len(await versions_of(session, Parcel, 2)) == 5
        assert len(await versions_of(session, Parcel, 31)) == 3
    assert statements[0] == statements[1]

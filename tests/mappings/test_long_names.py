"""Columns whose names are as long as the database takes are recorded and read as any others."""

from typing import Any

from sqlalchemy import Column, ForeignKey, Table, delete, func, select, update
from sqlalchemy.orm import Mapped, mapped_column, relationship, selectinload

from async_continuum import (
    Operation,
    Versioned,
    VersioningManager,
    as_of,
    changes_between,
    make_versioned,
    version_class,
    versions_of,
)
from async_continuum.plugins import ActivityPlugin, TransactionChangesPlugin
from tests.kit.own import new_base

Base: Any = new_base()
manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls=None)
with_plugins: Any = new_base()
other_manager = make_versioned(
    mapper=with_plugins,
    manager=VersioningManager(),
    user_cls=None,
    plugins=[TransactionChangesPlugin(), ActivityPlugin()],
    options={"transaction_table_name": "deed"},
)


def long(letter: str, length: int = 63) -> str:
    return letter * length


marked = Table(
    "marked", Base.metadata,
    Column(long("l"), ForeignKey(f"thing.{long('k')}"), primary_key=True),
    Column(long("r", 58), ForeignKey("mark.id"), primary_key=True),
)  # fmt: skip


class Thing(Versioned, Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(long("k"), primary_key=True)
    value: Mapped[int] = mapped_column(long("v", 60))
    kind: Mapped[str] = mapped_column(default="thing")
    marks: Mapped[list["Mark"]] = relationship(secondary=marked, order_by=lambda: Mark.id)
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "thing"}


class Toy(Thing):
    __tablename__ = "toy"
    toy_id: Mapped[int] = mapped_column(long("t"), ForeignKey(Thing.id), primary_key=True)
    size: Mapped[int] = mapped_column(long("s"))
    __mapper_args__ = {"polymorphic_identity": "toy"}


class Mark(Versioned, Base):
    __tablename__ = "mark"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(long("v", 60), default=1)


class Told(Versioned, with_plugins):
    __tablename__ = "told"
    id: Mapped[int] = mapped_column(long("k", 62), primary_key=True)
    value: Mapped[int] = mapped_column(long("v", 60))


async def test_they_are_recorded_by_objects_and_by_statements(database):
    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add_all([Thing(id=1, value=1, marks=[Mark(id=1)]), Thing(id=2, value=1), Toy(id=3, value=1, size=1)])
        session.add(Mark(id=2))
        await session.commit()
        for thing in await session.scalars(select(Thing)):
            thing.value = 2
        (await session.get_one(Toy, 3)).size = 2
        await session.commit()
        await session.execute(update(Thing).values(value=Thing.value + 1))
        await session.execute(update(Mark).values(value=2))
        await session.execute(update(Mark).where(Mark.id == 2).values(value=3))
        await session.commit()
        await session.execute(update(Thing), [{"id": 1, "value": 9}, {"id": 2, "value": 9}])
        await session.commit()
        await session.execute(marked.delete())
        await session.execute(delete(Mark))
        await session.commit()
        found = [each.operation_type for each in await versions_of(session, Mark, 2)]
        assert found == [Operation.INSERT, Operation.UPDATE, Operation.DELETE]
        assert [each.value for each in await versions_of(session, Thing, 1)] == [1, 2, 3, 9]


async def test_they_are_recorded_where_plugins_write_beside(database):
    sessions = await database(with_plugins, other_manager)
    async with sessions() as session:
        session.add_all([Told(id=1, value=1), Told(id=2, value=1)])
        await session.commit()
        await session.execute(update(Told).values(value=2))
        await session.commit()
        await session.execute(delete(Told))
        await session.commit()
        assert [each.value for each in await versions_of(session, Told, 1)] == [1, 2, 2]


async def test_they_are_read_in_the_past_and_reverted(database):
    sessions = await database(Base, manager)
    async with sessions() as session:
        thing = Thing(id=1, value=1, marks=[Mark(id=1), Mark(id=2)])
        session.add_all([thing, Toy(id=3, value=1, size=1)])
        await session.commit()
        await session.refresh(thing, ["marks"])
        thing.value, thing.marks = 2, []
        (await session.get_one(Toy, 3)).size = 2
        await session.commit()
        first = await versions_of(session, Thing, 1)[0]
        async with as_of(session, first) as past:
            query = select(Thing).order_by(Thing.id).options(selectinload(Thing.marks))
            assert [(each.value, len(each.marks)) for each in await past.scalars(query)] == [(1, 2), (1, 0)]
            assert await past.scalar(select(Toy.size)) == 1
            grouped = select(Thing.value, func.count()).outerjoin(Thing.marks).group_by(Thing.id).order_by(Thing.id)
            assert (await past.execute(grouped)).all() == [(1, 2), (1, 1)]
            subquery = select(Thing).where(Thing.value == 1).subquery()
            assert (await past.execute(select(func.count()).select_from(subquery))).scalar_one() == 2
        changes = await changes_between(session, Thing, first, (await versions_of(session, Thing, 1)[1]))
        assert [each.changes for each in changes] == [{"value": (1, 2)}, {"size": (1, 2)}]
        versions: Any = version_class(Thing)
        loaded = (await session.scalars(select(versions).options(selectinload(versions.marks)))).all()
        assert sorted(len(each.marks) for each in loaded) == [0, 0, 0, 2]
        reverted = await first.revert(session, relations=["marks"])
        assert (reverted.value, len(reverted.marks)) == (1, 2)
        await session.commit()

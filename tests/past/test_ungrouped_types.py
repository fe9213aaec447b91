"""A query grouped by a key is answered in the past of a table with columns of types that PostgreSQL cannot group."""

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import JSON, ForeignKey, Text, cast, func, lambda_stmt, select
from sqlalchemy.orm import Mapped, aliased, mapped_column, relationship
from sqlalchemy.types import UserDefinedType

from async_continuum import Versioned, VersioningManager, make_versioned, transaction_class
from tests.kit.own import new_base
from tests.past.twice import ask_twice

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

Base: Any = new_base()
manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls=None)


class Place(UserDefinedType[str]):
    """A point, given and shown as text."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "POINT"

    def bind_expression(self, bindvalue: Any) -> Any:
        return cast(cast(bindvalue, Text), self)

    def column_expression(self, column: Any) -> Any:
        return cast(column, Text)


class Shelf(Versioned, Base):
    __versioned__ = {"exclude": ["plan"], "past_default": {"plan": {"p": 1}}}
    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    data: Mapped[Any] = mapped_column("stored data", JSON)
    place: Mapped[str | None] = mapped_column(Place)
    plan: Mapped[Any] = mapped_column(JSON, default={"p": 1})
    things: Mapped[list["Thing"]] = relationship(order_by=lambda: Thing.id, back_populates="shelf")


class Thing(Versioned, Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[Any] = mapped_column(JSON)
    shelf_id: Mapped[int] = mapped_column(ForeignKey(Shelf.id))
    shelf: Mapped[Shelf] = relationship(back_populates="things")


async def first(session: Any, m: Any) -> None:
    shelf = m.Shelf(id=1, name="s", data={"a": [1, None]}, place="(1,2)", things=[m.Thing(id=1, data=[1])])
    session.add_all([shelf, m.Shelf(id=2, name="empty", data=None)])


async def second(session: Any, m: Any) -> None:
    shelf = await session.get_one(m.Shelf, 1)
    shelf.data, shelf.place, shelf.name = {"a": [2]}, "(3,4)", "S"
    session.add(m.Thing(id=2, data={"x": 2}, shelf_id=1))
    (await session.get_one(m.Shelf, 2)).data = "d"


def rows(statement: Any) -> Any:
    async def ask(session: Any, m: Any) -> Any:
        def plain(value: Any) -> Any:
            return (value.name, value.data, value.place, value.plan) if isinstance(value, m.Shelf) else value

        found = await session.execute(statement(m))
        return [tuple(map(plain, row)) for row in found]

    return ask


def counted(m: Any, shelf: Any, *shown: Any) -> Any:
    number = func.count(m.Thing.id)
    return select(*shown, number).outerjoin(m.Thing, m.Thing.shelf_id == shelf.id).group_by(shelf.id).order_by(shelf.id)


def in_a_subquery(m: Any) -> Any:
    grouped = select(m.Shelf, func.count().label("n")).join(m.Shelf.things).group_by(m.Shelf.id).subquery()
    return select(aliased(m.Shelf, grouped), grouped.c.n).order_by(grouped.c.id)


def correlated(m: Any) -> Any:
    inner = select(m.Thing.data).where(m.Thing.shelf_id == m.Shelf.id).order_by(m.Thing.id).limit(1).scalar_subquery()
    return select(m.Shelf, inner).group_by(m.Shelf.id).order_by(m.Shelf.id)


other = aliased(Shelf)

QUESTIONS = {
    "an entity": rows(lambda m: counted(m, m.Shelf, m.Shelf)),
    "columns": rows(lambda m: counted(m, m.Shelf, m.Shelf.data, m.Shelf.name)),
    "under another name": rows(lambda m: counted(m, other, other)),
    "a table": rows(lambda m: counted(m, m.Shelf.__table__.c, m.Shelf.__table__).order_by(m.Shelf.__table__.c.id)),
    "in an expression": rows(lambda m: counted(m, m.Shelf, m.Shelf.data["a"])),
    "in an aggregate": rows(
        lambda m: select(m.Shelf.data, func.count(m.Thing.data)).join(m.Shelf.things).group_by(m.Shelf.id)
    ),
    "having": rows(lambda m: counted(m, m.Shelf, m.Shelf).having(func.count(m.Thing.data) > 0)),
    "in a subquery": rows(in_a_subquery),
    "with a subquery": rows(correlated),
    "from a statement": rows(
        lambda m: select(m.Shelf).from_statement(select(m.Shelf).group_by(m.Shelf.id).order_by(m.Shelf.id))
    ),
    "a lambda": rows(lambda m: lambda_stmt(lambda: select(Shelf).group_by(Shelf.id).order_by(Shelf.id))),
    "of both": rows(
        lambda m: select(m.Shelf.data, m.Thing.data).join(m.Shelf.things).group_by(m.Shelf.id, m.Thing.id)
        .order_by(m.Thing.id)
    ),
}  # fmt: skip


async def test_a_query_grouped_by_a_key_shows_columns_of_types_without_equality(database):
    await ask_twice(
        await database(Base, manager),
        SimpleNamespace(Shelf=Shelf, Thing=Thing),
        transactions=transaction_class(Shelf),
        story=[first, second],
        questions=QUESTIONS,
    )

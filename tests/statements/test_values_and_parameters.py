"""An INSERT whose key is given by `values()` in part, and by parameter sets for the rest, is recorded."""

import pytest
from sqlalchemy import ForeignKey, bindparam, insert
from sqlalchemy.orm import Mapped, WriteOnlyMapped, mapped_column, relationship

from async_continuum import Versioned, verify
from tests.kit.history import told

ROWS = [{"place": 1, "text": "a"}, {"place": 2, "text": "b"}]


@pytest.fixture
def models(own):
    Base, manager = own(options={"unrecorded": "raise"})

    class Line(Versioned, Base):
        __tablename__ = "line"
        order_id: Mapped[int] = mapped_column(ForeignKey("order.id", ondelete="CASCADE"), primary_key=True)
        place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        text: Mapped[str]

    class Order(Versioned, Base):
        __tablename__ = "order"
        id: Mapped[int] = mapped_column(primary_key=True)
        lines: WriteOnlyMapped[Line] = relationship(passive_deletes=True)

    return Base, manager, Order, Line


FORMS = {
    "write-only": lambda order, line: (order.lines.insert(), ROWS),
    "write-only, one row": lambda order, line: (order.lines.insert(), ROWS[:1]),
    "write-only, values": lambda order, line: (order.lines.insert().values(ROWS[0]), []),
    "ORM": lambda order, line: (insert(line).values(order_id=order.id), ROWS),
    "Core": lambda order, line: (insert(line.__table__).values(order_id=order.id), ROWS),
    "a parameter": lambda order, line: (
        insert(line).values(order_id=bindparam("of")),
        [{"of": order.id, **row} for row in ROWS],
    ),
}


@pytest.mark.parametrize("form", FORMS)
async def test_an_insert_of_a_composite_key_is_recorded(form, models, database):
    Base, manager, Order, Line = models
    sessions = await database(Base, manager)
    async with sessions() as session:
        order = Order(id=7)
        session.add(order)
        await session.flush()
        statement, parameters = FORMS[form](order, Line)
        await session.execute(statement, parameters or None)
        await session.commit()
        assert await verify(session, Line) == []
    assert await told(sessions, Line, (7, 1), "text") == [("INSERT", "a")]
    assert await told(sessions, Line, (7, 2), "text") == ([("INSERT", "b")] if len(parameters) == 2 else [])

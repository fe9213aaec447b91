"""Keys that Python makes up while an INSERT is executed are recorded, whatever way its rows are given."""

import itertools
import uuid
from typing import Any

import pytest
from sqlalchemy import bindparam, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from async_continuum import Versioned, backfill, verify, version_class

counter = itertools.count(1000)

ONE, TWO = [{"text": "1"}], [{"text": "1"}, {"text": "2"}]

# What is executed, its parameter sets, and how many rows come.
WAYS: dict[str, Any] = {
    "values": (lambda model: insert(model).values(text="1"), None, 1),
    "a list of one": (lambda model: insert(model).values(ONE), None, 1),
    "a list": (lambda model: insert(model).values(TWO), None, 2),
    "a list, returned": (lambda model: insert(model).values(TWO).returning(*model.__table__.primary_key), None, 2),
    "a list of a table": (lambda model: model.__table__.insert().values(TWO), None, 2),
    "a parameter set": (insert, ONE, 1),
    "parameter sets": (insert, TWO, 2),
    "parameter sets of a table": (lambda model: model.__table__.insert(), TWO, 2),
    "named parameters": (lambda model: insert(model).values(text=bindparam("given")), [{"given": "1"}] * 2, 2),
    "inline": (lambda model: insert(model).inline().values(text="1"), None, 1),
    "a query": (lambda model: insert(model).from_select(["text"], select(literal("1"))), None, 1),
}


@pytest.mark.parametrize("way", WAYS)
async def test_they_are_recorded(own, database, way):
    Base, manager = own()

    class Document(Versioned, Base):
        __tablename__ = "document"
        id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
        text: Mapped[str]

    class Page(Versioned, Base):
        __tablename__ = "page"
        document: Mapped[int] = mapped_column("doc", primary_key=True, default=lambda: next(counter))
        number: Mapped[int] = mapped_column("n o", primary_key=True, default=3)
        text: Mapped[str]

    sessions = await database(Base, manager)
    given, parameters, number = WAYS[way]
    session: AsyncSession
    async with sessions() as session:
        for model in (Document, Page):
            statement = given(model)
            await (session.execute(statement) if parameters is None else session.execute(statement, parameters))
        await session.commit()
        assert await verify(session, Document, Page) == []
        assert await backfill(session, Document, Page) == 0
        for model in (Document, Page):
            versions = (await session.scalars(select(version_class(model)))).all()
            assert sorted(version.text for version in versions) == ["1", "2"][:number] or way == "named parameters"
            assert len(versions) == number

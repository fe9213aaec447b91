"""Tables may be called by any word: what statements of ours call their parts hides no table of the user's."""

import re
from pathlib import Path

import pytest
from sqlalchemy import ForeignKey, delete, update
from sqlalchemy.orm import Mapped, mapped_column

import async_continuum as ac
from async_continuum import Versioned, backfill, verify, version_table
from tests.kit.history import told

WORDS = ("closed", "guard", "led", "newest", "predecessor", "taken", "unchanged", "written")
FOLDER = Path(ac.__file__).parent


def test_every_part_of_a_statement_has_a_name_of_ours():
    named = re.compile(r"""\.(?:alias|cte|subquery)\(\s*(?:name=)?f?["'](?!ac_)\w+""")
    found = [
        f"{path.relative_to(FOLDER)}: {match.group()}"
        for path in sorted(FOLDER.rglob("*.py"))
        for match in named.finditer(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize("strategy", ["validity", "subquery"])
@pytest.mark.parametrize("word", WORDS)
async def test_a_table_called_like_a_part_of_a_statement(word, strategy, own, database):
    Base, manager = own(options={"strategy": strategy})

    class Page(Versioned, Base):
        __tablename__ = word
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add_all([Page(id=key, name="a") for key in (1, 2, 3)])
        await session.commit()
        session.add(Page(id=4, name="a"))
        await session.commit()
        (await session.get_one(Page, 1)).name = (await session.get_one(Page, 2)).name = "b"
        await session.commit()
        await session.delete(await session.get_one(Page, 3))
        await session.commit()
        page = await session.get_one(Page, 2)
        for page.name in ("c", "d"):
            await session.flush()
        session.add(Page(id=3, name="e"))
        await session.commit()
        await session.execute(update(Page).where(Page.id < 3).values(name="f"))
        await session.execute(update(Page), [{"id": 4, "name": "g"}])
        await session.commit()
        await session.execute(delete(Page).where(Page.id == 1))
        await session.commit()
        assert await verify(session, Page) == []
    expected = {
        1: [("INSERT", "a"), ("UPDATE", "b"), ("UPDATE", "f"), ("DELETE", "f")],
        2: [("INSERT", "a"), ("UPDATE", "b"), ("UPDATE", "d"), ("UPDATE", "f")],
        3: [("INSERT", "a"), ("DELETE", "a"), ("INSERT", "e")],
        4: [("INSERT", "a"), ("UPDATE", "g")],
    }
    assert {key: await told(sessions, Page, key, "name") for key in expected} == expected

    async with sessions() as session:
        versions = version_table(Page)
        await session.execute(versions.update().where(versions.c.id == 4, versions.c.name == "g").values(name="?"))
        await session.commit()
        assert await backfill(session, Page, repair=True) == 1
        await session.commit()
        assert await verify(session, Page) == []


@pytest.mark.parametrize("strategy", ["validity", "subquery"])
@pytest.mark.parametrize("word", WORDS)
async def test_a_joined_table_called_like_a_part_of_a_statement(word, strategy, own, database):
    Base, manager = own(options={"strategy": strategy})

    class Page(Versioned, Base):
        __tablename__ = "page"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "page"}

    class Cover(Page):
        __tablename__ = word
        id: Mapped[int] = mapped_column(ForeignKey("page.id"), primary_key=True)
        colour: Mapped[str]
        __mapper_args__ = {"polymorphic_identity": "cover"}

    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add_all([Cover(id=key, name="a", colour="red") for key in (1, 2)])
        await session.commit()
        (await session.get_one(Cover, 1)).name = "b"
        await session.commit()
        (await session.get_one(Cover, 2)).colour = "blue"
        await session.commit()
        await session.delete(await session.get_one(Cover, 1))
        await session.commit()
        assert await verify(session, Page) == []
    assert await told(sessions, Cover, 1, "name", "colour") == [
        ("INSERT", "a", "red"),
        ("UPDATE", "b", "red"),
        ("DELETE", "b", "red"),
    ]
    assert await told(sessions, Cover, 2, "name", "colour") == [("INSERT", "a", "red"), ("UPDATE", "a", "blue")]

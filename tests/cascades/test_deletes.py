"""What the database takes away, or re-points, in consequence of a recorded delete is recorded."""

from contextlib import nullcontext

import pytest
from sqlalchemy import ForeignKey, delete, event, func, insert, select, text
from sqlalchemy.orm import Mapped, mapped_column

import async_continuum as ac
from async_continuum import Versioned, versions_of
from tests.cascades.house import life
from tests.links.magazine import links

NO_DEFAULT = "InnoDB knows no SET DEFAULT"


@pytest.fixture
async def filled(sessions, models):
    """House 1 with two rooms of two chairs and a colour each, and a guest; house 0 is everybody's home."""
    async with sessions() as session:
        await fill(session, models)
        await session.commit()


async def fill(session, models):
    m = models
    session.add_all([m.House(id=0), m.House(id=1), m.Colour(id=1)])
    await session.flush()
    session.add_all([m.Room(id=number, house_id=1) for number in (1, 2)])
    session.add_all([m.Guest(id=1, house_id=1, home_id=1), m.Guest(id=2, house_id=0, home_id=0)])
    await session.flush()
    session.add_all([m.Chair(room_id=room, number=number) for room in (1, 2) for number in (1, 2)])
    await session.execute(insert(m.room_colour), [{"room_id": room, "colour_id": 1} for room in (1, 2)])


COLOURED = [(1, 1, "INSERT"), (2, 1, "INSERT")]


async def test_cascades_are_recorded_level_by_level(sessions, models, filled):
    async with sessions() as session:
        await session.delete(await session.get_one(models.House, 1))
        await session.commit()
        for model, key in ((models.House, 1), (models.Room, 1), (models.Room, 2), (models.Chair, (2, 1))):
            assert [each[0] for each in await life(session, model, key)] == ["INSERT", "DELETE"]
        newest = (await ac.versions_of(session, models.Room, 2))[-1]
        assert (newest.name, newest.house_id, newest.transaction_id) == ("r", 1, 2)
        assert await links(session, models.manager, models.room_colour) == [
            *COLOURED,
            (1, 1, "DELETE"),
            (2, 1, "DELETE"),
        ]
        assert await life(session, models.Colour, 1) == [("INSERT",)]


@pytest.mark.not_on("mariadb", NO_DEFAULT)
async def test_rows_that_the_database_re_points_are_updated(sessions, models, filled):
    async with sessions() as session:
        await session.delete(await session.get_one(models.House, 1))
        await session.commit()
        assert await life(session, models.Guest, 1, "house_id", "home_id") == [("INSERT", 1, 1), ("UPDATE", None, 0)]
        assert await life(session, models.Guest, 2, "house_id") == [("INSERT", 0)]


async def test_links_go_with_either_end(sessions, models, filled):
    async with sessions() as session:
        await session.delete(await session.get_one(models.Room, 1))
        await session.commit()
        assert await links(session, models.manager, models.room_colour) == [*COLOURED, (1, 1, "DELETE")]
        await session.delete(await session.get_one(models.Colour, 1))
        await session.commit()
        assert (await links(session, models.manager, models.room_colour))[3:] == [(2, 1, "DELETE")]


@pytest.mark.parametrize("loaded", [True, False])
async def test_what_the_orm_has_loaded_it_deletes_itself_and_the_history_is_the_same(sessions, models, filled, loaded):
    async with sessions() as session:
        house = await session.get_one(models.House, 1)
        if loaded:
            for room in await house.awaitable_attrs.rooms:
                await room.awaitable_attrs.chairs
                await room.awaitable_attrs.colours
        for each in list(house.__dict__.get("rooms", [])):
            await session.delete(each)
        await session.delete(house)
        await session.commit()
        assert await life(session, models.Room, 1, "house_id") == [("INSERT", 1), ("DELETE", 1)]
        assert await life(session, models.Chair, (1, 1)) == [("INSERT",), ("DELETE",)]
        assert (await links(session, models.manager, models.room_colour))[2:] == [(1, 1, "DELETE"), (2, 1, "DELETE")]


async def test_the_cascades_of_the_orm_and_of_the_database_mix(sessions, models, filled):
    async with sessions() as session:
        house = await session.get_one(models.House, 1)
        (await house.awaitable_attrs.owners).append(models.Owner(id=1))
        await session.commit()
        await session.delete(house)
        await session.commit()
        assert await life(session, models.Owner, 1) == [("INSERT",), ("DELETE",)]
        assert await life(session, models.Room, 1) == [("INSERT",), ("DELETE",)]


async def test_a_row_changed_in_the_same_flush_goes_with_what_it_held(sessions, models, filled):
    async with sessions() as session:
        room = await session.get_one(models.Room, 1)
        guest = await session.get_one(models.Guest, 1)
        house = await session.get_one(models.House, 1)
        room.name, guest.home_id = "changed", None
        await session.flush()
        await session.delete(house)
        await session.commit()
        assert await life(session, models.Room, 1, "name") == [("INSERT", "r"), ("DELETE", "changed")]
        assert await life(session, models.Guest, 1, "house_id", "home_id") == [("INSERT", 1, 1), ("UPDATE", None, None)]


@pytest.mark.not_on("mariadb", NO_DEFAULT)
async def test_what_is_made_and_cascaded_away_in_one_transaction_was_never_there(sessions, models):
    async with sessions() as session:
        await fill(session, models)
        await session.flush()
        await session.delete(await session.get_one(models.House, 1))
        await session.commit()
        assert await life(session, models.Room, 1) == []
        assert await life(session, models.Guest, 1, "house_id", "home_id") == [("INSERT", None, 0)]
        assert await links(session, models.manager, models.room_colour) == []


async def test_what_comes_back_under_its_key_is_an_update_or_nothing(sessions, models, filled):
    async with sessions() as session:
        await session.delete(await session.get_one(models.House, 1))
        await session.flush()
        session.add(models.House(id=1))
        await session.flush()
        session.add_all([models.Room(id=1, house_id=1), models.Room(id=2, house_id=1, name="new")])
        await session.flush()
        await session.execute(insert(models.room_colour).values(room_id=1, colour_id=1))
        await session.commit()
        assert await life(session, models.House, 1) == [("INSERT",)]
        assert await life(session, models.Room, 1, "name") == [("INSERT", "r")]
        assert await life(session, models.Room, 2, "name") == [("INSERT", "r"), ("UPDATE", "new")]
        assert await links(session, models.manager, models.room_colour) == [*COLOURED, (2, 1, "DELETE")]


@pytest.mark.not_on("mariadb", NO_DEFAULT)
async def test_rows_older_than_their_history_are_taken_before_they_go(sessions, models):
    async with sessions() as session:
        with ac.versioning_disabled():
            await fill(session, models)
            await session.commit()
        await session.delete(await session.get_one(models.House, 1))
        await session.commit()
        assert await life(session, models.Room, 1, "name", "house_id") == [("DELETE", "r", 1)]
        assert await life(session, models.Chair, (2, 2)) == [("DELETE",)]
        assert await life(session, models.Guest, 1, "house_id", "home_id") == [("UPDATE", None, 0)]
        assert await links(session, models.manager, models.room_colour) == [(1, 1, "DELETE"), (2, 1, "DELETE")]


@pytest.mark.parametrize("how", ["object", "statement"])
@pytest.mark.parametrize(
    "column",
    [
        pytest.param("house_id", id="SET NULL"),
        pytest.param("home_id", id="SET DEFAULT", marks=pytest.mark.not_on("mariadb", NO_DEFAULT)),
    ],
)
async def test_a_row_older_than_its_history_is_re_pointed(sessions, models, column, how):
    async with sessions() as session:
        with ac.versioning_disabled():
            session.add_all([models.House(id=0), models.House(id=1)])
            await session.flush()
            session.add_all([models.Guest(id=1, **{column: 1}), models.Guest(id=2)])
            await session.commit()
        if how == "object":
            await session.delete(await session.get_one(models.House, 1))
        else:
            await session.execute(delete(models.House).where(models.House.id == 1))
        await session.commit()
        assert await life(session, models.House, 1) == [("DELETE",)]
        assert await life(session, models.Guest, 1, "house_id", "home_id") == [("UPDATE", None, 0)]
        assert await life(session, models.Guest, 2) == []


async def test_a_rollback_takes_cascades_back(sessions, models, filled):
    async with sessions() as session:
        savepoint = await session.begin_nested()
        await session.delete(await session.get_one(models.House, 1))
        await session.flush()
        await savepoint.rollback()
        async with session.begin_nested():
            await session.delete(await session.get_one(models.Room, 2))
        await session.commit()
        await session.delete(await session.get_one(models.House, 1))
        await session.flush()
        await session.rollback()
        assert await life(session, models.House, 1) == [("INSERT",)]
        assert await life(session, models.Room, 1) == [("INSERT",)]
        assert await life(session, models.Room, 2) == [("INSERT",), ("DELETE",)]
        assert await life(session, models.Guest, 1, "house_id") == [("INSERT", 1)]
        assert await links(session, models.manager, models.room_colour) == [*COLOURED, (2, 1, "DELETE")]


async def test_cascades_of_several_flushes_and_savepoints_add_up_with_links(sessions, models, filled):
    m = models
    async with sessions() as session:
        # A flush of its own for each: what the database has taken is made anew, linked, and taken again.
        await session.delete(await session.get_one(m.Room, 1))
        await session.flush()
        savepoint = await session.begin_nested()
        await session.delete(await session.get_one(m.House, 1))
        await session.flush()
        await savepoint.rollback()
        session.add(m.Room(id=1, house_id=1, name="new"))
        await session.flush()
        session.add(m.Chair(room_id=1, number=2))
        await session.execute(insert(m.room_colour).values(room_id=1, colour_id=1))
        session.add(m.Colour(id=2))
        await session.flush()
        async with session.begin_nested():
            colour = await session.get_one(m.Colour, 2)
            (await colour.awaitable_attrs.rooms).append(await session.get_one(m.Room, 2))
            await session.flush()
            await session.delete(await session.get_one(m.Colour, 1))
        savepoint = await session.begin_nested()
        await session.execute(insert(m.room_colour).values(room_id=1, colour_id=2))
        await session.delete(await session.get_one(m.Room, 2))
        await session.flush()
        await savepoint.rollback()
        await session.commit()
        assert await life(session, m.House, 1) == [("INSERT",)]
        assert await life(session, m.Room, 1, "name") == [("INSERT", "r"), ("UPDATE", "new")]
        assert await life(session, m.Room, 2) == await life(session, m.Guest, 1) == [("INSERT",)]
        assert await life(session, m.Chair, (1, 1)) == [("INSERT",), ("DELETE",)]
        assert await life(session, m.Chair, (1, 2)) == await life(session, m.Chair, (2, 1)) == [("INSERT",)]
        assert await links(session, m.manager, m.room_colour) == [
            *COLOURED,
            (1, 1, "DELETE"),
            (2, 1, "DELETE"),
            (2, 2, "INSERT"),
        ]


@pytest.mark.not_on("mariadb", NO_DEFAULT)
async def test_what_a_cascade_takes_in_a_savepoint_is_taken_once(sessions, models, filled):
    m = models
    async with sessions() as session:
        async with session.begin_nested():
            await session.execute(delete(m.room_colour).where(m.room_colour.c.room_id == 1))
            await session.delete(await session.get_one(m.Room, 1))
            async with session.begin_nested():
                await session.delete(await session.get_one(m.House, 1))
        session.add(m.House(id=1))
        await session.flush()
        session.add(m.Room(id=2, house_id=1))
        (await session.get_one(m.Guest, 1, populate_existing=True)).house_id = 1
        await session.commit()
        assert await life(session, m.House, 1) == await life(session, m.Room, 2) == [("INSERT",)]
        assert await life(session, m.Guest, 1, "house_id", "home_id") == [("INSERT", 1, 1), ("UPDATE", 1, 0)]
        assert await life(session, m.Room, 1) == await life(session, m.Chair, (2, 2)) == [("INSERT",), ("DELETE",)]
        assert (await links(session, m.manager, m.room_colour))[2:] == [(1, 1, "DELETE"), (2, 1, "DELETE")]


async def test_boxes_in_boxes_go_together(sessions, models):
    async with sessions() as session:
        for number in range(1, 6):
            session.add(models.Box(id=number, outer_id=number - 1 or None))
            await session.flush()
        session.add(models.Box(id=6))
        await session.commit()
        await session.delete(await session.get_one(models.Box, 2))
        await session.commit()
        for number in range(2, 6):
            assert await life(session, models.Box, number, "outer_id") == [
                ("INSERT", number - 1),
                ("DELETE", number - 1),
            ]
        assert await life(session, models.Box, 1) == await life(session, models.Box, 6) == [("INSERT",)]


async def test_a_circle_of_boxes_goes_together(sessions, models):
    async with sessions() as session:
        boxes = [models.Box(id=number) for number in (1, 2)]
        session.add_all(boxes)
        await session.flush()
        boxes[0].outer_id, boxes[1].outer_id = 2, 1
        await session.commit()
        await session.refresh(boxes[0])
        await session.delete(boxes[0])
        await session.commit()
        for number in (1, 2):
            assert await life(session, models.Box, number, "outer_id") == [
                ("INSERT", 3 - number),
                ("DELETE", 3 - number),
            ]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_nothing_happens_on_sqlite_without_foreign_keys(place, sessions, models, filled):
    engine = place.engine()
    event.listen(engine.sync_engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys=OFF"))
    async with sessions(bind=engine) as session:
        await session.delete(await session.get_one(models.House, 1))
        await session.commit()
        assert await session.scalar(text("SELECT count(*) FROM room WHERE house_id = 1")) == 2
        assert await life(session, models.Room, 1, "house_id") == [("INSERT", 1)]
        assert await life(session, models.Chair, (1, 1)) == [("INSERT",)]
        assert await life(session, models.Guest, 1, "house_id", "home_id") == [("INSERT", 1, 1)]
        assert await links(session, models.manager, models.room_colour) == COLOURED


@pytest.mark.parametrize("act", ["cascade", "move"])
async def test_it_costs_a_constant_number_of_statements(sessions, models, statements, act):
    counted = []
    async with sessions() as session:
        session.add_all([models.House(id=0), models.Colour(id=1)])
        await session.commit()
    for key, size in ((10, 2), (1000, 200)):
        async with sessions() as session:
            session.add(models.House(id=key))
            await session.flush()
            session.add_all(models.Room(id=key + n, house_id=key) for n in range(size))
            session.add_all(models.Guest(id=key + n, house_id=key, home_id=0) for n in range(size))
            await session.flush()
            session.add_all(models.Chair(room_id=key + n, number=1) for n in range(size))
            given = [{"room_id": key + n, "colour_id": 1} for n in range(size)]
            await session.execute(insert(models.room_colour), given)
            await session.commit()
            house = await session.get_one(models.House, key)
            await session.refresh(house)
            before = len(statements)
            if act == "cascade":
                await session.delete(house)
            else:
                house.id = key + 500
            await session.flush()
            counted.append(statements[before:])
            await session.commit()
    assert len(counted[0]) == len(counted[1]), "\n".join(counted[1])


async def test_a_core_delete_of_links_alone_asks_for_no_cascades(sessions, models, filled, statements, backend):
    async with sessions() as session:
        before = len(statements)
        await session.execute(delete(models.room_colour).where(models.room_colour.c.room_id == 1))
        await session.commit()
        # On SQLite three of them make and empty the place for what is marked.
        assert len(statements) - before <= {"sqlite": 8, "mariadb": 7}.get(backend, 4), statements[before:]
        assert await session.scalar(select(models.Room.id).where(models.Room.id == 1)) == 1


@pytest.mark.parametrize("known", [True, False], ids=["recorded", "older than their history"])
@pytest.mark.parametrize("by", ["objects", "a statement", "a statement of all"])
async def test_rows_that_refer_to_one_another_go_once(own, database, by, known):
    Base, manager = own()

    class Node(Versioned, Base):
        __tablename__ = "node"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id", ondelete="CASCADE"))

    sessions = await database(Base, manager)
    async with sessions() as session:
        # A root that is its own parent, with a child; and a circle of two, with a child of one of them.
        parents = {1: 1, 2: 1, 3: None, 4: 3, 5: 4}
        with nullcontext() if known else ac.versioning_disabled():
            for key, parent in parents.items():
                session.add(Node(id=key, parent_id=parent))
                await session.flush()
            (await session.get_one(Node, 3)).parent_id = 4
            await session.commit()
        match by:
            case "objects":
                for key in (1, 3):
                    await session.delete(await session.get_one(Node, key))
            case "a statement":
                await session.execute(delete(Node).where(Node.id.in_([1, 3])))
            case _:
                await session.execute(delete(Node))
        await session.commit()
        assert await session.scalar(select(func.count()).select_from(Node)) == 0
        for key, parent in {**parents, 3: 4}.items():
            versions = await versions_of(session, Node, key)
            begun = [(0, parent)] if known else []
            assert [(v.operation_type, v.parent_id) for v in versions] == [*begun, (2, parent)]

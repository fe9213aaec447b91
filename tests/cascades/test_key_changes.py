"""What the database moves in consequence of a key change is recorded under the old keys and the new ones."""

import pytest
from sqlalchemy import insert

from tests.cascades.house import life
from tests.links.magazine import links


@pytest.fixture
async def filled(sessions, models):
    """House 1, a room with two chairs and a colour, and a guest."""
    m = models
    async with sessions() as session:
        session.add_all([m.House(id=0), m.House(id=1), m.Colour(id=1)])
        await session.flush()
        session.add_all([m.Room(id=1, house_id=1), m.Guest(id=1, house_id=1, home_id=0)])
        await session.flush()
        session.add_all([m.Chair(room_id=1, number=number) for number in (1, 2)])
        await session.execute(insert(m.room_colour).values(room_id=1, colour_id=1))
        await session.commit()


async def test_rows_that_refer_are_updated(sessions, models, filled):
    async with sessions() as session:
        (await session.get_one(models.House, 1)).id = 5
        await session.commit()
        assert await life(session, models.House, 1) == [("INSERT",), ("DELETE",)]
        assert await life(session, models.House, 5) == [("INSERT",)]
        assert await life(session, models.Room, 1, "house_id") == [("INSERT", 1), ("UPDATE", 5)]
        assert await life(session, models.Guest, 1, "house_id", "home_id") == [("INSERT", 1, 0), ("UPDATE", 5, 0)]
        assert await life(session, models.Chair, (1, 1)) == [("INSERT",)]


async def test_rows_and_links_whose_key_moves_are_gone_and_there(sessions, models, filled):
    async with sessions() as session:
        (await session.get_one(models.Room, 1)).id = 7
        await session.commit()
        assert await life(session, models.Room, 7, "house_id") == [("INSERT", 1)]
        for number in (1, 2):
            assert await life(session, models.Chair, (1, number)) == [("INSERT",), ("DELETE",)]
            assert await life(session, models.Chair, (7, number)) == [("INSERT",)]
        told = [(1, 1, "INSERT"), (1, 1, "DELETE"), (7, 1, "INSERT")]
        assert await links(session, models.manager, models.room_colour) == told


async def test_there_and_back_in_one_transaction_is_no_change(sessions, models, filled):
    async with sessions() as session:
        room = await session.get_one(models.Room, 1)
        for key in (7, 1):
            room.id = key
            await session.flush()
        await session.commit()
        assert await life(session, models.Room, 1) == await life(session, models.Chair, (1, 1)) == [("INSERT",)]
        assert await life(session, models.Room, 7) == await life(session, models.Chair, (7, 1)) == []
        assert await links(session, models.manager, models.room_colour) == [(1, 1, "INSERT")]


async def test_a_rolled_back_move_leaves_nothing(sessions, models, filled):
    async with sessions() as session:
        savepoint = await session.begin_nested()
        (await session.get_one(models.Room, 1)).id = 7
        await session.flush()
        await savepoint.rollback()
        (await session.get_one(models.House, 0)).name = "changed"
        await session.commit()
        assert await life(session, models.Room, 1) == await life(session, models.Chair, (1, 1)) == [("INSERT",)]
        assert await life(session, models.Chair, (7, 1)) == []
        assert await links(session, models.manager, models.room_colour) == [(1, 1, "INSERT")]


async def test_move_then_delete_leaves_one_delete_under_the_old_keys(sessions, models, filled):
    async with sessions() as session:
        room = await session.get_one(models.Room, 1)
        room.id = 7
        await session.flush()
        await session.delete(room)
        await session.commit()
        assert (
            await life(session, models.Room, 1)
            == await life(session, models.Chair, (1, 1))
            == [
                ("INSERT",),
                ("DELETE",),
            ]
        )
        assert await life(session, models.Room, 7) == await life(session, models.Chair, (7, 1)) == []
        assert await links(session, models.manager, models.room_colour) == [(1, 1, "INSERT"), (1, 1, "DELETE")]


@pytest.mark.not_on("mariadb", "InnoDB refuses a cascade that comes back to the table that it began in")
async def test_boxes_follow_the_box_around_them(sessions, models):
    async with sessions() as session:
        for number in (1, 2, 3):
            session.add(models.Box(id=number, outer_id=number - 1 or None))
            await session.flush()
        await session.commit()
        box = await session.get_one(models.Box, 2)
        box.id = 9
        await session.commit()
        assert await life(session, models.Box, 2, "outer_id") == [("INSERT", 1), ("DELETE", 1)]
        assert await life(session, models.Box, 9, "outer_id") == [("INSERT", 1)]
        assert await life(session, models.Box, 3, "outer_id") == [("INSERT", 2), ("UPDATE", 9)]

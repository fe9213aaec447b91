"""A row comes to a key in the same statement that deletes the row which was there: by triggers, by parts of a WITH."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from tests.kit.history import told
from tests.native.shop import Item
from tests.native.test_raw import DEL, INS, UPD, raw

Sessions = async_sessionmaker[AsyncSession]

FILL = "INSERT INTO item SELECT n, chr(96 + n), 0 FROM generate_series(1, 6) n"
A = [(INS, "a")]
B_GONE = [(INS, "b"), (DEL, "b")]


def on_delete(body: str, event: str = "AFTER DELETE ON item FOR EACH ROW") -> str:
    """A trigger of the user's own, which does something once, when the first item goes."""
    return f"""
        CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF pg_trigger_depth() = 1 AND NOT EXISTS (SELECT FROM item WHERE id = 1) THEN
                {body};
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER a_first {event} EXECUTE FUNCTION own()"""


AGAIN = "INSERT INTO item VALUES (1, 'a', 0)"
OTHERWISE = "INSERT INTO item VALUES (1, 'x', 0)"
MOVED = "UPDATE item SET id = 1 WHERE id = 2"
MOVED_ALIKE = "UPDATE item SET id = 1, name = 'a' WHERE id = 2"
STATEMENT = "AFTER DELETE ON item FOR EACH STATEMENT"
ONE, MORE = "DELETE FROM item WHERE id = 1", "DELETE FROM item WHERE id IN (1, 3, 4)"

BY_TRIGGERS = {
    "again": (AGAIN, A, [(INS, "b")]),
    "otherwise": (OTHERWISE, [(INS, "a"), (UPD, "x")], [(INS, "b")]),
    "another moves there": (MOVED, [(INS, "a"), (UPD, "b")], B_GONE),
    "another moves there and is alike": (MOVED_ALIKE, A, B_GONE),
}


@pytest.mark.parametrize("delete", [ONE, MORE], ids=["one", "more"])
@pytest.mark.parametrize("event", ["AFTER DELETE ON item FOR EACH ROW", STATEMENT], ids=["row", "statement"])
@pytest.mark.parametrize("name", BY_TRIGGERS)
async def test_a_trigger_puts_a_row_where_one_is_deleted(
    sessions: Sessions, engine: AsyncEngine, name: str, event: str, delete: str
) -> None:
    body, first, second = BY_TRIGGERS[name]
    connection = await raw(engine)
    await connection.execute(FILL)
    await connection.execute(on_delete(body, event))
    await connection.execute(delete)
    await connection.close()

    assert await told(sessions, Item, 1, "name") == first
    assert await told(sessions, Item, 2, "name") == second
    assert await told(sessions, Item, 3, "name") == [(INS, "c"), *([(DEL, "c")] if delete == MORE else [])]


GONE = "WITH gone AS (DELETE FROM item WHERE id = 1 RETURNING id)"

BY_PARTS: dict[str, tuple[str, list[Any], list[Any]]] = {
    "another moves there": (
        f"{GONE} UPDATE item SET id = gone.id FROM gone WHERE item.id = 2",
        [(INS, "a"), (UPD, "b")],
        B_GONE,
    ),
    "another moves there and is alike": (
        f"{GONE} UPDATE item SET id = gone.id, name = 'a' FROM gone WHERE item.id = 2",
        A,
        B_GONE,
    ),
    "others move": (
        f"{GONE} UPDATE item SET id = item.id - gone.id FROM gone WHERE item.id IN (2, 3)",
        [(INS, "a"), (UPD, "b")],
        [(INS, "b"), (UPD, "c")],
    ),
    "again": (f"{GONE} INSERT INTO item SELECT id, 'a', 0 FROM gone", A, [(INS, "b")]),
    "otherwise": (f"{GONE} INSERT INTO item SELECT id, 'x', 0 FROM gone", [(INS, "a"), (UPD, "x")], [(INS, "b")]),
}


@pytest.mark.parametrize("before", [[], ["UPDATE item SET count = 1 WHERE id = 6"]], ids=["first", "later"])
@pytest.mark.parametrize("name", BY_PARTS)
async def test_a_part_of_the_statement_puts_a_row_where_another_deletes_one(
    sessions: Sessions, engine: AsyncEngine, name: str, before: list[str]
) -> None:
    statement, first, second = BY_PARTS[name]
    connection = await raw(engine)
    await connection.execute(FILL)
    async with connection.transaction():
        for each in [*before, statement]:
            await connection.execute(each)
    await connection.close()

    assert await told(sessions, Item, 1, "name") == first
    assert await told(sessions, Item, 2, "name") == second


async def test_what_was_deleted_is_put_back_by_what_is_returned(sessions: Sessions, engine: AsyncEngine) -> None:
    connection = await raw(engine)
    await connection.execute(FILL)
    await connection.execute(
        "CREATE FUNCTION put_back(key int) RETURNS int LANGUAGE sql VOLATILE AS"
        " $$ INSERT INTO item VALUES (key, 'a', 0) RETURNING id $$"
    )
    assert await connection.fetchval("DELETE FROM item WHERE id = 1 RETURNING put_back(id)") == 1
    await connection.close()

    assert await told(sessions, Item, 1, "name") == A


async def test_what_a_transaction_has_seen_move_is_forgotten_with_it(sessions: Sessions, engine: AsyncEngine) -> None:
    connection = await raw(engine)
    await connection.execute(FILL)
    await connection.execute(BY_PARTS["another moves there"][0])
    assert not await connection.fetchval("SELECT current_setting('async_continuum.moved', true)")
    await connection.execute("DELETE FROM item WHERE id = 1")
    await connection.close()

    assert await told(sessions, Item, 1, "name") == [(INS, "a"), (UPD, "b"), (DEL, "b")]

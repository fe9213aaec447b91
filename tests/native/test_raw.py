"""History is written whoever writes: drivers, COPY, TRUNCATE, psql; each database transaction signs it once."""

from contextlib import suppress
from typing import Any

import pytest
from asyncpg.exceptions import InsufficientPrivilegeError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

import async_continuum as ac
from tests.kit.history import told
from tests.native.shop import Item, Ledger, Place, Tag

Sessions = async_sessionmaker[AsyncSession]

INS, UPD, DEL = "INSERT", "UPDATE", "DELETE"

ONE = "INSERT INTO item VALUES (1, 'a', 0)"
TWO = "INSERT INTO item VALUES (1, 'a', 0), (2, 'b', 0)"

Life = tuple[str, list[list[str]], dict[int, list[tuple[Any, ...]]], int]

ITEM_LIVES: list[Life] = [
    ("insert and update", [[ONE, "UPDATE item SET name = 'b'"]], {1: [(INS, "b")]}, 1),
    ("there and back", [[ONE], ["UPDATE item SET name = 'b'", "UPDATE item SET name = 'a'"]], {1: [(INS, "a")]}, 1),
    ("nothing changes", [[ONE], ["UPDATE item SET name = name"], ["UPDATE item SET seen = 1"]], {1: [(INS, "a")]}, 1),
    ("insert and delete", [[ONE, "UPDATE item SET count = 1", "DELETE FROM item"]], {1: []}, 0),
    (
        "delete and insert",
        [[ONE], ["DELETE FROM item", "INSERT INTO item VALUES (1, 'b', 0)"]],
        {1: [(INS, "a"), (UPD, "b")]},
        2,
    ),
    ("delete and the same again", [[ONE], ["DELETE FROM item", ONE]], {1: [(INS, "a")]}, 1),
    (
        "update and delete",
        [[ONE], ["UPDATE item SET name = 'b'", "DELETE FROM item"]],
        {1: [(INS, "a"), (DEL, "b")]},
        2,
    ),
    (
        "lives again",
        [[ONE], ["DELETE FROM item"], ["INSERT INTO item VALUES (1, 'b', 0)"]],
        {1: [(INS, "a"), (DEL, "a"), (INS, "b")]},
        3,
    ),
    (
        "keys move",
        [[TWO], ["UPDATE item SET id = id + 10"]],
        {1: [(INS, "a"), (DEL, "a")], 2: [(INS, "b"), (DEL, "b")], 11: [(INS, "a")], 12: [(INS, "b")]},
        2,
    ),
    (
        "keys move and come back",
        [[ONE], ["UPDATE item SET id = 2", "UPDATE item SET id = 1"]],
        {1: [(INS, "a")], 2: []},
        1,
    ),
    (
        "many at once",
        [
            ["INSERT INTO item SELECT n, 'a', 0 FROM generate_series(1, 50) n"],
            ["UPDATE item SET name = 'b' WHERE id % 2 = 0"],
            ["DELETE FROM item WHERE id > 3"],
        ],
        {
            1: [(INS, "a")],
            2: [(INS, "a"), (UPD, "b")],
            4: [(INS, "a"), (UPD, "b"), (DEL, "b")],
            5: [(INS, "a"), (DEL, "a")],
        },
        3,
    ),
    (
        "an upsert",
        [
            [ONE],
            ["INSERT INTO item VALUES (1, 'b', 0), (2, 'b', 0) ON CONFLICT (id) DO UPDATE SET name = excluded.name"],
        ],
        {1: [(INS, "a"), (UPD, "b")], 2: [(INS, "b")]},
        2,
    ),
    (
        "a savepoint is rolled back",
        [[ONE], ["SAVEPOINT s", "UPDATE item SET name = 'b'", "ROLLBACK TO s", "UPDATE item SET count = 1"]],
        {1: [(INS, "a"), (UPD, "a")]},
        2,
    ),
    (
        "only a savepoint that is rolled back",
        [[ONE], ["SAVEPOINT s", "UPDATE item SET name = 'b'", "ROLLBACK TO s"]],
        {1: [(INS, "a")]},
        1,
    ),
    ("truncated", [[TWO], ["TRUNCATE item CASCADE"]], {1: [(INS, "a"), (DEL, "a")], 2: [(INS, "b"), (DEL, "b")]}, 2),
    (
        "truncated and filled again",
        [[TWO], ["TRUNCATE item CASCADE", "INSERT INTO item VALUES (2, 'b', 0)"]],
        {1: [(INS, "a"), (DEL, "a")], 2: [(INS, "b")]},
        2,
    ),
]


async def raw(engine: AsyncEngine) -> Any:
    """Open a connection of the driver, without SQLAlchemy in between."""
    import asyncpg

    url = engine.url
    return await asyncpg.connect(
        host=url.host or url.query.get("host"),
        port=url.port or url.query.get("port"),
        user=url.username,
        password=url.password,
        database=url.database,
    )


@pytest.mark.parametrize(
    ("transactions", "histories", "signed"), [each[1:] for each in ITEM_LIVES], ids=[each[0] for each in ITEM_LIVES]
)
async def test_a_life_by_raw_asyncpg(
    sessions: Sessions, engine: AsyncEngine, transactions: Any, histories: Any, signed: int
) -> None:
    connection = await raw(engine)
    for statements in transactions:
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement)
    count = await connection.fetchval("SELECT count(*) FROM transaction")
    await connection.close()

    assert count == signed
    for key, versions in histories.items():
        assert await told(sessions, Item, key, "name") == versions


async def test_copy_links_and_a_cascade(sessions: Sessions, engine: AsyncEngine) -> None:
    connection = await raw(engine)
    async with connection.transaction():
        await connection.copy_records_to_table(
            "item", records=[(1, "a", 0), (2, "b", 0)], columns=["id", "name", "count"]
        )
        await connection.execute("INSERT INTO tag VALUES (7)")
        await connection.copy_records_to_table("item_tag", records=[(1, 7), (2, 7)])
    await connection.execute("DELETE FROM item WHERE id = 1")
    async with connection.transaction():
        await connection.execute("DELETE FROM item_tag")
        await connection.execute("INSERT INTO item_tag VALUES (2, 7)")
    links = await connection.fetch(
        "SELECT item_id, operation_type FROM item_tag_version ORDER BY transaction_id, item_id"
    )
    signed = await connection.fetchval("SELECT count(*) FROM transaction")
    await connection.close()

    assert [tuple(link) for link in links] == [(1, 0), (2, 0), (1, 2)]
    assert signed == 2
    assert await told(sessions, Item, 2, "name") == [(INS, "b")]
    assert await told(sessions, Tag, 7) == [(INS,)]
    async with sessions() as session:
        version = await ac.versions_of(session, Item, 1)[0]
        assert version.name == "a"
        assert [tag.id for tag in await session.run_sync(lambda _: version.tags)] == [7]


async def test_quoted_names_composite_keys_and_no_ends(sessions: Sessions, engine: AsyncEngine) -> None:
    connection = await raw(engine)
    await connection.execute("""INSERT INTO "The Place" VALUES ('a', 1, 'ann'), ('a', 2, 'bob')""")
    await connection.execute("""UPDATE "The Place" SET tx = 'eve' WHERE "no:" = 1""")
    await connection.execute("""UPDATE "The Place" SET "row %s" = 'b' WHERE "no:" = 2""")
    async with connection.transaction():
        await connection.execute("""UPDATE "The Place" SET tx = 'x'""")
        await connection.execute("""UPDATE "The Place" SET tx = CASE "no:" WHEN 1 THEN 'eve' ELSE 'bob' END""")
    with pytest.raises(Exception, match="is not truncated"):
        await connection.execute('TRUNCATE "The Place"')
    await connection.execute('DELETE FROM "The Place"')
    await connection.close()

    assert await told(sessions, Place, ("a", 1), "guest") == [(INS, "ann"), (UPD, "eve"), (DEL, "eve")]
    assert await told(sessions, Place, ("a", 2), "guest") == [(INS, "bob"), (DEL, "bob")]
    assert await told(sessions, Place, ("b", 2), "guest") == [(INS, "bob"), (DEL, "bob")]


async def test_a_hostile_search_path_and_a_role_without_rights_on_history(
    sessions: Sessions, engine: AsyncEngine
) -> None:
    """Neither another meaning of = nor a table of the same name gets between a writer and history."""
    owner, clerk = await raw(engine), await raw(engine)
    role = f"clerk_{engine.url.database}"
    await owner.execute(f"CREATE ROLE {role}; GRANT SELECT, INSERT, UPDATE, DELETE ON item TO {role};")
    try:
        await owner.execute(f"CREATE SCHEMA trap AUTHORIZATION {role}")
        await clerk.execute(f"SET SESSION AUTHORIZATION {role}")
        await clerk.execute(
            """
            CREATE FUNCTION trap.never(bigint, bigint) RETURNS bool LANGUAGE sql AS 'SELECT false';
            CREATE FUNCTION trap.never(text, text) RETURNS bool LANGUAGE sql AS 'SELECT false';
            CREATE FUNCTION trap.never(integer, integer) RETURNS bool LANGUAGE sql AS 'SELECT false';
            """
        )
        for kind in ("bigint", "text", "integer"):
            for sign in ("=", "<>", "<", ">"):
                await clerk.execute(
                    f"CREATE OPERATOR trap.{sign} (LEFTARG = {kind}, RIGHTARG = {kind}, FUNCTION = trap.never)"
                )
        await clerk.execute("CREATE TABLE trap.item_version (id int); CREATE TABLE trap.transaction (id int)")
        await clerk.execute("SET search_path = trap, pg_catalog")
        await clerk.execute("INSERT INTO public.item VALUES (1, 'a', 0), (2, 'b', 0)")
        await clerk.execute("UPDATE public.item SET name = 'c'")
        async with clerk.transaction():
            await clerk.execute("UPDATE public.item SET name = 'd', count = 1")
            await clerk.execute("UPDATE public.item SET name = 'c', count = 0")
        await clerk.execute("DELETE FROM public.item")
        with pytest.raises(Exception, match="permission denied"):
            await clerk.execute("DELETE FROM public.item_version")
        with pytest.raises(Exception, match="permission denied"):
            await clerk.execute("SELECT public.transaction_overtaken(1)")
        await clerk.execute("CREATE TABLE trap.mine (id int, name text, count int)")
        with pytest.raises(Exception, match="permission denied"):
            await clerk.execute(
                "CREATE TRIGGER forged AFTER DELETE ON trap.mine REFERENCING OLD TABLE AS old_rows"
                " FOR EACH STATEMENT EXECUTE FUNCTION public.item_version_on_delete()"
            )
    finally:
        await clerk.close()
        await owner.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
        await owner.close()

    assert await told(sessions, Item, 1, "name") == [(INS, "a"), (UPD, "c"), (DEL, "c")]
    assert await told(sessions, Item, 2, "name") == [(INS, "b"), (UPD, "c"), (DEL, "c")]


async def test_a_history_that_only_grows(sessions: Sessions, engine: AsyncEngine) -> None:
    """Closing, settling, giving way and rolling back are recording; anything else is refused, its owner included."""
    connection, younger = await raw(engine), await raw(engine)
    await connection.execute("INSERT INTO ledger VALUES (1, 10), (2, 20)")
    async with connection.transaction():
        await connection.execute("UPDATE ledger SET amount = 11 WHERE id = 1")
        await younger.execute("UPDATE ledger SET amount = 21 WHERE id = 2")
        await connection.execute("UPDATE ledger SET amount = 22 WHERE id = 2")
    async with connection.transaction():
        await connection.execute("UPDATE ledger SET amount = 12 WHERE id = 1")
        await connection.execute("SAVEPOINT s; UPDATE ledger SET amount = 13; ROLLBACK TO s")
        await connection.execute("UPDATE ledger SET amount = 11 WHERE id = 1")
        await connection.execute("INSERT INTO ledger VALUES (3, 30)")
        await connection.execute("DELETE FROM ledger WHERE id = 3")
    for statement in (
        "DELETE FROM ledger_version",
        "UPDATE ledger_version SET amount = 0",
        "UPDATE ledger_version SET end_transaction_id = NULL WHERE end_transaction_id IS NOT NULL",
        "UPDATE ledger_version SET end_transaction_id = 1, amount = 0 WHERE end_transaction_id IS NULL",
        "TRUNCATE ledger_version",
    ):
        with pytest.raises(Exception, match="the history of ledger is append-only"):
            await connection.execute(statement)
    with pytest.raises(Exception, match="cannot be switched off"):
        async with connection.transaction():
            await connection.execute("SELECT set_config('async_continuum.disabled', '*', true)")
            await connection.execute("DELETE FROM ledger")
    await connection.close()
    await younger.close()

    assert await told(sessions, Ledger, 1, "amount") == [(INS, 10), (UPD, 11)]
    assert await told(sessions, Ledger, 2, "amount") == [(INS, 20), (UPD, 21), (UPD, 22)]
    assert await told(sessions, Ledger, 3) == []


async def test_everything_is_truncated_at_once(sessions: Sessions, engine: AsyncEngine) -> None:
    connection = await raw(engine)
    await connection.execute("INSERT INTO item VALUES (1, 'a', 0)")
    await connection.execute("TRUNCATE item, item_version, item_tag, item_tag_version, transaction")
    assert await connection.fetchval("SELECT count(*) FROM transaction") == 0
    await connection.close()


async def test_a_write_whose_history_cannot_be_written_fails(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add(Item(id=1, name="a"))
        await session.commit()
        await session.execute(text("ALTER TABLE item_version ADD CHECK (name <> 'b')"))
        await session.commit()
        with pytest.raises(DBAPIError, match="item_version_name_check"):
            await session.execute(text("UPDATE item SET name = 'b'"))
        await session.rollback()

    assert await told(sessions, Item, 1, "name") == [(INS, "a")]


@pytest.mark.parametrize("named", [0, 1, 1_000_000], ids=["an earlier one", "one without a row", "one far ahead"])
async def test_a_history_that_only_grows_takes_no_versions_in_the_name_of_another_transaction(
    sessions: Sessions, engine: AsyncEngine, named: int
) -> None:
    forger = await raw(engine)
    await forger.execute("INSERT INTO ledger VALUES (1, 10)")
    earlier = await forger.fetchval("SELECT transaction_id FROM ledger_version")
    for write in ("INSERT INTO ledger VALUES (2, 20)", "UPDATE ledger SET amount = 99", "DELETE FROM ledger"):
        with pytest.raises(InsufficientPrivilegeError, match=f"append-only, and transaction {earlier + named} is not"):
            async with forger.transaction():
                assert await forger.fetchval(FORGED, earlier + named)
                await forger.execute(write)
    async with forger.transaction():
        await forger.execute("UPDATE ledger SET amount = 11")
        async with forger.transaction():
            await forger.execute("INSERT INTO ledger VALUES (2, 20)")
        with suppress(ZeroDivisionError):
            async with forger.transaction():
                await forger.execute("INSERT INTO ledger VALUES (3, 30)")
                raise ZeroDivisionError
        await forger.execute("UPDATE ledger SET amount = amount + 1")
    await forger.close()
    assert await told(sessions, Ledger, 1, "amount") == [(INS, 10), (UPD, 12)]
    assert await told(sessions, Ledger, 2, "amount") == [(INS, 21)]


async def test_a_history_that_only_grows_knows_a_transaction_that_has_run_for_long(
    sessions: Sessions, engine: AsyncEngine
) -> None:
    slow, busy = await raw(engine), await raw(engine)
    async with slow.transaction():
        await slow.fetchval("SELECT pg_current_xact_id()")
        # Each of its turns takes the id of a transaction.
        await busy.execute(
            """
            CREATE TEMP TABLE turn (number int);
            DO $$
            BEGIN
                FOR number IN 1..120000 LOOP
                    BEGIN
                        INSERT INTO turn VALUES (number);
                    EXCEPTION WHEN division_by_zero THEN
                        RAISE;
                    END;
                END LOOP;
            END $$
            """
        )
        async with slow.transaction():
            await slow.execute("INSERT INTO ledger VALUES (1, 10)")
        await slow.execute("UPDATE ledger SET amount = 11")
    await slow.close()
    await busy.close()
    assert await told(sessions, Ledger, 1, "amount") == [(INS, 11)]


NAME = "concat('async_continuum.transaction_', substr(md5('public.transaction'), 1, 8))"
FORGED = f"SELECT set_config({NAME}, concat($1::bigint, ':', pg_current_xact_id(), ':'), true)"


@pytest.mark.parametrize("write", ["UPDATE ledger SET amount = 99", "DELETE FROM ledger"])
async def test_a_history_that_only_grows_is_not_rewritten_in_the_name_of_an_earlier_transaction(
    sessions: Sessions, engine: AsyncEngine, write: str
) -> None:
    forger = await raw(engine)
    await forger.execute("INSERT INTO ledger VALUES (1, 10)")
    earlier = await forger.fetchval("SELECT transaction_id FROM ledger_version")
    for younger in (False, True):
        if younger:
            await forger.execute("UPDATE ledger SET amount = 11")
        with pytest.raises(Exception, match="the history of ledger is append-only"):
            async with forger.transaction():
                assert await forger.fetchval(FORGED, earlier)
                await forger.execute(write)
    await forger.close()
    assert await told(sessions, Ledger, 1, "amount") == [(INS, 10), (UPD, 11)]

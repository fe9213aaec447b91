"""Whatever was done behind the library's back is found, row by row and link by link, and can be recorded afterwards."""

import asyncio
import random
from typing import Any

import pytest
from sqlalchemy import delete, insert, text, update
from sqlalchemy.orm import DeclarativeBase

import async_continuum as ac
from async_continuum import Discrepancy, VersioningManager, backfill, verify, versioning_disabled
from tests.statements import shop
from tests.statements.shop import Part, Product, Shelf, Tag, differences, everything, fill, newest, tagged

MODELS = (Product, Tag, Part, Shelf)


@pytest.fixture
def base() -> type[DeclarativeBase]:
    """What `sessions` creates."""
    return shop.Base


@pytest.fixture
def manager() -> VersioningManager:
    """What the invariants are proved of."""
    return shop.manager


async def write_past(session: Any) -> set[Discrepancy]:
    """Change rows and links of every table without a word, and say what `verify` must report."""
    with versioning_disabled():
        await session.execute(update(Product).where(Product.id == 1).values(price=500, state="old"))
        await session.execute(update(Part).where(Part.id == 2).values(size=9))
        await session.execute(delete(Part).where(Part.id == 1))
        await session.execute(delete(tagged).where(tagged.c.product_id == 2, tagged.c.tag_id == 1))
        await session.execute(insert(tagged).values(product_id=6, tag_id=2))
        await session.execute(insert(Shelf), [{"hall": "new", "number": n} for n in range(5)])
        await session.execute(update(Shelf).where(Shelf.hall == "a").values(number=7))
    await session.execute(text("UPDATE product_version SET end_transaction_id = 1 WHERE id = 5"))
    await session.commit()
    return {
        Discrepancy(Product, (1,), "changed", ("price", "doubled", "status")),
        Discrepancy(Product, (5,), "broken"),
        Discrepancy(Part, (2,), "changed", ("size",)),
        Discrepancy(Part, (1,), "orphaned"),
        Discrepancy(tagged, (2, 1), "orphaned"),
        Discrepancy(tagged, (6, 2), "missing"),
        *(Discrepancy(Shelf, (n, "new"), "missing") for n in range(5)),
        Discrepancy(Shelf, (1, "a"), "orphaned"),
        Discrepancy(Shelf, (7, "a"), "missing"),
    }


@pytest.mark.parametrize("batch", [2, 1000])
@pytest.mark.parametrize("commit", [False, True])
async def test_what_was_written_past_history_is_found_and_recorded(session, batch, commit):
    await fill(session)
    before, after = await everything(session), await newest(session)
    expected = await write_past(session)
    assert set(await verify(session, *MODELS)) == expected
    told: list[Any] = []
    made = await backfill(
        session, *MODELS, batch=batch, repair=True, commit=commit, progress=lambda *each: told.append(each)
    )
    # A chain that broke is mended, and no version.
    assert made == len(expected) - 1
    await session.commit()
    assert await differences(session, before, after) == []
    assert told[-1][1] == told[-1][2]
    assert {name for name, _, _ in told} == {"product", "tag", "part", "shelf", "product_tag"}
    assert await backfill(session, *MODELS, batch=batch, repair=True) == 0
    await session.commit()


async def test_without_repair_only_what_is_missing_is_recorded(session):
    await fill(session)
    expected = await write_past(session)
    missing = {each for each in expected if each.kind == "missing"}
    assert await backfill(session, *MODELS) == len(missing)
    await session.commit()
    assert set(await verify(session, *MODELS)) == expected - missing
    await backfill(session, *MODELS, repair=True)
    await session.commit()


async def test_an_interrupted_backfill_goes_on_where_it_was(session):
    with versioning_disabled():
        await session.execute(insert(Tag), [{"id": n} for n in range(1, 24)])
        await session.commit()

    def interrupt(_: str, done: int, total: int) -> None:
        assert total == 23
        if done == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await backfill(session, Tag, batch=5, commit=True, progress=interrupt)
    await session.rollback()
    assert len(await verify(session, Tag)) == 13
    assert await backfill(session, Tag, batch=5, commit=True) == 13
    assert await verify(session, Tag) == []


async def test_relations_of_the_past_hold_from_a_backfill_on(session):
    with versioning_disabled():
        await fill(session)
    await backfill(session, *MODELS)
    await session.commit()
    moment = await newest(session)
    product = await session.get_one(Product, 2)
    (await product.awaitable_attrs.tags).clear()
    await session.commit()
    version: Any = await ac.versions_of(session, Product, 2).at(moment)
    assert [tag.id for tag in await version.awaitable_attrs.tags] == [1, 2]


async def test_writers_and_a_backfill_do_not_harm_each_other(sessions, backend):
    if backend != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    async with sessions() as session:
        with versioning_disabled():
            await session.execute(insert(Tag), [{"id": n} for n in range(1, 61)])
            await session.commit()

    async def write(seed: int) -> None:
        dice = random.Random(seed)
        for turn in range(12):
            async with sessions() as session:
                number = dice.randint(1, 60)
                if turn % 3 == 0:
                    await session.execute(update(Tag).where(Tag.id == number).values(name=f"{seed} {turn}"))
                elif turn % 3 == 1:
                    tag = await session.get(Tag, number)
                    if tag is not None:
                        tag.name = f"{seed} {turn}"
                else:
                    await session.execute(delete(Tag).where(Tag.id == number + 40))
                await session.commit()

    async def fill_all() -> None:
        async with sessions() as session:
            await backfill(session, Tag, batch=7, commit=True)
            await session.commit()

    await asyncio.gather(write(1), fill_all(), write(2), write(3))
    async with sessions() as session:
        assert await verify(session, Tag) == []


async def test_a_backfill_that_was_overtaken_comes_after_what_overtook_it(sessions, backend):
    if backend != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    async with sessions() as filling, sessions() as other:
        other.add_all([Tag(id=1), Tag(id=2)])
        await other.commit()
        filling.add(Shelf(hall="a", number=1))
        await filling.flush()
        await other.delete(await other.get_one(Tag, 1))
        await other.commit()
        with versioning_disabled():
            await other.execute(insert(Tag), [{"id": 1}, {"id": 3}])
            await other.commit()
        assert await backfill(filling, Tag) == 2
        await filling.commit()
        versions = await ac.versions_of(filling, Tag, 1)
        assert [version.operation_type for version in versions] == [0, 2, 0]
        assert await verify(filling, Tag, Shelf) == []


@pytest.mark.not_on("mariadb", "its keys go in chunks")
async def test_a_backfill_costs_as_many_statements_for_many_rows_as_for_few(session, statements):
    costs = []
    # Where history knows nothing of a range, SQLite asks less.
    session.add(Tag(id=0))
    await session.commit()
    for numbers in (range(1, 11), range(11, 3011)):
        with versioning_disabled():
            await session.execute(insert(Tag), [{"id": n} for n in numbers])
        sent = len(statements)
        assert await backfill(session, Tag) == len(numbers)
        costs.append(len(statements) - sent)
        assert max(len(str(given)) for given in statements.parameters[sent:]) < 200, "no keys travel"
        await session.commit()
    assert costs[0] == costs[1]
    sent = len(statements)
    assert await backfill(session, Tag) == 0
    assert statements.starting("INSERT", "UPDATE", "DELETE") == [
        text for text in statements[:sent] if text.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE"))
    ], "nothing is written where nothing is lacking"
    await session.commit()


async def test_a_batch_takes_at_least_one_row(session):
    with pytest.raises(ValueError, match="batch=0"):
        await backfill(session, Tag, batch=0)

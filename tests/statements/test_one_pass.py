"""One statement over many rows: they are versioned in one pass, those that are not as expected as well."""

import tracemalloc

import pytest
from sqlalchemy import func, literal, select, text, update

import async_continuum as ac
from async_continuum import Operation, verify
from tests.statements.shop import Product, Tag, fill, newest

Version, TagVersion = ac.version_class(Product), ac.version_class(Tag)
ROWS = 100_000


@pytest.mark.sessions_record("triggers are no statements of the session")
async def test_rows_that_a_statement_leaves_as_they_are_cost_no_second_pass(session, statements):
    await fill(session)
    after, sent = await newest(session), len(statements)
    await session.execute(update(Product).where(Product.price > 0).values(price=3))
    # Others have no data-modifying CTE, and ask for all of them each time.
    assert session.bind.dialect.name != "postgresql" or len(statements) - sent == 2
    await session.commit()
    changed = await session.scalars(select(Version.id).where(Version.transaction_id > after))
    assert sorted(changed) == [1, 2, 4, 5, 6]
    assert await verify(session, Product) == []


@pytest.mark.sessions_record("a trigger has recorded what text() has changed")
async def test_rows_older_than_their_history_are_taken_along(session):
    await fill(session)
    await session.execute(text("DELETE FROM product_version WHERE id IN (2, 3)"))
    await session.execute(text("UPDATE product SET price = 77 WHERE id = 4"))
    await session.commit()
    after = await newest(session)
    await session.execute(update(Product).where(Product.price > 1).values(price=77))
    await session.commit()
    made = await session.execute(
        select(Version.id, Version.operation_type).where(Version.transaction_id > after).order_by(Version.id)
    )
    # The fourth was changed behind history's back: the statement changes nothing, and what differs is recorded.
    assert made.all() == [(number, Operation.UPDATE) for number in (2, 3, 4, 5, 6)]
    assert await verify(session, Product) == []


@pytest.mark.not_on("mariadb", "keys are read into Python there, and go back in chunks")
async def test_ten_thousand_rows_cost_what_ten_cost(session, statements):
    numbers = select(literal(1).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < ROWS))
    await session.execute(
        Tag.__table__.insert().from_select(["id", "name"], select(numbers.c.n, literal("a"))),
    )
    await session.commit()

    async def cost(rows: int, name: str) -> tuple[int, int]:
        sent = len(statements)
        tracemalloc.start()
        await session.execute(
            update(Tag).where(Tag.id <= rows).values(name=name), execution_options={"synchronize_session": False}
        )
        await session.commit()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return len(statements) - sent, peak

    await cost(10, "warm")
    few, many = await cost(10, "b"), await cost(ROWS // 10, "c")
    assert many[0] == few[0]
    # What asyncpg counts rows by is an empty record for each; a key of each row in a list of Python would take more.
    assert many[1] - few[1] < (600_000 if session.bind.dialect.name == "postgresql" else 50_000)
    versions = select(func.count()).select_from(TagVersion)
    assert await session.scalar(versions.where(TagVersion.operation_type == Operation.UPDATE)) == 10_010 + 10

"""Execution options of a statement mean what they always mean, and it is recorded."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from sqlalchemy import Update, delete, event, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import with_loader_criteria

from async_continuum import versioning_disabled
from tests.statements.compared import difference_of
from tests.statements.shop import Part, Product, differences, everything, fill, newest

product = Product.__table__
OPTION = "async_continuum"
"""What the library itself writes on a statement."""

STATEMENTS: dict[str, Any] = {
    "update": update(Product).where(Product.price < 3).values(price=Product.price + 10),
    "update by key": update(Product).where(Product.id == 3).values(price=Product.price + 10),
    "update returning": update(Product).where(Product.price < 3).values(price=8).returning(Product),
    "update by primary key": (update(Product), [{"id": 1, "price": 5}, {"id": 2, "price": 8}]),
    "move keys": update(Product).where(Product.price < 3).values(id=Product.id + 30),
    "delete": delete(Product).where(Product.price > 4),
    "delete by key": delete(Product).where(Product.id == 3),
    "insert": insert(Product).values(name="new"),
    "insert many": (insert(Product), [{"name": "a"}, {"name": "b"}]),
    "insert many returning": (insert(Product).returning(Product), [{"name": "a"}, {"name": "b"}]),
    "insert from a query": insert(Product).from_select(["name"], select(Product.name + "!")),
    "core update": update(product).where(product.c.price < 3).values(price=8),
    "core delete": delete(product).where(product.c.price < 3),
    "core insert": insert(product).values(name="new"),
}


def statements_of(backend: str) -> dict[str, Any]:
    """Give the statements that a database knows: MariaDB has no RETURNING of an UPDATE."""
    return {name: each for name, each in STATEMENTS.items() if (backend, name) != ("mariadb", "update returning")}


OPTIONS: dict[str, dict[str, Any]] = {
    "one of the user's own": {"tenant": 7},
    "populate_existing": {"populate_existing": True},
    "autoflush": {"autoflush": False},
    "preserve_rowcount": {"preserve_rowcount": True},
    "pages of many values": {"insertmanyvalues_page_size": 1},
    "strategy": {"dml_strategy": "auto"},
    "not synchronized": {"synchronize_session": False},
}


def _apart(given: Any) -> tuple[Any, Any]:
    return given if isinstance(given, tuple) else (given, None)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
async def test_a_statement_with_options_is_recorded(session, backend, options):
    await fill(session)
    before, after = await everything(session), await newest(session)
    wrong = {}
    for name, given in statements_of(backend).items():
        statement, parameters = _apart(given)
        statement = statement.execution_options(**options)
        if problem := await difference_of(session, before, after, statement, parameters, idle=False):
            wrong[name] = problem
    assert wrong == {}


@pytest.mark.parametrize("first", ["the engine itself", "with options"])
async def test_an_engine_with_options_stands_beside_the_one_it_was_made_from(session, engine, backend, first):
    await fill(session)
    before, after = await everything(session), await newest(session)
    await session.rollback()
    beside = engine.execution_options(logging_token="beside").execution_options(tenant=7)
    wrong = {}
    for bind in (engine, beside) if first == "the engine itself" else (beside, engine):
        async with AsyncSession(bind) as other:
            for name, given in statements_of(backend).items():
                if problem := await difference_of(other, before, after, *_apart(given), idle=False):
                    wrong[name] = problem
    assert wrong == {}


@contextmanager
def _seeing(engine: AsyncEngine) -> Iterator[list[Any]]:
    """Collect the options of the statements on products, as listeners to the engine see them."""
    seen: list[Any] = []

    def look(connection: Any, cursor: Any, text: str, parameters: Any, context: Any, many: bool) -> None:
        table = None if context is None else getattr(context.invoked_statement, "table", None)
        if table is not None and table.name == "product":
            given, kept = context.execution_options, context.invoked_statement.get_execution_options()
            seen.append([{n: v for n, v in each.items() if n[0] != "_" and n != OPTION} for each in (given, kept)])

    event.listen(engine.sync_engine, "before_cursor_execute", look)
    try:
        yield seen
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", look)


@pytest.mark.parametrize("given_to", ["statement", "execution", "connection"])
async def test_options_reach_whoever_looks_for_them(session, engine, backend, given_to):
    await fill(session)
    options = {"tenant": 7}
    for each in statements_of(backend).values():
        statement, parameters = _apart(each)
        if given_to == "statement":
            statement = statement.execution_options(**options)
        known, seen = dict(statement.get_execution_options()), []
        for recording in (nullcontext(), versioning_disabled()):
            if given_to == "connection":
                await session.connection(execution_options=options)
            with recording, _seeing(engine) as seen_now:
                await session.execute(
                    statement, parameters, execution_options=options if given_to == "execution" else {}
                )
            seen.append(seen_now)
            await session.rollback()
        assert dict(statement.get_execution_options()) == known, "the statement is the user's"
        assert seen[0] == seen[1] != []
        assert given_to != "statement" or all(each[1]["tenant"] == 7 for each in seen[0])
        # SQLAlchemy itself gives no options of an execution to an update by primary key.
        by_key = given_to == "execution" and isinstance(parameters, list) and isinstance(statement, Update)
        assert by_key or all(each[0]["tenant"] == 7 for each in seen[0])


@pytest.mark.parametrize("cache", [None, {}], ids=["no cache", "a cache"])
async def test_a_connection_with_a_cache_of_its_own_hides_no_statement_in_a_flush(session, cache):
    await fill(session)
    before, after = await everything(session), await newest(session)

    def stamp(mapper: Any, connection: Any, target: Product) -> None:
        connection.execute(update(Part.__table__).values(size=target.price))

    event.listen(Product, "after_update", stamp)
    await session.rollback()
    try:
        await session.connection(execution_options={"compiled_cache": cache})
        (await session.get_one(Product, 1)).price = 40
        await session.commit()
    finally:
        event.remove(Product, "after_update", stamp)
    assert await differences(session, before, after) == []


@pytest.mark.parametrize(
    "statement",
    [update(Product).values(price=99), update(Product).values(id=Product.id + 50), delete(Product)],
    ids=["update", "move keys", "delete"],
)
@pytest.mark.parametrize("by", ["an option", "an event"])
async def test_criteria_that_are_added_to_a_statement_hold_for_its_history(session, statement, by):
    await fill(session)
    before, after = await everything(session), await newest(session)
    criteria = with_loader_criteria(Product, Product.price > 4)

    def add(state: Any) -> None:
        state.statement = state.statement.options(criteria)

    if by == "an event":
        event.listen(session.sync_session, "do_orm_execute", add)
    result = await session.execute(
        statement if by == "an event" else statement.options(criteria), execution_options={"synchronize_session": False}
    )
    if by == "an event":
        event.remove(session.sync_session, "do_orm_execute", add)
    assert result.rowcount == 2
    await session.commit()
    assert await differences(session, before, after) == []
    assert len((await everything(session))[product]) == (4 if statement.is_delete else 6)

"""Objects of a session follow its statements as they do without history, which is the same for each way to follow."""

from contextlib import nullcontext
from typing import Any

import pytest
from sqlalchemy import __version__, delete, func, inspect, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession

from async_continuum import versioning_disabled
from tests.kit.history import told
from tests.statements.shop import Product, fill


async def _loaded(session: AsyncSession) -> dict[int, Product]:
    return {each.id: each for each in await session.scalars(select(Product))}


def _known(products: dict[int, Product], name: str) -> dict[int, Any]:
    """Give what the objects hold in Python now, without a query; of what is expired, "expired"."""
    return {key: inspect(each).dict.get(name, "expired") for key, each in products.items()}


async def _both_ways(session: AsyncSession, statement: Any, options: Any) -> tuple[Any, dict[int, Product]]:
    """Execute it without history and with it, and prove that it left the objects of the session alike."""
    seen: list[Any] = []
    for recording in (versioning_disabled(), nullcontext()):
        await session.rollback()
        session.expunge_all()
        products = await _loaded(session)
        with recording:
            result = await session.execute(statement, execution_options=options)
            rows = len(result.all()) if getattr(result, "returns_rows", True) else None
        state = {key: dict(inspect(each).dict) for key, each in products.items()}
        for each in state.values():
            each.pop("_sa_instance_state")
        present = {key: (each in session, inspect(each).deleted) for key, each in products.items()}
        seen.append((state, present, rows))
    assert seen[0] == seen[1]
    return seen[1], products


SYNCHRONIZE = ["auto", "fetch", "evaluate", False]


def _synchronized(statement: Any, value: Any, given_to: str) -> tuple[Any, dict[str, Any]]:
    options = {"synchronize_session": value}
    return (statement.execution_options(**options), {}) if given_to == "statement" else (statement, options)


@pytest.mark.parametrize("given_to", ["statement", "execution"])
@pytest.mark.parametrize("value", SYNCHRONIZE)
async def test_objects_follow_an_update_and_history_too(sessions, session, value, given_to):
    await fill(session)
    statement = update(Product).where(Product.price < 3).values(price=Product.price * 10, state="sold")
    _, products = await _both_ways(session, *_synchronized(statement, value, given_to))
    followed = value is not False
    assert _known(products, "price") == {n: n * 10 if followed and n < 3 else n for n in range(1, 7)}
    assert _known(products, "state") == {n: "sold" if followed and n < 3 else "new" for n in range(1, 7)}
    await session.commit()
    for number in range(1, 7):
        changed = [("UPDATE", number * 10, number * 20, "sold")] if number < 3 else []
        history = await told(sessions, Product, number, "price", "doubled", "state")
        assert history == [("INSERT", number, number * 2, "new"), *changed]


@pytest.mark.parametrize("given_to", ["statement", "execution"])
@pytest.mark.parametrize("value", SYNCHRONIZE)
async def test_objects_follow_a_delete_and_history_too(sessions, session, value, given_to):
    await fill(session)
    statement = delete(Product).where(Product.price > 4)
    (_, present, _), _ = await _both_ways(session, *_synchronized(statement, value, given_to))
    gone = {5, 6} if value is not False else set()
    assert {key for key, (here, _) in present.items() if not here} == gone
    assert {key for key, (_, deleted) in present.items() if deleted} == gone
    await session.commit()
    for number in range(1, 7):
        history = await told(sessions, Product, number, "price", "state")
        deleted = [("DELETE", number, "new")] if number > 4 else []
        assert history == [("INSERT", number, "new"), *deleted]


@pytest.mark.parametrize("changing", [update(Product).values(price=99), delete(Product)], ids=["update", "delete"])
@pytest.mark.parametrize("value", SYNCHRONIZE)
async def test_a_condition_that_python_cannot_evaluate_is_fetched_or_refused_as_ever(
    sessions, session, value, changing
):
    await fill(session)
    statement = changing.where(func.length(Product.name) + Product.id > 6)
    if value == "evaluate":
        with pytest.raises(InvalidRequestError, match="evaluate"):
            await session.execute(statement, execution_options={"synchronize_session": value})
        await session.commit()
        assert {len(await told(sessions, Product, number)) for number in range(1, 7)} == {1}
        return
    (_, present, _), products = await _both_ways(session, statement, {"synchronize_session": value})
    if changing.is_delete:
        assert {key for key, (here, _) in present.items() if not here} == ({5, 6} if value else set())
    else:
        assert _known(products, "price") == {n: 99 if value and n > 4 else n for n in range(1, 7)}
    await session.commit()
    last = ("DELETE" if changing.is_delete else "UPDATE",)
    assert [await told(sessions, Product, n) for n in range(4, 7)] == [[("INSERT",)], *[[("INSERT",), last]] * 2]


@pytest.mark.parametrize("value", SYNCHRONIZE)
async def test_what_an_object_has_pending_goes_first(sessions, session, value):
    await fill(session)
    for product_ in (await _loaded(session)).values():
        product_.price = 50 + product_.id
    statement = update(Product).where(Product.price > 55).values(price=Product.price + 100)
    await session.execute(statement, execution_options={"synchronize_session": value})
    await session.execute(delete(Product).where(Product.price == 53), execution_options={"synchronize_session": value})
    await session.commit()
    history = {n: (await told(sessions, Product, n, "price"))[1:] for n in (1, 3, 6)}
    assert history == {1: [("UPDATE", 51)], 3: [("DELETE", 53)], 6: [("UPDATE", 156)]}


@pytest.mark.not_on("mariadb", "it has no RETURNING of an UPDATE")
@pytest.mark.parametrize("existing", [True, False])
async def test_populate_existing_says_what_returned_objects_become(sessions, session, existing):
    await fill(session)
    statement = update(Product).where(Product.price < 3).values(price=Product.price * 10).returning(Product)
    options = {"synchronize_session": False, "populate_existing": existing}
    _, products = await _both_ways(session, statement, options)
    if existing and __version__.startswith("2.0."):
        # The oldest of them do not look at it; what they do is the same with history and without.
        await session.commit()
        return
    assert _known(products, "price") == {n: n * 10 if existing and n < 3 else n for n in range(1, 7)}
    await session.commit()
    assert await told(sessions, Product, 2, "price") == [("INSERT", 2), ("UPDATE", 20)]


@pytest.mark.not_on("mariadb", "it has upserts of its own kind")
async def test_an_upsert_returns_existing_objects_with_their_new_state(sessions, session, backend):
    await fill(session)
    statement = {"sqlite": sqlite, "postgresql": postgresql}[backend].insert(Product)
    statement = statement.values([{"name": "p1", "price": 50}, {"name": "p9", "price": 70}])
    statement = statement.on_conflict_do_update(index_elements=["name"], set_={"price": statement.excluded.price})
    first = await session.get_one(Product, 1)
    returned = await session.scalars(statement.returning(Product), execution_options={"populate_existing": True})
    assert sorted(each.price for each in returned) == [50, 70]
    assert inspect(first).dict["price"] == 50
    await session.commit()
    assert await told(sessions, Product, 1, "price") == [("INSERT", 1), ("UPDATE", 50)]

"""Statements, objects, links and savepoints of one transaction on the same rows leave one story."""

import asyncio
from functools import partial
from typing import Any

import pytest
from sqlalchemy import bindparam, delete, event, exists, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError, OperationalError, SAWarning
from sqlalchemy.orm import Session

import async_continuum as ac
from async_continuum import UnrecordedStatement, versioning_context, versioning_disabled
from tests.statements.shop import (
    Device,
    Note,
    Part,
    Product,
    Shelf,
    Tag,
    differences,
    everything,
    fill,
    newest,
    tagged,
)

Version = ac.version_class(Product)


async def assert_told(session: Any, before: Any, after: int, *, changed: bool = True) -> None:
    """Commit, and compare history with what is stored."""
    await session.commit()
    assert await differences(session, before, after) == []
    made = await session.scalar(select(func.count()).where(ac.transaction_class(Product).id > after))
    assert made == changed
    await session.rollback()


async def test_statements_and_objects_add_up(session):
    await fill(session)
    before, after = await everything(session), await newest(session)
    first = await session.get_one(Product, 1)
    first.name = "by an object"
    await session.execute(update(Product).where(Product.id < 4).values(price=Product.price + 1))
    await session.execute(insert(Product).values(id=50, name="by a statement"))
    fiftieth = await session.get_one(Product, 50)
    fiftieth.price = 77
    await session.flush()
    await session.delete(await session.get_one(Product, 2))
    await session.flush()
    await session.execute(insert(Product).values(id=2, name="again", price=3))
    await session.execute(insert(tagged), [{"product_id": 2, "tag_id": 1}, {"product_id": 50, "tag_id": 1}])
    await session.execute(update(Product).where(Product.id == 6).values(price=1000))
    await session.execute(update(Product).where(Product.price == 1000).values(price=6))
    async with session.begin_nested():
        await session.execute(delete(Product).where(Product.id == 50))
        await session.execute(update(Part).values(size=Part.size + 1))
    savepoint = await session.begin_nested()
    await session.execute(delete(Product))
    await session.execute(update(Shelf).values(hall="nowhere" + Shelf.hall))
    await savepoint.rollback()
    await session.execute(update(Product).where(Product.id == 6).values(id=66))
    (await session.get_one(Product, 66, populate_existing=True)).price = 5
    await assert_told(session, before, after)


@pytest.mark.parametrize("how", ["object", "statement"])
async def test_what_ends_where_it_began_is_no_change(session, how):
    await fill(session)
    before, after = await everything(session), await newest(session)
    await session.execute(insert(Product).values(id=60, name="short"))
    await session.execute(delete(Product).where(Product.name == "short"))
    await session.execute(update(Product).values(price=Product.price + 1))
    if how == "statement":
        await session.execute(update(Product).values(price=Product.price - 1))
    else:
        for product in await session.scalars(select(Product).execution_options(populate_existing=True)):
            product.price -= 1
    await session.execute(delete(Shelf).where(Shelf.hall == "a"))
    await session.execute(insert(Shelf).values(hall="a", number=1, content="x"))
    await session.execute(update(Shelf).values(number=Shelf.number + 5))
    await session.execute(update(Shelf).values(number=Shelf.number - 5))
    await assert_told(session, before, after, changed=False)


@pytest.mark.parametrize("synchronize", ["auto", "evaluate", "fetch", False])
async def test_objects_follow_a_statement_as_ever(session, synchronize):
    await fill(session)
    before, after = await everything(session), await newest(session)
    products = {product.id: product for product in await session.scalars(select(Product))}
    changing = update(Product).where(Product.id < 3).values(price=Product.price * 10)
    await session.execute(changing, execution_options={"synchronize_session": synchronize})
    await session.execute(
        delete(Product).where(Product.price == 4), execution_options={"synchronize_session": synchronize}
    )
    if synchronize is not False:
        assert products[4] not in session
        await session.refresh(products[1])
    await assert_told(session, before, after)


async def test_legacy_bulk_methods_are_recorded(session):
    await fill(session)
    before, after = await everything(session), await newest(session)

    def work(sync: Session) -> None:
        sync.bulk_insert_mappings(Product, [{"name": "a"}, {"name": "b", "price": 7}])
        sync.bulk_update_mappings(Product, [{"id": 1, "price": 7}, {"id": 2, "price": 2}])
        sync.bulk_save_objects([Product(name="c"), Device(), Shelf(hall="q", number=4)])
        sync.bulk_save_objects([Product(name="d"), Product(name="e")], return_defaults=True)
        sync.query(Product).filter(Product.id == 3).update({"price": 50})
        sync.query(Product).filter(Product.price > 50).delete()

    await session.run_sync(work)
    await assert_told(session, before, after)


async def test_a_statement_sent_within_a_flush_is_recorded(session):
    await fill(session)
    before, after = await everything(session), await newest(session)

    def stamp(mapper: Any, connection: Any, product: Product) -> None:
        connection.execute(update(Part.__table__).values(size=product.price))
        made = exists().where(tagged.c.product_id == product.id, tagged.c.tag_id == Tag.id)
        connection.execute(
            insert(tagged).from_select(["product_id", "tag_id"], select(literal(product.id), Tag.id).where(~made))
        )
        others = update(Product.__table__).where(Product.__table__.c.id != product.id)
        connection.execute(others.values(status="touched"))

    def sweep(sync: Session, *_: object) -> None:
        sync.execute(delete(Shelf).where(Shelf.hall == "b"))

    event.listen(Product, "after_update", stamp)
    event.listen(session.sync_session, "before_flush", sweep)
    try:
        (await session.get_one(Product, 1)).price = 40
        await session.flush()
        (await session.get_one(Product, 4, populate_existing=True)).name = "fourth"
        await session.execute(delete(tagged).where(tagged.c.product_id == 5))
        (await session.get_one(Product, 1)).price = 41
        await session.flush()
    finally:
        event.remove(Product, "after_update", stamp)
        event.remove(session.sync_session, "before_flush", sweep)
    await assert_told(session, before, after)


async def test_who_and_why_sign_statements_too(session):
    await fill(session)
    transaction = await ac.current_transaction(session, model=Product)
    with versioning_context(remote_addr="10.0.0.7"):
        await session.execute(update(Product).where(Product.id == 1).values(price=9))
    await session.commit()
    await session.refresh(transaction)
    assert transaction.remote_addr == "10.0.0.7"
    assert await transaction.entity_names() == ["Product"]


@pytest.mark.unaccounted
async def test_nothing_is_recorded_while_it_is_switched_off(session):
    await fill(session)
    after = await newest(session)
    with versioning_disabled():
        await session.execute(update(Product).values(price=9))
        await session.execute(insert(tagged).values(product_id=1, tag_id=2))
    with versioning_disabled(Part):
        await session.execute(update(Part).values(size=9))
    await session.commit()
    assert await newest(session) == after


async def test_a_statement_that_fails_leaves_nothing_waiting(session):
    await fill(session)
    before, after = await everything(session), await newest(session)
    for failing in (
        update(Product).values(name="the same"),
        insert(Product).from_select(["name"], select(Product.name)),
        update(Product).values(id=7),
        delete(Tag).where(Tag.id > 0),
    ):
        # MariaDB calls it another kind of error where a cascade would lead to duplicates.
        with pytest.raises((IntegrityError, OperationalError)):
            async with session.begin_nested():
                await session.execute(failing)
    await session.execute(delete(Product).where(Product.price == 5))
    await session.execute(update(Product).where(Product.price < 3).values(price=0))
    await assert_told(session, before, after)


@pytest.mark.not_on("mariadb", "keys are read into Python there, and go back in chunks")
async def test_as_many_statements_for_many_rows_as_for_few(session, statements):
    counts = {}
    for rows in (10, 3000):
        numbers = select(literal(1).label("n")).cte("numbers", recursive=True)
        numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < rows))
        counts[rows] = []
        for statement in (
            insert(Shelf).from_select(["hall", "number"], select(literal(f"{rows}"), numbers.c.n)),
            update(Shelf).values(content="x"),
            update(Shelf).values(content="y").where(Shelf.content == "x"),
            update(Shelf).values(number=Shelf.number + rows),
            delete(Shelf),
        ):
            before = len(statements)
            await session.execute(statement)
            await session.commit()
            counts[rows].append(len(statements) - before)
            assert max(len(str(given)) for given in statements.parameters[before:]) < 200, "no keys travel"
    assert all(count <= 22 for count in counts[10]), counts
    assert counts[10] == counts[3000]


async def test_statements_inside_a_statement_are_recorded(session, backend):
    if backend != "postgresql":
        pytest.skip("no other database takes them")
    await fill(session)
    before, after = await everything(session), await newest(session)
    gone = delete(Product).where(Product.price > bindparam("above")).returning(Product.name).cte("gone")
    await session.execute(insert(Note.__table__).from_select(["body"], select(gone.c.name)), {"above": 4})
    changed = update(Part).values(size=8).where(Part.id < 3).returning(Part.id).cte("changed")
    assert await session.scalar(select(func.count()).select_from(changed)) == 2
    made = insert(Shelf.__table__).values(hall="made", number=1).returning(Shelf.__table__.c.hall).cte("made")
    await session.execute(select(Product).add_cte(made))
    named = insert(Shelf.__table__).values(hall=bindparam("hall"), number=2).cte("named")
    await session.execute(select(Product).add_cte(named), {"hall": "named"})
    await assert_told(session, before, after)


@pytest.mark.sessions_record("triggers record every statement")
@pytest.mark.unaccounted
@pytest.mark.parametrize(
    "make",
    [
        lambda gone: delete(Product).where(Product.id.in_(select(gone.c.product_id))),
        lambda gone: update(Product).where(Product.id == gone.c.product_id).values(price=7),
        lambda gone: update(Product).values(price=select(func.max(gone.c.product_id)).scalar_subquery()),
        lambda gone: delete(Product).where(Product.id == gone.alias().c.product_id),
    ],
    ids=["in a subquery", "of another table", "in a value", "renamed"],
)
async def test_what_is_seen_and_cannot_be_recorded_is_told(session, backend, monkeypatch, make):
    if backend != "postgresql":
        pytest.skip("SQLite has no statement that cannot be recorded")
    await fill(session)
    gone = delete(Part).returning(Part.product_id).cte("gone")
    statement = make(gone)
    with pytest.warns(SAWarning, match="cannot be recorded"):
        await session.execute(statement)
    await session.rollback()
    for wanted in ("ignore", "raise"):
        monkeypatch.setattr("async_continuum.manager.pending.blueprint_of", partial(_Set, wanted))
        if wanted == "ignore":
            await session.execute(statement)
        else:
            with pytest.raises(UnrecordedStatement) as caught:
                await session.execute(statement)
            assert caught.value.statement is not None
        await session.rollback()


class _Set:
    """A blueprint with one setting."""

    def __init__(self, unrecorded: str, _: type) -> None:
        self.settings = self
        self.unrecorded = unrecorded


async def test_writers_of_the_same_rows_leave_one_order(sessions, backend):
    if backend != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    async with sessions() as session:
        await fill(session)

    async def write(number: int) -> None:
        async with sessions() as session:
            for _ in range(4):
                await session.execute(update(Product).where(Product.name == "p3").values(price=Product.price + 1))
                await session.execute(update(Product).where(Product.id == 1).values(state=f"by {number}"))
                await session.commit()

    await asyncio.gather(*(write(number) for number in range(5)))
    async with sessions() as session:
        assert await session.scalar(select(func.count()).where(Version.id == 3)) == 21
        assert await session.scalar(select(Product.price).where(Product.id == 3)) == 23


async def test_workers_take_different_jobs_and_deleters_none_twice(sessions, backend):
    if backend != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    async with sessions() as session:
        await fill(session)
    free = (
        select(Product.id).where(Product.state == "new").order_by(Product.id).limit(1).with_for_update(skip_locked=True)
    )

    async def take(n: int) -> Any:
        async with sessions() as session:
            taking = update(Product).where(Product.id.in_(free.scalar_subquery())).values(state="taken")
            taken = (await session.execute(taking.returning(Product.id))).scalars().all()
            await asyncio.sleep(0.05)
            await session.commit()
            deleted = await session.execute(delete(Product).where(Product.id.in_(taken), Product.state == "taken"))
            assert deleted.rowcount == 1
            await session.commit()
            return taken

    taken = await asyncio.gather(*(take(n) for n in range(4)))
    assert sorted(taken) == [[1], [2], [3], [4]]


@pytest.mark.sessions_record("triggers record every statement")
@pytest.mark.unaccounted
async def test_a_statement_inside_one_for_several_parameter_sets_is_told(session, backend):
    if backend != "postgresql":
        pytest.skip("no other database takes them")
    await fill(session)
    changed = update(Part).values(size=8).where(Part.id == bindparam("part")).cte("changed")
    statement = insert(Note.__table__).values(body=bindparam("said")).add_cte(changed)
    with pytest.warns(SAWarning, match="cannot be recorded"):
        await session.execute(statement, [{"part": 1, "said": "a"}, {"part": 2, "said": "b"}])

"""An upsert files what it inserts and what it updates apart, also of rows that are older than their history."""

from typing import Any

import pytest
from sqlalchemy import Insert, String, delete, insert, literal, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SAWarning
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, Session, mapped_column

from async_continuum import Versioned, backfill, verify, versioning_disabled
from tests.kit.history import told
from tests.statements import shop
from tests.statements.compared import outcome
from tests.statements.shop import Product, Shelf, Tag, fill, newest, recorded, tagged

product = Product.__table__
HISTORY = shop.manager.coverage.kept(product)[1].columns

pytestmark = [
    pytest.mark.sessions_record("a trigger has recorded what text() has changed"),
    pytest.mark.not_on("mariadb", "it has upserts of its own kind, and tells of no row whether it was inserted"),
]


def _insert(backend: str, target: Any) -> Any:
    return {"sqlite": sqlite, "postgresql": postgresql}[backend].insert(target)


def _replacing(backend: str, rows: Any, target: Any = Product, **more: Any) -> Any:
    statement = _insert(backend, target).values(rows)
    return statement.on_conflict_do_update(index_elements=["name"], set_={"price": statement.excluded.price}, **more)


ROWS = [{"name": name, "price": 50} for name in ("p1", "p4", "p7")]
QUERY = (
    select(Product.name.label("n"), literal(50))
    .where(Product.id.in_([1, 4]))
    .union_all(select(literal("p7"), literal(50)))
)
UPSERTS: dict[str, Any] = {
    "rows": lambda b: _replacing(b, ROWS),
    "rows of a table": lambda b: _replacing(b, ROWS, product),
    "rows, returned": lambda b: _replacing(b, ROWS).returning(Product),
    "rows, some of which are returned": lambda b: _replacing(b, ROWS, where=product.c.price < 100).returning(
        Product.id
    ),
    "many": lambda b: (
        _insert(b, Product).on_conflict_do_update(index_elements=["name"], set_={"price": 50}),
        ROWS,
    ),
    "many, returned": lambda b: (
        _insert(b, Product)
        .on_conflict_do_update(index_elements=["name"], set_={"price": 50})
        .returning(Product.name, Product.price),
        ROWS,
    ),
    "many of a table": lambda b: (
        _insert(b, product).on_conflict_do_update(index_elements=["name"], set_={"price": 50}),
        ROWS,
    ),
    "a query": lambda b: (
        _insert(b, Product)
        .from_select(["name", "price"], QUERY.subquery().select().where(literal(True)))
        .on_conflict_do_update(index_elements=["name"], set_={"price": 50})
    ),
}


async def _forget(session: AsyncSession, *keys: int) -> None:
    """Have these products be older than their history."""
    await session.execute(text(f"DELETE FROM product_version WHERE id IN {keys}"))
    await session.commit()


@pytest.mark.parametrize("name", UPSERTS)
async def test_what_is_older_than_its_history_is_updated(session, backend, name):
    await fill(session)
    await _forget(session, 1, 2)
    after = await newest(session)
    given = UPSERTS[name](backend)
    await outcome(session, *(given if isinstance(given, tuple) else (given,)))
    await session.commit()
    assert await _operations(session, after) == {"p1": "UPDATE", "p4": "UPDATE", "p7": "INSERT"}
    assert await verify(session, Tag) == []
    await session.rollback()


async def _operations(session: AsyncSession, after: int) -> dict[str, str]:
    """Give the operations recorded of products since a transaction, by name."""
    made = await recorded(session, product, after=after)
    return {values[list(HISTORY).index("name")]: operation for operation, values in made.values()}


async def test_an_upsert_leaves_what_objects_leave_of_such_rows(session, backend):
    await fill(session)
    told_of = []
    for how in ("objects", "statement"):
        await _forget(session, 1, 2)
        after = await newest(session)
        if how == "objects":
            for each in await session.scalars(select(Product).where(Product.id.in_([1, 3]))):
                each.price = 60
            session.add(Product(name="by objects", price=60))
        else:
            rows = [{"name": name, "price": 70} for name in ("p1", "p3", "by a statement")]
            await session.execute(_replacing(backend, rows))
        await session.commit()
        told_of.append(sorted((await _operations(session, after)).values()))
    assert told_of == [["INSERT", "UPDATE", "UPDATE"]] * 2


async def test_what_goes_and_comes_again_is_told_apart_too(sessions, session, backend):
    await fill(session)
    await _forget(session, 1, 2)
    # A row that was deleted as far as history knows begins anew.
    with versioning_disabled():
        await session.execute(text("UPDATE product_version SET operation_type = 2 WHERE id = 3"))
        await session.commit()
    await session.execute(_replacing(backend, [{"name": name, "price": 50} for name in ("p1", "p3", "p8")]))
    # Inserted before in the same transaction, and deleted afterwards.
    await session.execute(_replacing(backend, [{"name": name, "price": 60} for name in ("p1", "p8", "p9")]))
    await session.execute(delete(Product).where(Product.name == "p9"))
    await session.commit()
    new = await session.scalar(select(Product.id).where(Product.name == "p8"))
    assert await told(sessions, Product, 1, "price") == [("UPDATE", 60)]
    assert await told(sessions, Product, 3, "price") == [("DELETE", 3), ("INSERT", 50)]
    assert await told(sessions, Product, new, "price") == [("INSERT", 60)]


async def test_a_row_that_one_statement_inserts_and_updates_is_inserted(sessions, session, backend):
    await fill(session)
    await _forget(session, 1, 2)
    rows = [{"name": "p8", "price": 50}, {"name": "p8", "price": 60}, {"name": "p1", "price": 70}]
    statement = _insert(backend, Product)
    statement = statement.on_conflict_do_update(index_elements=["name"], set_={"price": statement.excluded.price})
    if backend == "sqlite":
        await session.execute(statement.values(rows))
    else:
        # PostgreSQL takes a row once in a statement; here each has its own.
        await session.execute(statement.execution_options(insertmanyvalues_page_size=1), rows)
    await session.commit()
    new = await session.scalar(select(Product.id).where(Product.name == "p8"))
    assert await told(sessions, Product, new, "price") == [("INSERT", 60)]
    assert await told(sessions, Product, 1, "price") == [("UPDATE", 70)]


async def test_what_an_upsert_leaves_alone_is_left_alone(session, backend):
    await fill(session)
    await _forget(session, 1, 2)
    after = await newest(session)
    await session.execute(_insert(backend, Product).values(ROWS).on_conflict_do_nothing())
    await session.execute(_replacing(backend, [{"name": "p2", "price": 1}], where=product.c.price > 100))
    await session.commit()
    assert await _operations(session, after) == {"p7": "INSERT"}
    # For the proof at the end.
    assert await backfill(session, Product) == 2
    await session.commit()


async def test_a_key_of_two_columns_and_links_are_told_apart(sessions, session, backend):
    await fill(session)
    for gone in ("shelf_version WHERE hall = 'a'", "product_tag_version WHERE product_id = 1"):
        await session.execute(text(f"DELETE FROM {gone}"))
    await session.commit()
    after = await newest(session)
    shelves = _insert(backend, Shelf).values(
        [{"hall": "a", "number": 1, "content": "new"}, {"hall": "b", "number": 2, "content": "new"}]
    )
    await session.execute(
        shelves.on_conflict_do_update(index_elements=["number", "hall"], set_={"content": shelves.excluded.content})
    )
    links = _insert(backend, tagged).values([{"product_id": 1, "tag_id": 1}, {"product_id": 3, "tag_id": 1}])
    await session.execute(
        links.on_conflict_do_update(index_elements=["product_id", "tag_id"], set_={"tag_id": links.excluded.tag_id})
    )
    await session.commit()
    assert await told(sessions, Shelf, (1, "a"), "content") == [("UPDATE", "new")]
    assert await told(sessions, Shelf, (2, "b"), "content") == [("INSERT", "new")]
    made = await recorded(session, tagged, after=after)
    assert {key: operation for key, (operation, _) in made.items()} == {(1, 1): "UPDATE", (3, 1): "INSERT"}
    await session.rollback()


async def test_they_are_told_apart_without_a_statement_more(session, backend, statements):
    await fill(session)
    counted = {}
    for known in (True, False):
        if not known:
            await _forget(session, 1, 2)
        before = len(statements)
        await session.execute(_replacing(backend, [{"name": f"p{n}", "price": 90 + known} for n in range(1, 20)]))
        counted[known] = len(statements) - before
        await session.commit()
    assert counted[False] == counted[True] == {"sqlite": 11, "postgresql": 2}[backend]


@pytest.mark.unaccounted
async def test_an_upsert_that_gives_rows_another_key_is_told(session, backend):
    await fill(session)
    statement = _insert(backend, Product).values(id=90, name="p1", price=50)
    moving = statement.on_conflict_do_update(index_elements=["name"], set_={"id": statement.excluded.id})
    with pytest.warns(SAWarning, match="cannot be recorded"):
        await session.execute(moving)
    await session.rollback()
    after = await newest(session)
    # The same key is no other.
    own = _insert(backend, Product).values(id=1, name="p1", price=50)
    await session.execute(
        own.on_conflict_do_update(index_elements=["id"], set_={"id": own.excluded.id, "price": own.excluded.price})
    )
    await session.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"id": product.c.id, "price": 60})
    )
    await session.commit()
    assert await _operations(session, after) == {"p1": "UPDATE"}
    assert await verify(session, Tag) == []
    await session.rollback()


async def test_each_conflict_may_have_its_own_answer(session, backend):
    if backend != "sqlite" or not hasattr(Insert, "ext"):
        pytest.skip("SQLite takes several since SQLAlchemy 2.1, and PostgreSQL one")
    await fill(session)
    await _forget(session, 1, 2)
    after = await newest(session)
    statement = _insert(backend, Product).values(
        [{"id": 2, "name": "other"}, {"id": 80, "name": "p1"}, {"id": 81, "name": "p8"}]
    )
    statement = statement.on_conflict_do_update(index_elements=["id"], set_={"price": 50})
    await session.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"price": 60}))
    await session.commit()
    assert await _operations(session, after) == {"p1": "UPDATE", "p2": "UPDATE", "p8": "INSERT"}


@pytest.mark.parametrize("many", [True, False], ids=["many", "rows"])
async def test_they_are_told_apart_with_a_synchronous_driver(place, session, sessions, backend, many):
    """On PostgreSQL psycopg, for which the keys are returned."""
    await fill(session)
    await _forget(session, 1, 2)
    with Session(place.sync_engine()) as plain:
        statement = _insert(backend, Product)
        statement = statement.on_conflict_do_update(index_elements=["name"], set_={"price": 50})
        if many:
            plain.execute(statement, ROWS)
        else:
            plain.execute(statement.values(ROWS))
        plain.commit()
    new = await session.scalar(select(Product.id).where(Product.name == "p7"))
    operations = [(await told(sessions, Product, key))[-1:] for key in (1, 4, new)]
    assert operations == [[("UPDATE",)], [("UPDATE",)], [("INSERT",)]]


async def test_names_that_must_be_quoted_and_partitions_are_told_apart(database, own, backend):
    Base, manager = own()

    class Odd(Versioned, Base):
        __tablename__ = 'a "odd" %table'
        __table_args__ = {"postgresql_partition_by": "HASH (region)"}
        number: Mapped[int] = mapped_column("the % Number", primary_key=True, autoincrement=False)
        region: Mapped[str] = mapped_column(String(20), primary_key=True)
        name: Mapped[str] = mapped_column(String(20))

    sessions = await database(Base, manager)
    async with sessions() as session:
        if backend == "postgresql":
            await session.execute(
                text('CREATE TABLE "part" PARTITION OF "a ""odd"" %table" FOR VALUES WITH (MODULUS 1, REMAINDER 0)')
            )
        with versioning_disabled():
            await session.execute(insert(Odd).values(number=1, region="x", name="old"))
        await session.commit()
        for form in ("rows", "many"):
            rows = [{"number": n, "region": "x", "name": form} for n in (1, 2)]
            statement = _insert(backend, Odd)
            statement = statement.on_conflict_do_update(
                index_elements=[Odd.number, Odd.region], set_={"name": statement.excluded.name}
            )
            await session.execute(*((statement, rows) if form == "many" else (statement.values(rows),)))
            await session.commit()
    assert await told(sessions, Odd, (1, "x"), "name") == [("UPDATE", "rows"), ("UPDATE", "many")]
    assert await told(sessions, Odd, (2, "x"), "name") == [("INSERT", "rows"), ("UPDATE", "many")]

"""Every kind of statement leaves the history that objects would, and gives the result that it gives without us."""

from typing import Any

import pytest
from sqlalchemy import bindparam, case, delete, exists, func, insert, lambda_stmt, literal, select, text, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import aliased

from tests.statements.compared import difference_of
from tests.statements.shop import Device, Note, Part, Product, Shelf, differences, everything, fill, newest, tagged

product = Product.__table__
shelf = Shelf.__table__
other = aliased(Product)
renamed = product.alias("renamed")


def upsert(backend: str, model: Any) -> Any:
    return {"sqlite": sqlite, "postgresql": postgresql}[backend].insert(model)


def _replaced(backend: str) -> Any:
    statement = upsert(backend, Product).values([{"name": "p1", "price": 50}, {"name": "p7", "price": 70}])
    return statement.on_conflict_do_update(index_elements=["name"], set_={"price": statement.excluded.price})


def _some_replaced(backend: str) -> Any:
    statement = upsert(backend, Product).values([{"name": n, "price": 4} for n in ("p1", "p4", "p5", "p8")])
    return statement.on_conflict_do_update(
        index_elements=["name"], set_={"price": statement.excluded.price}, where=product.c.price < 5
    )


next_key = select(func.max(other.id) + 1).scalar_subquery()
doubled = update(Product).values(price=Product.price * 2)
STATEMENTS: dict[str, Any] = {
    # update
    "update all": doubled,
    "update what the statement itself takes out of its condition": doubled.where(Product.price < 4),
    "update by key": doubled.where(Product.id == 3),
    "update by key and more": doubled.where(Product.id == 3, Product.price > 100),
    "update by a list of keys": doubled.where(Product.id.in_([1, 2, 99])),
    "update nothing": doubled.where(Product.name == "nobody"),
    "update to the same": update(Product).values(price=Product.price, state="new"),
    "update some to the same": update(Product).values(price=3),
    "update what is excluded": update(Product).values(seen=5),
    "update by a subquery": doubled.where(Product.id.in_(select(Part.product_id).where(Part.size == 1))),
    "update by a correlated subquery": doubled.where(exists().where(Part.product_id == Product.id)),
    "update by a subquery over itself": doubled.where(Product.price > select(func.avg(other.price)).scalar_subquery()),
    "update from another table": update(Product).values(price=Part.size + 100).where(Part.product_id == Product.id),
    "update to a scalar subquery": update(Product).values(
        price=select(func.count()).where(tagged.c.product_id == Product.id).scalar_subquery()
    ),
    "update by a CTE": doubled.where(Product.id.in_(select(select(Part.product_id).cte("parts").c.product_id))),
    "update by case": update(Product).values(price=case((Product.id < 3, 100), else_=Product.price)),
    "update with text": update(Product).where(text("product.price > 4")).values(price=text("price + 1")),
    "update at random": update(Product).where(func.abs(func.random()) >= 0).values(price=8),
    "update returning": doubled.where(Product.price < 4).returning(Product.name, Product.price),
    "update returning objects": doubled.returning(Product),
    "update returning an expression": doubled.returning((Product.price + 1).label("more"), literal("x")),
    "update a key of two columns": update(Shelf).where(Shelf.hall == "a", Shelf.number == 1).values(content="y"),
    "update by half a key": update(Shelf).where(Shelf.number == 1).values(content="z"),
    "core update": update(product).where(product.c.price < 3).values(status="old"),
    "core update returning": update(product).where(product.c.id < 3).values(status="old").returning(product.c.status),
    "core update of an alias": update(renamed).where(renamed.c.price < 3).values(status="old"),
    "core update many times": (
        update(product).where(product.c.price < bindparam("below")).values(status=bindparam("said")),
        [{"below": 3, "said": "low"}, {"below": 2, "said": "lowest"}, {"below": 0, "said": "none"}],
    ),
    "core update by keys": (
        update(product).where(product.c.id == bindparam("number")).values(price=bindparam("amount")),
        [{"number": 1, "amount": 9}, {"number": 2, "amount": 2}, {"number": 77, "amount": 2}],
    ),
    "bulk update by primary key": (update(Product), [{"id": 1, "price": 5}, {"id": 2, "price": 2}]),
    "move keys": update(Product).where(Product.id > 3).values(id=Product.id + 100),
    "move keys to where others were": update(Shelf).values(number=Shelf.number + 1, hall="c" + Shelf.hall),
    "move a key": update(Product).where(Product.name == "p1").values(id=71),
    "assign the same key": update(Product).where(Product.id == 2).values(id=2),
    "move referenced keys": update(Product).where(Product.id < 3).values(id=Product.id + 50, price=3),
    "move keys many times": (
        update(product).where(product.c.id == bindparam("old")).values(id=bindparam("new")),
        [{"old": 2, "new": 72}, {"old": 5, "new": 2}, {"old": 77, "new": 78}],
    ),
    "move a key that was moved before": (
        update(product).where(product.c.id == bindparam("old")).values(id=bindparam("new")),
        [{"old": 1, "new": 71}, {"old": 71, "new": 81}, {"old": 4, "new": 71}],
    ),
    # delete
    "delete all": delete(Product),
    "delete some": delete(Product).where(Product.price > 3),
    "delete by key": delete(Product).where(Product.id == 2),
    "delete by key and more": delete(Product).where(Product.id == 2, Product.price == 77),
    "delete nothing": delete(Product).where(Product.name == "nobody"),
    "delete returning": delete(Product).where(Product.id > 4).returning(Product.name),
    "delete returning objects": delete(Product).where(Product.id > 4).returning(Product),
    "delete by a subquery": delete(Product).where(Product.id.in_(select(Part.product_id))),
    "delete by a subquery over itself": delete(Product).where(
        Product.price > select(func.avg(other.price)).scalar_subquery()
    ),
    "delete by half a key": delete(Shelf).where(Shelf.number == 1),
    "core delete": delete(product).where(product.c.price < 3),
    "core delete of an alias": delete(renamed).where(renamed.c.price < 3),
    "core delete many times": (
        delete(product).where(product.c.price > bindparam("above")),
        [{"above": 5}, {"above": 2}],
    ),
    "delete links": delete(tagged).where(tagged.c.product_id < 4),
    # insert
    "insert one": insert(Product).values(name="new"),
    "insert one by parameters": (insert(Product), {"name": "new"}),
    "insert one with its key": insert(Product).values(id=40, name="new"),
    "insert one with a key by SQL": insert(Product).values(
        id=select(func.max(other.id) + 1).scalar_subquery(), name="new"
    ),
    "insert one returning": insert(Product).values(name="new").returning(Product.state, Product.doubled),
    "insert one returning an object": insert(Product).values(name="new").returning(Product),
    "insert many": (insert(Product), [{"name": f"new {n}"} for n in range(3)]),
    "insert many with keys": (insert(Product), [{"id": 40 + n, "name": f"new {n}"} for n in range(3)]),
    "insert many returning": (insert(Product).returning(Product.name), [{"name": f"new {n}"} for n in range(3)]),
    "insert many returning in order": (
        insert(Product).returning(Product.name, Product.price, sort_by_parameter_order=True),
        [{"name": f"new {n}", "price": n} for n in range(3)],
    ),
    "insert several rows": insert(Product).values([{"name": "a"}, {"name": "b"}]),
    "insert several rows with keys": insert(Product).values([{"id": 41, "name": "a"}, {"id": 42, "name": "b"}]),
    "insert several rows returning": insert(Product).values([{"name": "a"}, {"name": "b"}]).returning(Product.price),
    "insert from a query": insert(Product).from_select(["name"], select(Product.name + "!").where(Product.price > 2)),
    "insert from a query returning": insert(Product)
    .from_select(["name"], select(Product.name + "!").where(Product.price > 2))
    .returning(Product.name),
    "insert with keys from a query": insert(Part).from_select(
        ["id", "product_id"], select(Product.id + 10, Product.id)
    ),
    "insert keys made in Python": (insert(Device), [{"label": "one"}, {"label": "two"}]),
    "insert a row of defaults": insert(Device).values(),
    "insert a key of two columns": (insert(Shelf), [{"hall": "z", "number": 1}, {"hall": "z", "number": 2}]),
    "core insert": insert(product).values(name="new", status="core"),
    "core insert many": (insert(product), [{"name": "x", "status": "1"}, {"name": "y", "status": "2"}]),
    "core insert returning": insert(product).values(name="new").returning(product.c.status, product.c.price),
    "core insert in line": insert(product).values(name="new").inline(),
    "insert links from a query": insert(tagged).from_select(
        ["product_id", "tag_id"], select(Product.id, literal(2)).where(Product.id.in_([1, 3]))
    ),
    "upsert": _replaced,
    "upsert returning": lambda backend: _replaced(backend).returning(product.c.name, product.c.price),
    "upsert some": _some_replaced,
    "upsert many": lambda backend: (
        upsert(backend, Product).on_conflict_do_update(index_elements=["name"], set_={"price": 99}),
        [{"name": "p1"}, {"name": "p9"}],
    ),
    "insert what is not there": lambda backend: (
        upsert(backend, Product).values([{"name": "p1"}, {"name": "p7"}]).on_conflict_do_nothing()
    ),
    "upsert by key": lambda backend: (
        upsert(backend, Shelf)
        .values([{"hall": "a", "number": 1, "content": "new"}, {"hall": "q", "number": 1, "content": "new"}])
        .on_conflict_do_update(index_elements=["number", "hall"], set_={"content": "upserted"})
    ),
    "upsert many by key": lambda backend: (
        upsert(backend, Shelf).on_conflict_do_update(index_elements=["number", "hall"], set_={"content": "upserted"}),
        [{"hall": "a", "number": 1}, {"hall": "q", "number": 1}],
    ),
    "upsert one with a key that is not that of the row it meets": lambda backend: (
        upsert(backend, Product).on_conflict_do_update(index_elements=["name"], set_={"price": 99}),
        {"id": 90, "name": "p1"},
    ),
    "upsert many with keys that are not those of the rows they meet": lambda backend: (
        upsert(backend, Product).on_conflict_do_update(index_elements=["name"], set_={"price": 99}),
        [{"id": 90, "name": "p1"}, {"id": 91, "name": "p9"}],
    ),
    "core upsert many with keys": lambda backend: (
        upsert(backend, product).on_conflict_do_update(index_elements=["id"], set_={"price": 99}),
        [{"id": 2, "name": "p2"}, {"id": 91, "name": "p9"}],
    ),
    "upsert many with keys made in Python": lambda backend: (
        upsert(backend, Device).on_conflict_do_update(index_elements=["id"], set_={"label": "upserted"}),
        [{"label": "one"}, {"label": "two"}],
    ),
    "upsert from a query": lambda backend: (
        upsert(backend, Product)
        .from_select(["name"], select(Note.body).where(Note.body != ""))
        .on_conflict_do_update(index_elements=["name"], set_={"price": 99})
    ),
    "insert many where they are not there": lambda backend: (
        upsert(backend, tagged).on_conflict_do_nothing(),
        [{"product_id": 1, "tag_id": 1}, {"product_id": 3, "tag_id": 1}],
    ),
    "insert many with keys where they are not there": lambda backend: (
        upsert(backend, Shelf).on_conflict_do_nothing(),
        [{"hall": "a", "number": 1}, {"hall": "q", "number": 1}],
    ),
    # what is sent as something else
    "select objects from an update": select(Product).from_statement(doubled.returning(Product)),
    "select objects from a delete": select(Product).from_statement(
        delete(Product).where(Product.price > 3).returning(Product)
    ),
    "select objects from an insert": select(Product).from_statement(
        insert(Product).values([{"id": 41, "name": "a"}, {"id": 42, "name": "b"}]).returning(Product)
    ),
    "select objects from an upsert": lambda backend: select(Shelf).from_statement(
        upsert(backend, Shelf)
        .values([{"hall": "a", "number": 1, "content": "new"}, {"hall": "q", "number": 1, "content": "new"}])
        .on_conflict_do_update(index_elements=["number", "hall"], set_={"content": "upserted"})
        .returning(Shelf)
    ),
    "select objects from an update of keys": select(Shelf).from_statement(
        update(Shelf).values(number=Shelf.number + 1).returning(Shelf)
    ),
    "update by a lambda": lambda_stmt(lambda: update(Product).where(Product.price > 3).values(price=1)),
    "delete by a lambda": lambda_stmt(lambda: delete(Product)) + (lambda given: given.where(Product.price > 3)),
    # what keeps no history
    "insert elsewhere": insert(Note).from_select(["body"], select(Product.name)),
    "delete elsewhere": delete(Note).where(Note.body.in_(select(Product.name))),
}


def _on_duplicate_key(rows: Any, target: Any = Product) -> Any:
    statement = mysql.insert(target).values(rows)
    return statement.on_duplicate_key_update(price=statement.inserted.price)


# MariaDB's own; those above are PostgreSQL's and SQLite's. It counts an updated row twice, and made to return its keys
# it counts it once.
ON_DUPLICATE_KEY: dict[str, Any] = {
    "upsert": _on_duplicate_key([{"name": "p1", "price": 50}, {"name": "p7", "price": 70}]),
    "upsert to the same": _on_duplicate_key([{"name": "p1", "price": 1}, {"name": "p7", "price": 70}]),
    "core upsert": _on_duplicate_key([{"name": "p1", "price": 50}, {"name": "p7", "price": 70}], product),
    "upsert with keys": _on_duplicate_key([{"id": 2, "name": "p2", "price": 50}, {"id": 91, "name": "p9", "price": 9}]),
    "insert what is not there": insert(Product).prefix_with("IGNORE").values([{"name": "p1"}, {"name": "p7"}]),
}

# What a database does not have.
UNSUPPORTED = {
    "sqlite": {"core delete of an alias"},
    "postgresql": set[str](),
    "mariadb": {
        "core delete of an alias",
        "core update returning",
        "select objects from an update",
        "select objects from an update of keys",
        "update by a CTE",
        "update returning",
        "update returning an expression",
        "update returning objects",
        # Its keys are all read before the first execution, as the documentation says.
        "move a key that was moved before",
    },
}
# What cannot be recorded there, and is told: MariaDB gives no more keys than it is asked to return.
TOLD = {
    ("mariadb", "core insert returning"),
    ("mariadb", "insert from a query returning"),
    ("mariadb", "insert one returning"),
    ("mariadb", "insert one returning an object"),
    ("mariadb", "insert several rows returning"),
}


def statements_of(backend: str) -> dict[str, Any]:
    """Give the statements that a database knows."""
    known = {name: given for name, given in STATEMENTS.items() if name not in UNSUPPORTED[backend]}
    if backend == "mariadb":
        return {name: given for name, given in known.items() if not callable(given)}
    return {name: given(backend) if callable(given) else given for name, given in known.items()}


@pytest.mark.parametrize("how", ["session", "connection"])
async def test_a_statement_leaves_what_objects_would_leave(session, backend, how):
    await fill(session)
    before, after = await everything(session), await newest(session)
    wrong: dict[str, Any] = {}
    for name, given in statements_of(backend).items():
        statement, parameters = given if isinstance(given, tuple) else (given, None)
        if how == "connection" and statement._propagate_attrs:
            continue
        problem = await difference_of(session, before, after, statement, parameters, how=how)
        if (backend, name) in TOLD:
            assert "cannot be recorded" in problem
        elif problem:
            wrong[name] = problem
    assert wrong == {}


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
@pytest.mark.parametrize("statement", ON_DUPLICATE_KEY.values(), ids=ON_DUPLICATE_KEY)
async def test_an_upsert_of_mariadb_leaves_what_objects_would_leave(session, statement):
    await fill(session)
    before, after = await everything(session), await newest(session)
    await session.execute(statement)
    await session.commit()
    assert await everything(session) != before
    assert await differences(session, before, after) == []

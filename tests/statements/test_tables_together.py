"""Statements over several tables, and on a table under another name, are recorded as objects are."""

from typing import Any

import pytest
from sqlalchemy import ForeignKey, String, __version__, bindparam, delete, func, select, update
from sqlalchemy.orm import Mapped, aliased, mapped_column

from async_continuum import Versioned
from tests.kit.history import told
from tests.statements.compared import difference_of
from tests.statements.shop import Note, Part, Product, Shelf, Tag, everything, fill, newest, tagged

product, part, shelf, note = Product.__table__, Part.__table__, Shelf.__table__, Note.__table__
Named, Other = aliased(Product, name="named"), aliased(Product, name="other")
renamed, quoted = product.alias("renamed"), shelf.alias('a "quoted" name')

UPDATES: dict[str, Any] = {
    "a versioned table": update(Product).where(Part.product_id == Product.id, Part.id < 3).values(price=Part.size + 7),
    "a table without history": update(Product).where(Note.body == Product.name).values(state=Note.body),
    "two tables": update(Product)
    .where(tagged.c.product_id == Product.id, tagged.c.tag_id == Tag.id)
    .values(state=Tag.name),
    "the table itself": update(Product).where(Other.price == Product.price + 1).values(state=Other.name),
    "the table itself, of which one row is named": update(Product)
    .where(Other.id == 1, Product.price > Other.price)
    .values(price=Other.price),
    "a subquery": update(Product)
    .where((halves := select(Part.product_id, Part.size).subquery()).c.product_id == Product.id)
    .values(price=halves.c.size + 50),
    "one row named, and another table": update(Product)
    .where(Product.id == 2, Part.product_id == Product.id)
    .values(price=Part.size + 7),
    "one row named, and another table without it": update(Product)
    .where(Product.id == 5, Part.product_id == Product.id)
    .values(price=Part.size + 7),
    "more rows than one for each": update(Product).where(Part.product_id <= Product.id).values(state="all"),
    "what is not changed": update(Product).where(Part.product_id == Product.id).values(price=Product.price),
    "keys that move": update(Product).where(Part.product_id == Product.id, Part.id < 3).values(id=Product.id + 30),
    "what it returns": update(Product)
    .where(Part.product_id == Product.id)
    .values(price=Part.size + 7)
    .returning(Product.name, Part.id),
    "what it returns of an object": update(Product).where(Note.body == Product.name).values(price=8).returning(Product),
    "core": update(product).where(part.c.product_id == product.c.id).values(price=part.c.size + 7),
    "core without history": update(product).where(note.c.body == product.c.name).values(price=8),
    "core, many times": (
        update(product)
        .where(part.c.product_id == product.c.id, part.c.id == bindparam("number"))
        .values(price=part.c.size + bindparam("more")),
        [{"number": 1, "more": 5}, {"number": 3, "more": 6}],
    ),
    "links": update(tagged).where(tagged.c.product_id == Product.id, Product.price == 1).values(tag_id=2),
}

DELETES = {
    "a versioned table": delete(Product).where(Part.product_id == Product.id, Part.id < 3),
    "a table without history": delete(Product).where(Note.body == Product.name),
    "the table itself": delete(Product).where(Other.price == Product.price + 1, Other.id == 3),
    "more rows than one for each": delete(Product).where(Part.product_id >= Product.id),
    "one row named": delete(Product).where(Product.id == 2, Part.product_id == Product.id),
    "one row named, without another": delete(Product).where(Product.id == 5, Part.product_id == Product.id),
    "two tables": delete(Part).where(Part.product_id == tagged.c.product_id, tagged.c.tag_id == Tag.id),
    "nothing": delete(Product).where(Part.product_id == Product.id, Part.size == 77),
    "what it returns": delete(Product).where(Part.product_id == Product.id).returning(Product.name, Part.id),
    "what it returns of an object": delete(Product).where(Note.body == Product.name).returning(Product),
    "core": delete(product).where(part.c.product_id == product.c.id),
    "core, many times": (
        delete(product).where(part.c.product_id == product.c.id, part.c.id == bindparam("number")),
        [{"number": 1}, {"number": 3}],
    ),
    "links": delete(tagged).where(tagged.c.product_id == Product.id, Product.price == 2),
}

RENAMED = {
    "update": update(Named).where(Named.price < 3).values(price=Named.price * 10),
    "update all": update(Named).values(price=4),
    "update by key": update(Named).where(Named.id == 3).values(state="old"),
    "update nothing": update(Named).where(Named.name == "nobody").values(state="old"),
    "update returning": update(Named).where(Named.id < 3).values(state="old").returning(Named.name, Named.state),
    "update from another table": update(Named).where(Part.product_id == Named.id).values(price=Part.size + 7),
    "update from the table of which one row is named": update(Named)
    .where(Product.id == 3, Named.price > Product.price)
    .values(price=Product.price),
    "update by a subquery": update(Named).where(Named.id.in_(select(Part.product_id))).values(price=77),
    "move keys": update(Named).where(Named.price < 3).values(id=Named.id + 30),
    "core update": update(renamed).where(renamed.c.price < 3).values(status="old"),
    "core update by key": update(renamed).where(renamed.c.id == 3).values(status="old"),
    "core update from the table of which one row is named": update(renamed)
    .where(product.c.id == 3, renamed.c.price > product.c.price)
    .values(status=product.c.name),
    "core update by a subquery over the table": update(renamed)
    .where(renamed.c.price > select(func.avg(product.c.price)).scalar_subquery())
    .values(price=1),
    "core update returning": update(renamed).where(renamed.c.id < 3).values(status="x").returning(renamed.c.name),
    "core update of a quoted name": update(quoted).where(quoted.c.hall == "a").values(content="y"),
    "core update many times": (
        update(renamed).where(renamed.c.price < bindparam("below")).values(status=bindparam("said")),
        [{"below": 3, "said": "low"}, {"below": 2, "said": "lowest"}],
    ),
    "core move keys": update(quoted).values(number=quoted.c.number + 1),
    "delete": delete(Named).where(Named.price < 3),
    "delete all": delete(Named),
    "delete by key": delete(Named).where(Named.id == 2),
    # SQLAlchemy's own way to fetch what is deleted does not know the other name.
    "delete returning": delete(Named)
    .where(Named.id > 4)
    .returning(Named.name)
    .execution_options(synchronize_session=False),
    "delete by another table": delete(Named).where(Part.product_id == Named.id),
    "delete by the table of which one row is named": delete(Named).where(Product.id == 3, Named.price > Product.price),
    "core delete": delete(renamed).where(renamed.c.price < 3),
    "core delete by key": delete(renamed).where(renamed.c.id == 2),
    "core delete by the table": delete(renamed).where(product.c.id == 3, renamed.c.price > product.c.price),
    "core delete of a quoted name": delete(quoted).where(quoted.c.number == 1),
}

IDLE = {
    "one row named, and another table without it",
    "one row named, without another",
    "what is not changed",
    "nothing",
    "update nothing",
}
# The ORM of SQLAlchemy 2.0 returns no columns of other tables, and none of a target that has another name.
SINCE_2_1 = {"what it returns", "update returning", "delete returning"}
UNSUPPORTED = SINCE_2_1 if __version__.startswith("2.0.") else set()


def _known(backend: str, statements: dict[str, Any]) -> dict[str, Any]:
    """Leave out what MariaDB does not have: RETURNING of an UPDATE."""
    if backend != "mariadb":
        return statements
    return {name: each for name, each in statements.items() if "return" not in name}


async def _wrong(session: Any, statements: dict[str, Any], *, how: str) -> dict[str, Any]:
    await fill(session)
    before, after = await everything(session), await newest(session)
    wrong = {}
    for name, given in statements.items():
        statement, parameters = given if isinstance(given, tuple) else (given, None)
        if (how == "connection" and statement._propagate_attrs) or name in UNSUPPORTED:
            continue
        idle = name in IDLE
        if problem := await difference_of(session, before, after, statement, parameters, how=how, idle=idle):
            wrong[name] = problem
    return wrong


@pytest.mark.parametrize("how", ["session", "connection"])
async def test_an_update_from_other_tables_is_recorded(session, backend, how):
    assert await _wrong(session, _known(backend, UPDATES), how=how) == {}


@pytest.mark.parametrize("how", ["session", "connection"])
async def test_a_delete_using_other_tables_is_recorded(session, backend, how):
    if backend != "postgresql":
        pytest.skip("SQLite has no DELETE over several tables")
    assert await _wrong(session, DELETES, how=how) == {}


@pytest.mark.parametrize("how", ["session", "connection"])
async def test_a_statement_on_a_table_under_another_name_is_recorded(session, backend, how):
    statements = _known(backend, RENAMED)
    if backend != "postgresql":
        # They have no aliases in DELETE.
        statements = {name: each for name, each in statements.items() if "delete" not in name}
    if backend == "mariadb":
        # Where there is no RETURNING, what SQLAlchemy asks to find the rows by another name is a cartesian product.
        statements = {name: each for name, each in statements.items() if name.startswith("core")}
    assert await _wrong(session, statements, how=how) == {}


async def test_a_table_of_a_hierarchy_is_changed_by_what_another_one_says(database, own, backend):
    Base, manager = own()

    class Animal(Versioned, Base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))
        kind: Mapped[str] = mapped_column(String(20))
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Cat(Animal):
        __tablename__ = "cat"
        id: Mapped[int] = mapped_column(ForeignKey("animal.id", ondelete="CASCADE"), primary_key=True)
        lives: Mapped[int] = mapped_column(default=9)
        __mapper_args__ = {"polymorphic_identity": "cat"}

    animal, cat = Animal.__table__, Cat.__table__
    sessions = await database(Base, manager)
    async with sessions.begin() as session:
        session.add_all([Cat(id=1, name="tom"), Cat(id=2, name="kit"), Animal(id=3, name="tom")])
    async with sessions.begin() as session:
        older = update(Cat).where(Cat.id == animal.c.id, animal.c.name == "tom").values(lives=Cat.lives - 1)
        await session.execute(older, execution_options={"synchronize_session": False})
    async with sessions.begin() as session:
        await session.execute(update(animal).where(cat.c.id == animal.c.id, cat.c.lives == 9).values(name="kat"))
    assert await told(sessions, Cat, 1, "name", "lives") == [("INSERT", "tom", 9), ("UPDATE", "tom", 8)]
    assert await told(sessions, Cat, 2, "name", "lives") == [("INSERT", "kit", 9), ("UPDATE", "kat", 9)]
    assert await told(sessions, Animal, 3, "name") == [("INSERT", "tom")]
    if backend == "sqlite":
        return
    async with sessions.begin() as session:
        await session.execute(delete(animal).where(cat.c.id == animal.c.id, cat.c.lives == 8))
    assert (await told(sessions, Cat, 1, "name", "lives"))[2:] == [("DELETE", "tom", 8)]
    assert len(await told(sessions, Cat, 2)) == 2

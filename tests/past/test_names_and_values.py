"""Whatever a column is called and holds, it is read in the past as it was."""

import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import func, inspect, select
from sqlalchemy.orm import aliased

from async_continuum import transaction_class
from tests import domain as m
from tests.past.twice import ask_twice

DEVICE = uuid.UUID(int=7)


async def first(session: Any, _: Any) -> None:
    session.add_all(
        [
            m.Person(number=1, given="ann", family="lee"),
            m.Purchase(id=1, select="a", mixed="b", percent=5, spoken="c", accented="d", punctuated="e"),
            m.Seat(hall="A", number=1, guest="ann"),
            m.Device(id=DEVICE, label="old"),
            m.Badge(code="7", holder="ann"),
            m.Bookmark(id=1, index=1, next="n", previous="p", diff="d", revert="r", transaction="t"),
            m.Account(owner="ann", balance=5, notes="n"),
            m.Preferences(id=1, options={"a": [1]}, history=[1], budget=Decimal("1.50")),
            m.Specimen(id=1, exact=Decimal("1.5"), data=b"\0a", color=m.Color.RED, token=DEVICE, document={"a": None}),
            m.Price(id=1, amount=Decimal("9.90")),
            m.Note(id=1, body="first"),
        ]
    )


async def second(session: Any, _: Any) -> None:
    person, purchase = await session.get_one(m.Person, 1), await session.get_one(m.Purchase, 1)
    person.given, person.family = "lee", "ann"
    purchase.select, purchase.percent, purchase.spoken, purchase.accented, purchase.punctuated = "A", 6, "C", "D", "E"
    (await session.get_one(m.Seat, ("A", 1))).guest = "bob"
    (await session.get_one(m.Device, DEVICE)).label = "new"
    (await session.get_one(m.Badge, "7")).holder = "bob"
    bookmark = await session.get_one(m.Bookmark, 1)
    bookmark.index, bookmark.transaction = 2, "T"
    account = (await session.scalars(select(m.Account))).one()
    account.balance, account.notes = 6, "N"
    preferences = await session.get_one(m.Preferences, 1)
    preferences.options["b"], preferences.budget = 2, Decimal("2.25")
    preferences.history.append(2)
    specimen = await session.get_one(m.Specimen, 1)
    specimen.exact, specimen.data, specimen.color, specimen.document = Decimal("1.25"), b"b", m.Color.GREEN, [1]
    (await session.get_one(m.Price, 1)).amount = Decimal("10.00")
    (await session.get_one(m.Note, 1)).body = "second"


async def third(session: Any, _: Any) -> None:
    for model in MODELS:
        for each in await session.scalars(select(model)):
            await session.delete(each)


MODELS = (
    *(m.Person, m.Purchase, m.Seat, m.Device, m.Badge, m.Bookmark, m.Account, m.Preferences, m.Specimen),
    *(m.Price, m.Note),
)


def whole(model: Any) -> Any:
    """Ask for every attribute of every object: as loaded, by an alias of a subquery, and as columns."""
    names = [name for name in inspect(model).columns.keys() if name != "secret"]  # noqa: SIM118 - it is no dict

    async def ask(session: Any, _: Any) -> Any:
        found = []
        for entity in (model, aliased(model, select(model).subquery())):
            for each in await session.scalars(select(entity)):
                found.append([repr(await getattr(each.awaitable_attrs, name)) for name in names])
        found += [list(map(repr, row)) for row in await session.execute(select(*(getattr(model, n) for n in names)))]
        return found

    return ask


def rows(statement: Any) -> Any:
    async def ask(session: Any, _: Any) -> Any:
        return [tuple(row) for row in await session.execute(statement)]

    return ask


QUESTIONS = {
    **{model.__name__: whole(model) for model in MODELS},
    "by a synonym": rows(select(m.Person.number).where(m.Person.surname == "lee")),
    "by a quoted name": rows(
        select(m.Purchase.percent).where(m.Purchase.punctuated == "e").order_by(m.Purchase.select)
    ),
    "by a composite key": rows(select(m.Seat.guest).where(m.Seat.hall == "A", m.Seat.number == 1)),
    "by a key that is stored otherwise": rows(select(m.Badge.holder).where(m.Badge.code == "7")),
    "in JSON": rows(select(m.Preferences.options["a"]).where(m.Preferences.budget == Decimal("1.5"))),
    "a sum of decimals": rows(
        select(func.sum(m.Price.amount), func.max(m.Specimen.exact)).join(m.Specimen, m.Price.id == 1)
    ),
    "computed by the database": rows(select(m.Account.doubled, m.Account.revision)),
}


async def test_values_are_read_as_they_were(sessions):
    transactions = transaction_class(m.Person)
    await ask_twice(sessions, m, transactions=transactions, story=[first, second, third], questions=QUESTIONS)

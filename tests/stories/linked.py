"""Two models and the links between them, and what a plain dictionary says of what is done to them."""

from typing import Any

from sqlalchemy import Column, ForeignKey, String, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from async_continuum import Discrepancy, Operation, Versioned, VersioningManager, make_versioned
from tests.kit import mode


class Base(DeclarativeBase):
    pass


manager = make_versioned(mapper=Base, manager=VersioningManager(), options=mode.options(), user_cls=None)

linked = Table(
    "linked",
    Base.metadata,
    Column("thing_id", ForeignKey("thing.id", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
    Column("slim_id", ForeignKey("slim.id", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
)


class Slim(Versioned, Base):
    """The other strategy; the database alone takes its links away with it."""

    __tablename__ = "slim"
    __versioned__ = {"strategy": "subquery"}
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str | None] = mapped_column(String(5))
    size: Mapped[int]


class Thing(Versioned, Base):
    """A flush takes its links away with it."""

    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str | None] = mapped_column(String(5))
    size: Mapped[int]
    slims: Mapped[list[Slim]] = relationship(secondary=linked)


Key = tuple[Any, Any]
"""A model and a number; of a link, its table and the numbers of both."""
Row = tuple[Any, ...]
State = dict[Key, Row]

NUMBERS = (1, 2, 3)
KEYS: list[Key] = [(model, number) for model in (Thing, Slim) for number in NUMBERS]
LINKS: list[Key] = [(linked, (thing, slim)) for thing in NUMBERS for slim in NUMBERS]


def ends(link: Key) -> tuple[Key, Key]:
    """Give the two that a link is between."""
    return (Thing, link[1][0]), (Slim, link[1][1])


def links_of(state: State, key: Key) -> list[Key]:
    """List the links that one of them has."""
    return [link for link in state if link[0] is linked and key in ends(link)]


def without(state: State, *keys: Key) -> State:
    """Take rows away, and their links with them."""
    gone = {*keys, *(link for key in keys for link in links_of(state, key))}
    return {key: row for key, row in state.items() if key not in gone}


def moved(state: State, numbers: dict[Key, int]) -> State:
    """Give rows other numbers; links follow."""

    def to(key: Key) -> Key:
        if key[0] is linked:
            return linked, tuple(to(end)[1] for end in ends(key))
        return key[0], numbers.get(key, key[1])

    return {to(key): row for key, row in state.items()}


def net(before: Row | None, after: Row | None, stored: Row) -> tuple[Operation, Row]:
    """Say which version a transaction leaves that has changed a row so."""
    if after is None:
        return Operation.DELETE, stored
    return (Operation.INSERT if before is None else Operation.UPDATE), after


def discrepancies(before: State, after: State) -> set[Discrepancy]:
    """Say what `verify` must report when rows and links have become others without a word."""
    return {_discrepancy(key, before.get(key), after.get(key)) for key in before.keys() | after.keys()} - {None}


def _discrepancy(key: Key, before: Row | None, after: Row | None) -> Any:
    number = key[1] if key[0] is linked else (key[1],)
    if before == after:
        return None
    if before is None or after is None:
        return Discrepancy(key[0], number, "missing" if before is None else "orphaned")
    columns = tuple(name for name, a, b in zip(("name", "size"), before, after, strict=True) if a != b)
    return Discrepancy(key[0], number, "changed", columns)


def changes(key: Key, before: Row | None, after: Row | None) -> dict[str, Any]:
    """Say what the changeset of a version must hold."""
    old = {"id": key[1], "name": before[0], "size": before[1]} if before else {}
    new = {"id": key[1], "name": after[0], "size": after[1]} if after else {}
    return {name: (old.get(name), new.get(name)) for name in ("id", "name", "size") if old.get(name) != new.get(name)}

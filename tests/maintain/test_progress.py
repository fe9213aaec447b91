"""A long backfill says how far it is: to a function, or to a person at a terminal."""

import io
import sys

import pytest
import tqdm
from sqlalchemy import insert
from sqlalchemy.orm import DeclarativeBase

from async_continuum import VersioningManager, backfill, verify, versioning_disabled
from tests.statements import shop
from tests.statements.shop import Product, Tag, tagged

TAGS = 5


@pytest.fixture
def base() -> type[DeclarativeBase]:
    """What `sessions` creates."""
    return shop.Base


@pytest.fixture
def manager() -> VersioningManager:
    """What the invariants are proved of."""
    return shop.manager


class Terminal(io.StringIO):
    """What a person looks at."""

    def isatty(self) -> bool:
        return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Have a person look at the rest of a test; no fixture, since pytest sets stderr once more when the test begins."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    return terminal


@pytest.fixture
def bars(monkeypatch):
    """The bars that are shown."""
    made = []

    class Seen(tqdm.tqdm):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            self.shown, self.closed = [], 0
            made.append(self)

        def refresh(self, *arguments, **named):
            if hasattr(self, "shown"):
                self.shown.append((self.desc, self.n, self.total))
            return super().refresh(*arguments, **named)

        def close(self):
            self.closed += 1
            super().close()

    monkeypatch.setattr(tqdm, "tqdm", Seen)
    return made


@pytest.fixture
async def old(session):
    """A session on rows that are older than their history: five tags, and a product with two of them."""
    with versioning_disabled():
        await session.execute(insert(Tag), [{"id": n, "name": "t"} for n in range(1, TAGS + 1)])
        await session.execute(insert(Product), [{"id": 1, "name": "p"}])
        await session.execute(insert(tagged), [{"product_id": 1, "tag_id": n} for n in (1, 2)])
    await session.commit()
    return session


async def test_a_terminal_shows_how_far_it_is(old, bars, monkeypatch):
    terminal = at_a_terminal(monkeypatch)
    assert await backfill(old, Tag, batch=2) == TAGS + 2
    await old.commit()
    (bar,) = bars
    # A last batch that is full is followed by an empty one.
    assert list(dict.fromkeys(bar.shown)) == [
        ("tag: ", 2, 5),
        ("tag: ", 4, 5),
        ("tag: ", 5, 5),
        ("product_tag: ", 2, 2),
    ]
    assert bar.closed
    shown = terminal.getvalue()
    assert "tag: " in shown
    assert "5/5" in shown
    assert " rows" in shown


@pytest.mark.parametrize("batch", [1, 100])
@pytest.mark.parametrize("commit", [True, False])
async def test_a_bar_ends_full_however_large_the_batches_are(old, bars, batch, commit, monkeypatch):
    at_a_terminal(monkeypatch)
    assert await backfill(old, Tag, batch=batch, commit=commit, repair=True) == TAGS + 2
    await old.commit()
    (bar,) = bars
    assert bar.shown[-1] == ("product_tag: ", 2, 2)
    assert await verify(old, Tag) == []
    await old.commit()


async def test_a_bar_is_put_away_when_a_backfill_fails(old, bars, monkeypatch):
    at_a_terminal(monkeypatch)

    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("async_continuum.manager.upkeep.begin", fail)
    monkeypatch.setattr("async_continuum.manager.upkeep.claim", fail)
    with pytest.raises(OSError, match="the disk is full"):
        await backfill(old, Tag)
    await old.rollback()
    (bar,) = bars
    assert bar.closed
    monkeypatch.undo()
    assert await backfill(old, Product, Tag) == TAGS + 3
    await old.commit()


async def test_a_function_is_told_instead_of_a_terminal(old, bars, monkeypatch):
    terminal = at_a_terminal(monkeypatch)
    told = []
    await backfill(old, Tag, batch=3, progress=lambda *given: told.append(given))
    await old.commit()
    assert told == [("tag", 3, 5), ("tag", 5, 5), ("product_tag", 2, 2)]
    assert bars == []
    assert terminal.getvalue() == ""


async def test_nobody_is_told_where_no_person_looks_on(old, bars, monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    assert await backfill(old, Tag) == TAGS + 2
    await old.commit()
    assert (bars, log.getvalue()) == ([], "")


async def test_a_terminal_without_tqdm_stays_quiet(old, monkeypatch):
    terminal = at_a_terminal(monkeypatch)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert await backfill(old, Tag) == TAGS + 2
    await old.commit()
    assert terminal.getvalue() == ""

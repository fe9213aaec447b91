"""Only what the option ``record_if`` lets through is recorded: by SQL on the row, or by a function of the change."""

from types import SimpleNamespace

import pytest
from sqlalchemy import column, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

import async_continuum as ac
from async_continuum import Operation, Versioned, VersioningManager, make_versioned
from tests.chronicle import setting, write
from tests.kit import mode
from tests.kit.history import told
from tests.kit.own import new_base

asked = []


def wanted(change):
    asked.append((change.model.__name__, change.operation.name, change.changeset().get("text")))
    return change.instance.shared


def declare(strategy):
    Base = new_base()
    manager = make_versioned(
        mapper=Base, manager=VersioningManager(), user_cls=None, options=mode.options(strategy=strategy)
    )

    class Article(Versioned, Base):
        __versioned__ = {"record_if": (column("status") != "draft") & (column("word_count") > 0), "exclude": ["words"]}
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[str]
        words: Mapped[int] = mapped_column("word_count", default=1)

    class Note(Versioned, Base):
        __versioned__ = {"record_if": wanted, "native_versioning": False}
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str]
        shared: Mapped[bool]

    return SimpleNamespace(Base=Base, manager=manager, Article=Article, Note=Note)


DECLARED = {strategy: declare(strategy) for strategy in ("validity", "subquery")}
pytestmark = pytest.mark.unaccounted


@pytest.fixture(params=DECLARED)
def models(request):
    return DECLARED[request.param]


@pytest.fixture
def base(models):
    return models.Base


@pytest.fixture
def manager(models):
    return models.manager


async def test_an_expression_is_asked_of_the_stored_row(sessions, session, models):
    article, hidden = models.Article(id=1, status="draft"), models.Article(id=2, status="draft")
    await write(session, article, hidden, setting(article, status="new"), setting(article, status="draft"))
    assert await told(sessions, models.Article, 1, "status") == [("UPDATE", "new")]
    assert await told(sessions, models.Article, 2) == []
    await write(session, setting(article, status="old"), setting(article, status="older", words=0))
    assert (await told(sessions, models.Article, 1, "status"))[1:] == [("UPDATE", "old")]
    transactions = select(ac.transaction_class(models.Article))
    assert len((await session.scalars(transactions)).all()) == 2


async def test_what_has_a_history_is_recorded_as_gone_whatever_its_state(sessions, session, models):
    article, hidden = models.Article(id=1, status="new"), models.Article(id=2, status="draft")
    await write(session, article, hidden, setting(article, status="draft"))
    for instance in (article, hidden):
        await session.delete(instance)
    await session.commit()
    assert await told(sessions, models.Article, 1, "status") == [("INSERT", "new"), ("DELETE", "draft")]
    assert await told(sessions, models.Article, 2) == []
    # It lives again where nobody looks, and goes again.
    again = models.Article(id=1, status="draft")
    await write(session, again)
    await session.delete(again)
    await session.commit()
    assert len(await told(sessions, models.Article, 1)) == 2
    await write(session, models.Article(id=1, status="new"))
    assert (await told(sessions, models.Article, 1, "status"))[2:] == [("INSERT", "new")]


async def test_statements_are_held_to_an_expression_too(sessions, session, models):
    await write(session, models.Article(id=1, status="new"), models.Article(id=2, status="draft"))
    await session.execute(update(models.Article).values(words=2, status=models.Article.status + ""))
    await session.execute(update(models.Article).where(models.Article.id == 1).values(status="changed"))
    await session.commit()
    assert await told(sessions, models.Article, 1, "status") == [("INSERT", "new"), ("UPDATE", "changed")]
    assert await told(sessions, models.Article, 2) == []
    await session.execute(text("DELETE FROM article"))
    await session.rollback()


async def test_a_function_is_asked_for_each_object_of_a_flush(sessions, session, models):
    asked.clear()
    mine, ours = models.Note(id=1, text="a", shared=False), models.Note(id=2, text="a", shared=True)
    await write(session, mine, ours, setting(mine, text="b"), setting(ours, text="b"))
    await session.refresh(mine)
    await session.refresh(ours)
    for note in (mine, ours):
        await session.delete(note)
    await session.commit()
    assert await told(sessions, models.Note, 1) == []
    assert await told(sessions, models.Note, 2, "text") == [("INSERT", "a"), ("UPDATE", "b"), ("DELETE", "b")]
    assert ("Note", "INSERT", ac.Change(None, "a")) in asked
    assert ("Note", "UPDATE", ac.Change("a", "b")) in asked or ("Note", "UPDATE", ac.Change(None, "b")) in asked
    assert {operation for _, operation, _ in asked} == {operation.name for operation in Operation}


def test_what_cannot_be_asked_is_refused_by_name(own):
    Base, _ = own()
    for given, problem in ((column("state") == "x", "state"), (5, "SQL expression")):
        with pytest.raises(ac.ImproperlyConfigured, match=problem) as caught:
            type(
                f"Wrong{problem[:3]}",
                (Versioned, Base),
                {
                    "__tablename__": f"wrong_{problem[:3]}",
                    "__versioned__": {"record_if": given},
                    "__annotations__": {"id": Mapped[int]},
                    "id": mapped_column(primary_key=True),
                },
            )
        assert caught.value.option == "record_if"

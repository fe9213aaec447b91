"""`record_if` in triggers: raw SQL is held to it too, and no search path changes what it means."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import column, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column

import async_continuum as ac
from async_continuum import Versioned, VersioningManager, make_versioned
from async_continuum.native import create_statements, plan_of
from tests.kit.history import told
from tests.kit.of_models import base, manager
from tests.kit.own import new_base

__all__ = ["base", "manager"]

Sessions = async_sessionmaker[AsyncSession]

pytestmark = pytest.mark.unaccounted


def declare(strategy: str) -> SimpleNamespace:
    Base = new_base()
    options: Any = {"strategy": strategy, "native_versioning": True}
    manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls=None, options=options)

    class Paper(Versioned, Base):
        __tablename__ = "paper"
        __versioned__ = {"record_if": column("state").not_in(["it's a draft", "50%"]) & (column("pages") > 0)}
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[str] = mapped_column("state")
        pages: Mapped[int]

    return SimpleNamespace(Base=Base, manager=manager, Paper=Paper)


# By other names than those by which each strategy runs on one backend: both are PostgreSQL's here.
DECLARED = {"with ends": declare("validity"), "without ends": declare("subquery")}


@pytest.fixture(params=DECLARED)
def models(request: pytest.FixtureRequest) -> SimpleNamespace:
    return DECLARED[request.param]


async def test_raw_statements_are_held_to_it(sessions: Sessions, models: SimpleNamespace) -> None:
    async def run(*statements: str) -> None:
        async with sessions() as session:
            for statement in statements:
                await session.execute(text(statement))
            await session.commit()

    async def transactions() -> int:
        async with sessions() as session:
            return len((await session.execute(text("SELECT id FROM transaction"))).all())

    await run("INSERT INTO paper VALUES (1, 'it''s a draft', 1), (2, 'new', 0), (3, '50%', 1)")
    assert await transactions() == 0
    await run("UPDATE paper SET pages = 2", "UPDATE paper SET state = 'x', pages = 3 WHERE id = 1")
    await run("UPDATE paper SET id = id + 10, state = '50%' WHERE id = 1", "UPDATE paper SET pages = 9 WHERE id = 2")
    await run("DELETE FROM paper WHERE id IN (3, 11)")
    await run("INSERT INTO paper VALUES (1, 'y', 1)", "UPDATE paper SET pages = 0 WHERE id = 1")
    await run("TRUNCATE paper")
    assert await told(sessions, models.Paper, 1, "status", "pages") == [
        ("UPDATE", "x", 3),
        ("DELETE", "x", 3),
        ("INSERT", "y", 1),
        ("DELETE", "y", 0),
    ]
    assert await told(sessions, models.Paper, 2, "pages") == [("UPDATE", 2), ("UPDATE", 9), ("DELETE", 9)]
    assert await told(sessions, models.Paper, 3) == await told(sessions, models.Paper, 11) == []
    assert await transactions() == 4


async def test_no_operator_of_a_writer_is_asked(sessions: Sessions, models: SimpleNamespace) -> None:
    async with sessions() as session:
        await session.execute(text("CREATE SCHEMA mine"))
        await session.execute(
            text("CREATE FUNCTION mine.never(int, int) RETURNS bool LANGUAGE sql IMMUTABLE RETURN false")
        )
        await session.execute(text("CREATE OPERATOR mine.> (LEFTARG = int, RIGHTARG = int, FUNCTION = mine.never)"))
        await session.execute(text("SET LOCAL search_path = mine, public, pg_catalog"))
        await session.execute(text("INSERT INTO paper VALUES (1, 'x', 1)"))
        await session.commit()
    assert await told(sessions, models.Paper, 1, "pages") == [("INSERT", 1)]


def test_another_condition_is_another_making() -> None:
    papers = DECLARED["with ends"].Paper
    history = ac.build.blueprint_of(papers).history  # type: ignore[attr-defined]
    signing = ac.transaction_class(papers).__table__
    plan = plan_of(history, signing)
    before, given = plan.fingerprint, history.record_if
    history.record_if = column("pages") > 1
    try:
        assert plan_of(history, signing).fingerprint != before
    finally:
        history.record_if = given
    assert type(plan).from_dict(plan.as_dict()) == plan


def test_every_subquery_has_a_name_which_postgresql_before_16_wants(models: SimpleNamespace) -> None:
    history = ac.build.blueprint_of(models.Paper).history  # type: ignore[attr-defined]
    script = "\n".join(create_statements(plan_of(history, ac.transaction_class(models.Paper).__table__)))
    starts = [found.end() for found in re.finditer(r"(?:FROM|JOIN|LATERAL) \((?=SELECT)", script)]
    assert starts
    for start in starts:
        depth, end = 1, start
        while depth:
            depth += {"(": 1, ")": -1}.get(script[end], 0)
            end += 1
        assert re.match(r" (AS )?(?!WHERE|LIMIT|ORDER|ON|CROSS|LEFT)\w+", script[end:]), script[start - 80 : end + 20]

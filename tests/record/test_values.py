"""What is stored is recorded, whoever computed it: the ORM, an expression, a default, a trigger."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import DDL, ForeignKey, Integer, String, event, func, select, text
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload
from sqlalchemy.orm.attributes import flag_modified

from async_continuum import Versioned, VersioningManager, make_versioned
from tests.domain import Account, Article, Comment, Preferences
from tests.kit import mode
from tests.kit.databases import Databases
from tests.kit.history import count_transactions, told
from tests.record.conftest import Between

Sessions = async_sessionmaker[AsyncSession]


class Base(AsyncAttrs, DeclarativeBase):
    pass


manager = make_versioned(mapper=Base, manager=VersioningManager(), options=mode.options(), user_cls=None)


class Counted(Versioned, Base):
    __tablename__ = "counted"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    edition: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": edition}


class Team(Versioned, Base):
    """With a captain: two tables that point at each other, so that the ORM updates a row once more."""

    __tablename__ = "team"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    captain_id: Mapped[int | None] = mapped_column(
        Integer, ForeignKey("player.id", use_alter=True, name="fk_team_captain")
    )
    changes: Mapped[int] = mapped_column(default=0, onupdate=text("changes + 1"))

    players: Mapped[list["Player"]] = relationship(back_populates="team", foreign_keys="Player.team_id")
    captain: Mapped["Player | None"] = relationship(foreign_keys=captain_id, post_update=True)


class Player(Versioned, Base):
    __tablename__ = "player"
    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"))

    team: Mapped[Team | None] = relationship(back_populates="players", foreign_keys=team_id)


class Shouted(Versioned, Base):
    """A trigger of the database itself makes it loud."""

    __tablename__ = "shouted"
    id: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str] = mapped_column(String(50))
    loud: Mapped[str | None] = mapped_column(String(50))


for kind in ("INSERT", "UPDATE OF word"):
    event.listen(
        Shouted.__table__,
        "after_create",
        DDL(
            f"CREATE TRIGGER loud_{kind[:6].lower()} AFTER {kind} ON shouted BEGIN "
            "UPDATE shouted SET loud = upper(word) WHERE id = new.id; END"
        ).execute_if(dialect="sqlite"),
    )
for statement in (
    """CREATE FUNCTION make_loud() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN new.loud := upper(new.word); RETURN new; END $$""",
    "CREATE TRIGGER loud BEFORE INSERT OR UPDATE ON shouted FOR EACH ROW EXECUTE FUNCTION make_loud()",
):
    event.listen(Shouted.__table__, "after_create", DDL(statement).execute_if(dialect="postgresql"))
for kind in ("INSERT", "UPDATE"):
    event.listen(
        Shouted.__table__,
        "after_create",
        DDL(
            f"CREATE TRIGGER loud_{kind.lower()} BEFORE {kind} ON shouted FOR EACH ROW SET new.loud = upper(new.word)"
        ).execute_if(dialect=("mariadb", "mysql")),
    )


async def account(session: AsyncSession, **values: Any) -> int:
    account = Account(owner="ann", **values)
    session.add(account)
    await session.flush()
    key = account.id
    await session.commit()
    return key


async def test_a_sql_expression_is_recorded_as_stored(sessions: Sessions, between: Between) -> None:
    async with sessions() as session:
        key = await account(session, balance=10)
        row = await session.get_one(Account, key)
        row.balance = Account.balance + 5
        await between(session)
        row.owner = func.upper("bob")
        await session.commit()

    assert await told(sessions, Account, key, "balance", "doubled", "owner") == [
        ("INSERT", 10, 20, "ann"),
        ("UPDATE", 15, 30, "BOB"),
    ]


async def test_a_sql_expression_alone_that_changes_nothing(sessions: Sessions) -> None:
    async with sessions() as session:
        key = await account(session, balance=10, revision=1)
        row = await session.get_one(Account, key)
        row.balance = Account.balance + 0
        row.revision = 1
        row.changed_at = None
        flag_modified(row, "revision")
        flag_modified(row, "changed_at")
        await session.commit()

    assert await told(sessions, Account, key, "balance") == [("INSERT", 10)]
    assert await count_transactions(sessions, Account) == 1


async def test_what_the_database_fills_in_is_recorded(sessions: Sessions) -> None:
    async with sessions() as session:
        key = await account(session, balance=1)
        row = await session.get_one(Account, key)
        row.balance = 2
        await session.commit()

    first, second = await told(sessions, Account, key, "state", "revision", "doubled", "changed_at")
    assert first == ("INSERT", "open", 1, 2, None)
    assert second[:4] == ("UPDATE", "open", 2, 4)
    assert second[4] is not None


async def test_what_triggers_of_the_database_write_is_recorded(database: Databases) -> None:
    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add(Shouted(id=1, word="hey"))
        await session.commit()
        row = await session.get_one(Shouted, 1)
        row.word = "you"
        await session.commit()

    assert await told(sessions, Shouted, 1, "word", "loud") == [("INSERT", "hey", "HEY"), ("UPDATE", "you", "YOU")]


async def test_a_mutable_value_changed_in_two_flushes(sessions: Sessions, between: Between) -> None:
    async with sessions() as session:
        row = Preferences(id=1, options={"a": 1}, history=[1])
        session.add(row)
        await session.commit()
        await session.refresh(row)
        row.options["b"] = {"deep": [1, None, "x"]}
        await between(session)
        if between.__name__ != "nothing":
            await session.refresh(row)
        row.options["c"] = 3
        row.history.append(2)
        await session.commit()

    assert await told(sessions, Preferences, 1, "options", "history") == [
        ("INSERT", {"a": 1}, [1]),
        ("UPDATE", {"a": 1, "b": {"deep": [1, None, "x"]}, "c": 3}, [1, 2]),
    ]


async def test_a_mutable_value_changed_back(sessions: Sessions, between: Between) -> None:
    async with sessions() as session:
        row = Preferences(id=1, options={"a": 1})
        session.add(row)
        await session.commit()
        await session.refresh(row)
        row.options["b"] = 2
        await between(session)
        if between.__name__ != "nothing":
            await session.refresh(row)
        row.options.pop("b", None)
        await session.commit()

    assert len(await told(sessions, Preferences, 1)) == 1
    assert await count_transactions(sessions, Preferences) == 1


async def test_an_attribute_flagged_as_modified(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add(Preferences(id=1, options={"a": {"b": 1}}))
        await session.commit()
        row = await session.get_one(Preferences, 1)
        flag_modified(row, "options")  # nothing has changed in it
        await session.commit()
        await session.refresh(row)
        row.options["a"]["b"] = 2  # too deep for MutableDict to see
        flag_modified(row, "options")
        await session.commit()

    assert await told(sessions, Preferences, 1, "options") == [
        ("INSERT", {"a": {"b": 1}}),
        ("UPDATE", {"a": {"b": 2}}),
    ]


async def test_a_type_that_python_sees_otherwise_than_the_database(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add(Preferences(id=1, budget=Decimal("1.50")))
        await session.commit()
        (await session.get_one(Preferences, 1)).budget = Decimal("2.25")
        await session.commit()

    assert await told(sessions, Preferences, 1, "budget") == [("INSERT", Decimal("1.5")), ("UPDATE", Decimal("2.25"))]


@pytest.mark.parametrize("flushes", [1, 2])
async def test_a_counter_of_the_orm_is_recorded(database: Databases, flushes: int) -> None:
    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add(Counted(id=1, name="a"))
        await session.commit()
        row = await session.get_one(Counted, 1)
        row.name = "b"
        if flushes == 2:
            await session.flush()
        row.name = "c"
        await session.commit()

    assert await told(sessions, Counted, 1, "name", "edition") == [("INSERT", "a", 1), ("UPDATE", "c", flushes + 1)]


async def test_rows_updated_once_more_by_the_orm(database: Databases) -> None:
    sessions = await database(Base, manager)
    async with sessions() as session:
        team = Team(id=1, name="reds", players=[Player(id=1), Player(id=2)])
        team.captain = team.players[0]
        session.add(team)
        await session.commit()
    async with sessions() as session:
        team = await session.get_one(Team, 1, options=[selectinload(Team.captain)])
        team.captain = await session.get_one(Player, 2)
        await session.commit()
    async with sessions() as session:
        team = await session.get_one(Team, 1, options=[selectinload(Team.captain)])
        team.captain = None
        team.name = "blues"
        await session.commit()

    assert [version[:3] for version in await told(sessions, Team, 1, "captain_id", "name")] == [
        ("INSERT", 1, "reds"),
        ("UPDATE", 2, "reds"),
        ("UPDATE", None, "blues"),
    ]
    assert await told(sessions, Player, 2, "team_id") == [("INSERT", 1)]


async def test_a_row_that_loses_its_captain_with_the_captain(database: Databases) -> None:
    sessions = await database(Base, manager)
    async with sessions() as session:
        team = Team(id=1, name="reds", players=[Player(id=1), Player(id=2)])
        team.captain = team.players[0]
        session.add(team)
        await session.commit()
    async with sessions() as session:
        team = await session.get_one(Team, 1, options=[selectinload(Team.captain), selectinload(Team.players)])
        await session.delete(team.captain)
        team.captain = None
        await session.commit()

    assert await told(sessions, Team, 1, "captain_id") == [("INSERT", 1), ("UPDATE", None)]
    assert [operation for (operation,) in await told(sessions, Player, 1)] == ["INSERT", "DELETE"]


async def magazine(sessions: Sessions) -> None:
    async with sessions() as session:
        session.add_all(
            [
                Article(id=1, name="one", comments=[Comment(id=1, text="a"), Comment(id=2, text="b")]),
                Article(id=2, name="two"),
            ]
        )
        await session.commit()


async def test_children_re_pointed_through_a_parent_s_collection(sessions: Sessions) -> None:
    await magazine(sessions)
    async with sessions() as session:
        articles = await session.scalars(select(Article).order_by(Article.id).options(selectinload(Article.comments)))
        one, two = articles
        two.comments.append(one.comments[0])
        assert len(one.comments) == 1
        await session.commit()

    assert await told(sessions, Comment, 1, "article_id") == [("INSERT", 1), ("UPDATE", 2)]
    assert await told(sessions, Article, 1) == [("INSERT",)]
    assert await told(sessions, Article, 2) == [("INSERT",)]


async def test_orphans_are_recorded_as_deleted(sessions: Sessions) -> None:
    await magazine(sessions)
    async with sessions() as session:
        one = await session.get_one(Article, 1, options=[selectinload(Article.comments)])
        one.comments = [Comment(id=3, text="c")]
        await session.commit()

    assert await told(sessions, Comment, 1, "text") == [("INSERT", "a"), ("DELETE", "a")]
    assert await told(sessions, Comment, 2, "text") == [("INSERT", "b"), ("DELETE", "b")]
    assert await told(sessions, Comment, 3, "text") == [("INSERT", "c")]


async def test_a_parent_and_its_children_go_together(sessions: Sessions, between: Between) -> None:
    await magazine(sessions)
    async with sessions() as session:
        one = await session.get_one(Article, 1)
        (await session.get_one(Comment, 1)).text = "changed"
        await between(session)
        await session.delete(one)
        await session.commit()

    assert await told(sessions, Article, 1, "name") == [("INSERT", "one"), ("DELETE", "one")]
    assert await told(sessions, Comment, 1, "text") == [("INSERT", "a"), ("DELETE", "changed")]
    assert await count_transactions(sessions, Article) == 2


async def test_a_change_of_relations_alone_is_no_change_of_the_row(sessions: Sessions) -> None:
    await magazine(sessions)
    async with sessions() as session:
        one = await session.get_one(Article, 1, options=[selectinload(Article.comments)])
        one.comments.append(Comment(id=9, text="new"))
        await session.commit()

    assert await told(sessions, Article, 1) == [("INSERT",)]

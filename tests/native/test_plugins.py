"""What plugins keep beside history, where triggers record: whoever writes, and the user's own plugins."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, String, case, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column

import async_continuum as ac
from async_continuum.native import TriggerPlan
from async_continuum.plugins import (
    ActivityPlugin,
    AddedColumn,
    NullDeletePlugin,
    Plugin,
    PropertyModTrackerPlugin,
    TransactionChangesPlugin,
    TransactionMetaPlugin,
)
from tests.kit.databases import Databases
from tests.kit.own import Own

Sessions = async_sessionmaker[AsyncSession]

ALL = (
    PropertyModTrackerPlugin(),
    TransactionChangesPlugin(),
    TransactionMetaPlugin(),
    ActivityPlugin(),
    NullDeletePlugin(),
)


def declared(own: Own, plugins: Sequence[Plugin] = ALL, **options: Any) -> Any:
    Base, manager = own(options={"native_versioning": True, **options}, plugins=plugins)

    class Article(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None] = mapped_column(String(50))
        count: Mapped[int | None]

    return Article, Base, manager


async def rows(connection: AsyncConnection, statement: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await connection.exec_driver_sql(statement)]


HISTORY = "SELECT id, name, count, operation_type, name_mod, count_mod FROM article_version ORDER BY transaction_id, id"
NAMES = "SELECT transaction_id, entity_name FROM transaction_changes ORDER BY 1, 2"


@pytest.mark.parametrize("strategy", ["validity", "subquery"])
async def test_they_are_written_whoever_writes(
    own: Own, database: Databases, engine: AsyncEngine, strategy: str
) -> None:
    _, Base, manager = declared(own, strategy=strategy)
    await database(Base, manager)
    async with engine.connect() as connection:
        for transaction in (
            ["INSERT INTO article VALUES (1, 'a', 1), (2, 'b', 1)"],
            # Net: the second takes the first back, and what another row does meanwhile is said of that.
            ["UPDATE article SET name = 'x' WHERE id = 1", "UPDATE article SET name = 'a', count = 2 WHERE id = 1"],
            ["UPDATE article SET name = 'c', count = count"],
            ["UPDATE article SET id = 3 WHERE id = 2"],
            ["DELETE FROM article WHERE id = 3"],
            ["DELETE FROM article", "INSERT INTO article VALUES (1, 'c', 9)"],
        ):
            for statement in transaction:
                await connection.exec_driver_sql(statement)
            await connection.commit()
        assert await rows(connection, HISTORY) == [
            (1, "a", 1, 0, True, True),
            (2, "b", 1, 0, True, True),
            (1, "a", 2, 1, False, True),
            (1, "c", 2, 1, True, False),
            (2, "c", 1, 1, True, False),
            (2, None, None, 2, True, True),
            (3, "c", 1, 0, True, True),
            (3, None, None, 2, True, True),
            (1, "c", 9, 1, False, True),
        ]
        signed = await rows(connection, "SELECT id FROM transaction ORDER BY id")
        assert await rows(connection, NAMES) == [(number, "Article") for (number,) in signed]


async def test_of_what_a_transaction_undoes_no_name_is_left(own: Own, database: Databases, engine: AsyncEngine) -> None:
    _, Base, manager = declared(own)
    await database(Base, manager)
    async with engine.connect() as connection:
        await connection.exec_driver_sql("INSERT INTO article VALUES (1, 'a', 1)")
        await connection.commit()
        names = await rows(connection, NAMES)
        for undone in (
            ["UPDATE article SET name = 'b'", "UPDATE article SET name = 'a'"],
            ["SAVEPOINT s", "UPDATE article SET name = 'b'", "ROLLBACK TO s"],
            ["INSERT INTO article VALUES (2, 'b', 1)", "DELETE FROM article WHERE id = 2"],
        ):
            for statement in undone:
                await connection.exec_driver_sql(statement)
            await connection.commit()
            assert await rows(connection, NAMES) == names
        # And where it does something after all, it has its name again.
        for statement in (*undone, "UPDATE article SET name = 'c'"):
            await connection.exec_driver_sql(statement)
        await connection.commit()
        assert len(await rows(connection, NAMES)) == 2


async def test_another_program_says_why_by_a_setting(own: Own, database: Databases, engine: AsyncEngine) -> None:
    Article, Base, manager = declared(own)
    sessions = await database(Base, manager)
    given = {
        "transaction_meta": [{"key": "reason", "value": "import"}, {"key": "by", "value": "psql"}],
        "pg_proc": [{}],
    }
    say = text("SELECT set_config('async_continuum.rows', :given, true)")
    async with engine.begin() as connection:
        await connection.execute(say, {"given": json.dumps(given)})
        await connection.exec_driver_sql("INSERT INTO article VALUES (1, 'a', 1)")
    async with engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE article SET name = 'b'")
    async with sessions() as session:
        first, second = await ac.versions_of(session, Article, 1)
        assert await (await first.awaitable_attrs.transaction).awaitable_attrs.meta == {
            "reason": "import",
            "by": "psql",
        }
        assert await (await second.awaitable_attrs.transaction).awaitable_attrs.meta == {}


async def test_meta_of_the_transactions_object_is_stored(own: Own, database: Databases) -> None:
    Article, Base, manager = declared(own)
    sessions = await database(Base, manager)
    async with sessions() as session:
        with ac.versioning_context(meta={"by": "hand", "reason": "none"}):
            transaction: Any = await ac.current_transaction(session, model=Article)
            transaction.meta = {"reason": "wins"}
            session.add(Article(id=1, name="a"))
            await session.flush()
            session.add(Article(id=2, name="b"))
            await session.commit()
    async with sessions() as session:
        (version,) = await ac.versions_of(session, Article, 1)
        stored = await (await version.awaitable_attrs.transaction).awaitable_attrs.meta
        assert stored == {"by": "hand", "reason": "wins"}


@pytest.mark.parametrize("given", ["by the context", "on the object"])
async def test_meta_that_nothing_stores_is_refused_and_nothing_is_written(
    own: Own, database: Databases, given: str
) -> None:
    Article, Base, manager = declared(own, plugins=())
    sessions = await database(Base, manager)
    meta = {"reason": "lost"}
    async with sessions() as session:
        with ac.versioning_context(meta=meta if given == "by the context" else {}):
            if given == "on the object":
                transaction: Any = await ac.current_transaction(session, model=Article)
                transaction.meta = meta
            session.add(Article(id=1, name="a"))
            with pytest.raises(ac.ImproperlyConfigured, match=r"reason.*TransactionMetaPlugin"):
                await session.flush()
        await session.rollback()
        assert (await session.scalars(select(Article))).all() == []


class StampPlugin(Plugin):
    """Notes with each transaction which program it was, with a key and a default of the database's own."""

    def transaction_built(self, build: Any) -> None:
        build.transaction_table.info[self] = build.table(
            "stamp", build.transaction_id(primary_key=True), Column("program", String(20)),
            Column("mood", String(20), server_default="calm"),
        )  # fmt: skip

    def transaction_rows(self, signing: Any) -> Any:
        return [(signing.transaction_class.__table__.info[self], [{"program": "it's 100% ours"}])]


async def test_a_plugin_of_the_users_own_has_rows_beside_each_transaction(
    own: Own, database: Databases, engine: AsyncEngine
) -> None:
    Article, Base, manager = declared(own, [StampPlugin()])
    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add(Article(id=1, name="a"))
        await session.commit()
    async with sessions() as session:
        (await session.get_one(Article, 1)).name = "b"
        await session.flush()
        (await session.get_one(Article, 1)).name = "a"
        await session.commit()
    async with engine.connect() as connection:
        assert await rows(connection, "SELECT program, mood FROM stamp") == [("it's 100% ours", "calm")]


async def test_an_activity_keeps_a_transaction_in_which_nothing_else_changed(own: Own, database: Databases) -> None:
    activities = ActivityPlugin()
    Article, Base, manager = declared(own, [activities])
    sessions = await database(Base, manager)
    async with sessions() as session:
        article = Article(id=1, name="a")
        session.add(article)
        await session.commit()
        article.name = "b"
        session.add(activities.activity_cls(verb="read", object=article))
        await session.flush()
        article.name = "a"
        await session.commit()
        (activity,) = await session.scalars(select(activities.activity_cls))
        assert (await activity.awaitable_attrs.transaction).id > (await ac.versions_of(article).last()).transaction_id
        assert (await activity.object_version()).name == "a"


def test_a_plan_with_plugins_is_written_down_and_read_again(own: Own) -> None:
    _, _, manager = declared(own)
    ((_, _, plan),) = manager.coverage.plans({})
    assert plan.flags == (("name", "name_mod"), ("count", "count_mod"))
    assert plan.nulled == ("name", "count")
    again = TriggerPlan.from_dict(json.loads(json.dumps(plan.as_dict())))
    assert again == plan
    assert again.fingerprint == plan.fingerprint


class Following(Plugin):
    def renumbered(self, *_: Any) -> None:
        raise AssertionError("is refused")


class Writing(Plugin):
    def versions_written(self, writing: Any) -> Any:
        raise AssertionError("is refused")


class OtherNames(TransactionChangesPlugin):
    def first_versions(self, writing: Any) -> Any:
        raise AssertionError("is refused")


class Sizes(Plugin):
    def version_columns(self, history: Any) -> Any:
        return [AddedColumn(Column("size", String(20)), lambda _: literal("big"))]


class Hidden(Plugin):
    def deleted_value(self, history: Any, column: Any) -> Any:
        return literal("hidden")


@pytest.mark.parametrize(
    "plugin", [Following(), Writing(), OtherNames(), Sizes(), Hidden()], ids=lambda p: type(p).__name__
)
def test_what_triggers_cannot_do_for_a_plugin_is_refused(own: Own, plugin: Plugin) -> None:
    with pytest.raises(ac.ImproperlyConfigured, match=type(plugin).__name__):
        declared(own, [plugin])


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("kinds", [("animal", "dog", "cat"), (0, 1, 2)], ids=["text", "numbers"])
async def test_classes_of_one_table_are_named_as_sessions_name_them(
    own: Own, database: Databases, engine: AsyncEngine, native: bool, kinds: tuple[Any, ...]
) -> None:
    Base, manager = own(options={"native_versioning": native}, plugins=[TransactionChangesPlugin(), NullDeletePlugin()])

    class Animal(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "animal"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": kinds[0]}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[Any] = mapped_column("the kind", String(10) if isinstance(kinds[0], str) else Integer)
        name: Mapped[str | None] = mapped_column(String(10))

    class Dog(Animal):
        __mapper_args__ = {"polymorphic_identity": kinds[1]}

    class Cat(Animal):
        __mapper_args__ = {"polymorphic_identity": kinds[2]}

    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add_all([Animal(id=1), Dog(id=2), Cat(id=3), Cat(id=4)])
        await session.commit()
        cats = [await session.get_one(Cat, n) for n in (3, 4)]
        for cat in cats:
            cat.name = "c"
        await session.commit()
        dog = await session.get_one(Dog, 2)
        dog.name = "d"
        await session.flush()
        cats[0].name = "e"
        await session.commit()
        # What changes nothing is not named.
        await session.execute(text("""UPDATE animal SET name = 'd' WHERE "the kind" = :dog"""), {"dog": kinds[1]})
        cats[1].name = "f"
        await session.commit()
        await session.delete(cats[0])
        await session.commit()
        # Nor what is undone.
        dog.name = "x"
        await session.flush()
        dog.name = "d"
        await session.flush()
        cats[1].name = "g"
        await session.commit()
    async with engine.connect() as connection:
        named: dict[int, list[str]] = {}
        for transaction_id, name in await rows(connection, NAMES):
            named.setdefault(transaction_id, []).append(name)
        assert list(named.values()) == [["Animal", "Cat", "Dog"], ["Cat"], ["Cat", "Dog"], ["Cat"], ["Cat"], ["Cat"]]


async def test_classes_of_one_table_are_named_whoever_writes(
    own: Own, database: Databases, engine: AsyncEngine
) -> None:
    Base, manager = own(options={"native_versioning": True}, plugins=[TransactionChangesPlugin()])

    class Animal(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "animal"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(String(10))
        name: Mapped[str | None] = mapped_column(String(10))

    type("Dog", (Animal,), {"__mapper_args__": {"polymorphic_identity": "dog"}})
    type("Cat", (Animal,), {"__mapper_args__": {"polymorphic_identity": "cat"}})
    (plan,) = [plan for _, _, plan in manager.coverage.plans({})]
    # As a migration writes it down.
    assert TriggerPlan.from_dict(json.loads(json.dumps(plan.as_dict()))) == plan
    assert [name for _, name in plan.classes] == ["Animal", "Dog", "Cat"]
    await database(Base, manager)
    async with engine.connect() as connection:
        for transaction in (
            ["INSERT INTO animal VALUES (1, 'animal', 'a'), (2, 'dog', 'd'), (3, 'cat', 'c')"],
            ["UPDATE animal SET name = 'd'"],
            ["UPDATE animal SET name = 'x' WHERE id = 1", "UPDATE animal SET id = 4 WHERE id = 3"],
            # Inserted and gone again, beside what stays.
            ["INSERT INTO animal VALUES (9, 'dog', 'n')", "DELETE FROM animal WHERE id = 9"],
            [
                "INSERT INTO animal VALUES (9, 'dog', 'n')",
                "UPDATE animal SET name = 'y' WHERE id = 1",
                "DELETE FROM animal WHERE id = 9",
            ],
            ["DELETE FROM animal WHERE kind = 'dog'", "INSERT INTO animal VALUES (2, 'cat', 'd')"],
            ["TRUNCATE animal"],
        ):
            for statement in transaction:
                await connection.exec_driver_sql(statement)
            await connection.commit()
        assert [name for _, name in await rows(connection, NAMES)] == [
            *("Animal", "Cat", "Dog"),
            *("Animal", "Cat"),
            *("Animal", "Cat"),
            "Animal",
            *("Cat", "Dog"),
            *("Animal", "Cat"),
        ]


@pytest.mark.parametrize("which", ["joined", "expression"])
def test_classes_that_no_column_of_their_table_tells_are_not_named(own: Own, which: str) -> None:
    Base, _ = own(options={"native_versioning": True}, plugins=[TransactionChangesPlugin()])

    class Animal(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(String(10))
        __mapper_args__ = {
            "polymorphic_on": case((kind == "d", "dog"), else_="animal") if which == "expression" else kind,
            "polymorphic_identity": "animal",
        }

    below: dict[str, Any] = {"__mapper_args__": {"polymorphic_identity": "dog"}}
    if which == "joined":
        below |= {"__tablename__": "dog", "id": mapped_column(ForeignKey("animal.id"), primary_key=True)}
    with pytest.raises(ac.ImproperlyConfigured, match="TransactionChangesPlugin"):
        type("Dog", (Animal,), below)

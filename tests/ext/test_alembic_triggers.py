"""Triggers are created, replaced and dropped by migrations, which hold all that they need."""

import subprocess
import sys
from ast import literal_eval
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.orm import Session

from async_continuum import ImproperlyConfigured
from async_continuum.ext.alembic.triggers import plan_from, said_of
from async_continuum.native import TransactionPlan, TriggerPlan, installed
from tests.ext.test_alembic import SHOP, engine_now, project, projects

__all__ = ["engine_now", "project", "projects"]

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

CREATE = 'op.create_version_triggers("product", columns=["id", "title", "cost", "secret", "gone"])'
DROP = 'op.drop_version_triggers("product")'

RENAMED = """
triggers = {"columns": ["id", "title", "cost", "secret", "gone"]}
op.rename_versioned_table("product", "item", triggers=triggers)
op.rename_versioned_column("item", "title", "name", triggers={"columns": ["id", "name", "cost", "secret", "gone"]})
op.add_versioned_column(
    "item", sa.Column("size", sa.Integer(), server_default="3"),
    triggers={"columns": ["id", "name", "cost", "secret", "gone", "size"]},
)
op.drop_versioned_column("item", "gone", triggers={"columns": ["id", "name", "cost", "secret", "size"]})
op.sync_version_triggers("item", columns=["id", "name", "cost", "secret", "size"], on_truncate="refuse")
"""

BACK = """
op.add_versioned_column("item", sa.Column("gone", sa.String(50)))
op.drop_versioned_column("item", "size", triggers={"columns": ["id", "name", "cost", "secret", "gone"]})
op.rename_versioned_column("item", "name", "title", triggers={"columns": ["id", "title", "cost", "secret", "gone"]})
op.rename_versioned_table("item", "product", triggers={"columns": ["id", "title", "cost", "secret", "gone"]})
"""


def write(engine: Engine, *statements: str) -> None:
    """Write past the ORM, each in a transaction of its own."""
    for statement in statements:
        with engine.begin() as connection:
            connection.execute(text(statement))


def history(engine: Engine, table: str, *columns: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        rows = connection.execute(
            text(f"SELECT operation_type, {', '.join(columns)} FROM {table} ORDER BY transaction_id, id")
        )
        return [tuple(row) for row in rows]


def test_triggers_come_change_and_go_with_migrations(project, engine_now):
    project.declare(SHOP)
    project.autogenerate()
    project.write(CREATE, DROP)
    project.upgrade()
    write(engine_now, "INSERT INTO product (id, title) VALUES (1, 'a')", "UPDATE product SET title = 'b'")
    assert history(engine_now, "product_version", "id", "title") == [(0, 1, "a"), (1, 1, "b")]

    project.write(RENAMED, BACK)
    project.upgrade()
    write(engine_now, "UPDATE item SET name = 'c', size = 4")
    told = history(engine_now, "item_version", "id", "name", "size")
    assert told == [(0, 1, "a", None), (1, 1, "b", 3), (1, 1, "c", 4)]
    with pytest.raises(Exception, match="not truncated"):
        write(engine_now, "TRUNCATE item")

    project.downgrade("-1")
    write(engine_now, "UPDATE product SET title = 'd'")
    assert history(engine_now, "product_version", "id", "title")[-1] == (1, 1, "d")
    project.downgrade("-1")
    write(engine_now, "UPDATE product SET title = 'e'")
    assert history(engine_now, "product_version", "id", "title")[-1] == (1, 1, "d")
    with engine_now.connect() as connection:
        assert installed(connection) == {}
    assert left(engine_now) == 0
    project.downgrade()
    assert inspect(engine_now).get_table_names() == ["alembic_version"]


def test_scripts_with_triggers_run_offline(project, engine_now):
    project.declare(SHOP)
    project.autogenerate()
    project.write(CREATE, DROP)
    up, down = project.sql("head"), project.sql("head:base", down=True)
    with engine_now.begin() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")  # autogenerate has made it
        connection.connection.cursor().execute(up)
    write(engine_now, "INSERT INTO product (id, title) VALUES (1, '100%')")
    assert history(engine_now, "product_version", "id", "title") == [(0, 1, "100%")]
    with engine_now.begin() as connection:
        connection.connection.cursor().execute(down)
    assert inspect(engine_now).get_table_names() == ["alembic_version"]


PLANS = [
    TriggerPlan("a", "a_version", ("id",), ("id",), TransactionPlan("transaction")),
    TriggerPlan(
        "A b",
        "hist_a",
        ("x", "y", "z"),
        ("x", "y"),
        TransactionPlan("tx", schema="log", columns=("user_id",), sequence="s", sequence_schema="log"),
        schema="app",
        versions_schema="log",
        begins="tx_id",
        ends=None,
        operation="op",
        twins=("id",),
        on_truncate="refuse",
    ),
    TriggerPlan(
        "a", "a_version", ("id",), ("id",), TransactionPlan("transaction", "s"), schema="s", versions_schema="s"
    ),
]


NATIVE = "{'native_versioning': True}"

SHELF = """
link = Table(
    "shelf_mark", Base.metadata,
    Column("shelf_id", ForeignKey("shelf.id", ondelete="CASCADE"), primary_key=True),
    Column("mark_id", ForeignKey("mark.id"), primary_key=True),
)

class Mark(Versioned, Base):
    __tablename__ = "mark"
    id: Mapped[int] = mapped_column(primary_key=True)

class Shelf(Versioned, Base):
    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str | None] = mapped_column(String(50))
    marks: Mapped[list[Mark]] = relationship(secondary=lambda: link)
"""

SHELF_LATER = SHELF.replace(
    "    title: Mapped[str | None] = mapped_column(String(50))\n",
    '    height: Mapped[int] = mapped_column(server_default="3")\n',
).replace('(Versioned, Base):\n    __tablename__ = "mark"', '(Base):\n    __tablename__ = "mark"')


def test_autogenerate_sees_triggers_that_are_missing_stale_or_left_over(project, engine_now, database):
    project.declare(SHELF)
    project.autogenerate()
    project.upgrade()
    shelf = project.declare(SHELF, options=NATIVE)
    script = project.autogenerate()
    assert script.count("op.create_version_triggers(") == script.count("op.drop_version_triggers(") == 3
    project.upgrade()
    project.check()
    database.managers = {shelf.manager: None}
    write(
        engine_now,
        "INSERT INTO shelf VALUES (1, 'a')",
        "INSERT INTO mark VALUES (1)",
        "INSERT INTO shelf_mark VALUES (1, 1)",
    )
    with Session(engine_now) as session:
        session.get_one(shelf.Shelf, 1).title = "b"
        session.commit()
    assert history(engine_now, "shelf_version", "id", "title") == [(0, 1, "a"), (1, 1, "b")]
    assert history(engine_now, "shelf_mark_version", "shelf_id AS id", "mark_id") == [(0, 1, 1)]

    # Somebody has switched one off: it is put right.
    write(engine_now, "ALTER TABLE shelf DISABLE TRIGGER async_continuum_update")
    assert "op.sync_version_triggers('shelf'" in project.autogenerate()
    project.upgrade()
    project.check()

    later = project.declare(SHELF_LATER, options=NATIVE)
    script = project.autogenerate()
    assert "op.sync_version_triggers('shelf',\n        columns=['id', 'height']" in script
    assert "op.sync_version_triggers('shelf',\n        columns=['id', 'title']" in script
    assert "op.drop_version_triggers('mark'" in script
    project.upgrade()
    project.check()
    database.managers = {later.manager: None}
    write(engine_now, "INSERT INTO shelf VALUES (2, 4)", "DELETE FROM shelf WHERE id = 1")
    assert history(engine_now, "shelf_version", "id", "height") == [(0, 1, None), (1, 1, 3), (0, 2, 4), (2, 1, 3)]
    assert history(engine_now, "shelf_mark_version", "shelf_id AS id", "mark_id") == [(0, 1, 1), (2, 1, 1)]

    project.downgrade("-1")
    write(engine_now, "INSERT INTO mark VALUES (2)", "UPDATE shelf SET title = 'c'")
    assert history(engine_now, "shelf_version", "id", "title")[-1] == (1, 2, "c")
    assert history(engine_now, "mark_version", "id")[-1] == (0, 2)

    # From the base again, with models that know nothing of triggers any more; they are dropped at the end.
    database.managers = {}
    project.downgrade()
    assert left(engine_now) == 0
    project.declare(SHELF_LATER)
    project.upgrade()
    script = project.autogenerate()
    assert script.count("op.drop_version_triggers(") == script.count("op.create_version_triggers(") == 2
    project.upgrade()
    project.check()
    assert left(engine_now) == 0
    project.downgrade()
    assert left(engine_now) == 0
    assert inspect(engine_now).get_table_names() == ["alembic_version"]


ZOO = """
class Animal(Versioned, Base):
    __tablename__ = "animal"
    __versioned__ = {"record_if": "RECORDED"}
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str | None] = mapped_column(String(50))
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

class Cat(Animal):
    __tablename__ = "cat"
    id: Mapped[int] = mapped_column(ForeignKey("animal.id", ondelete="CASCADE"), primary_key=True)
    lives: Mapped[int | None]
    __mapper_args__ = {"polymorphic_identity": "cat"}
""".replace('"RECORDED"', 'Column("name", String).is_distinct_from("nobody%")')

KITTEN = """
class Kitten(Cat):
    __tablename__ = "kitten"
    id: Mapped[int] = mapped_column(ForeignKey("cat.id", ondelete="CASCADE"), primary_key=True)
    toy: Mapped[str | None] = mapped_column(String(20))
    __mapper_args__ = {"polymorphic_identity": "kitten"}

class Fish(Animal):
    __versioned__ = {"versioning": False}
    __mapper_args__ = {"polymorphic_identity": "fish"}
"""


def test_a_hierarchy_migrates_as_a_whole(project, engine_now, database):
    project.declare(ZOO, options=NATIVE)
    assert project.autogenerate().count("op.create_version_triggers(") == 2
    project.upgrade()
    project.check()
    first = "WITH a AS (INSERT INTO animal VALUES (1, 'cat', 'a'), (2, 'cat', 'nobody%'))"
    write(engine_now, f"{first} INSERT INTO cat VALUES (1, 9), (2, 9)", "UPDATE cat SET lives = 8")
    assert history(engine_now, "animal_version", "id", "name") == [(0, 1, "a"), (1, 1, "a")]

    # One more table, one more column, and a class that shares a table and keeps no history.
    later = project.declare((ZOO + KITTEN).replace("lives:", "age: Mapped[int | None]\n    lives:"), options=NATIVE)
    script = project.autogenerate()
    upgrade = script.partition("def downgrade")[0]
    assert upgrade.count("op.create_version_triggers(") == 1
    assert upgrade.count("op.sync_version_triggers(") == 2
    project.upgrade()
    project.check()
    database.managers = {later.manager: None}
    database.unaccounted = True
    more = "WITH a AS (INSERT INTO animal VALUES (3, 'fish', 'c'), (4, 'kitten', 'd'))"
    more = f"{more}, c AS (INSERT INTO cat (id, age) VALUES (4, 1)) INSERT INTO kitten VALUES (4, 'ball')"
    write(engine_now, "UPDATE cat SET age = 3 WHERE id = 1", more)
    assert history(engine_now, "cat_version", "id", "age")[2:] == [(1, 1, 3), (0, 4, 1)]
    assert history(engine_now, "animal_version", "id", "name")[2:] == [(1, 1, "a"), (0, 4, "d")]

    # Renamed in a table below: the triggers of all of them name the column.
    given = next(
        said_of(plan) for _, history, plan in later.manager.coverage.plans({}) if history.table.name == "kitten"
    )
    renamed = literal_eval(repr(given).replace("'toy'", "'plaything'"))
    project.autogenerate()
    project.write(
        f"op.rename_versioned_column('kitten', 'toy', 'plaything', triggers={renamed!r})",
        f"op.rename_versioned_column('kitten', 'plaything', 'toy', triggers={given!r})",
    )
    project.upgrade()
    write(engine_now, "UPDATE animal SET name = 'e' WHERE id = 4")
    assert history(engine_now, "kitten_version", "id", "plaything")[-1] == (1, 4, "ball")

    database.managers = {}
    project.downgrade("-2")
    write(engine_now, "UPDATE cat SET lives = 1 WHERE id = 1")
    assert history(engine_now, "animal_version", "id", "name")[-1] == (1, 1, "a")
    project.downgrade()
    assert left(engine_now) == 0
    assert inspect(engine_now).get_table_names() == ["alembic_version"]


def test_a_script_brings_the_operations_that_it_needs(project, engine_now, database):
    project.declare(SHELF, options=NATIVE)
    script = project.autogenerate()
    database.managers = {}
    line = "import async_continuum.ext.alembic  # noqa: F401"
    assert script.count(line) == 1
    without = "from alembic import op; assert not hasattr(op, 'create_version_triggers')"
    done = subprocess.run([sys.executable, "-c", f"{without}\n{line}\nop.create_version_triggers"], check=False)
    assert done.returncode == 0


def test_tables_of_plugins_are_there_before_the_triggers_that_write_them(project, engine_now, database):
    plugins = (
        "[plugins.TransactionChangesPlugin(), plugins.PropertyModTrackerPlugin(), plugins.TransactionMetaPlugin()]"
    )
    project.declare(SHELF, options=NATIVE, plugins=plugins)
    script = project.autogenerate()
    assert "'flags': " not in script
    assert "flags=[['title', 'title_mod']]" in script
    project.upgrade()
    project.check()
    write(engine_now, "INSERT INTO shelf VALUES (1, 'a')", "UPDATE shelf SET title = 'b'")
    assert history(engine_now, "shelf_version", "id", "title", "title_mod") == [(0, 1, "a", True), (1, 1, "b", True)]
    # Without the plugins: their tables go, and triggers write them no more.
    shelf = project.declare(SHELF, options=NATIVE)
    assert "op.sync_version_triggers('shelf'" in project.autogenerate()
    project.upgrade()
    project.check()
    database.managers = {shelf.manager: None}
    write(engine_now, "UPDATE shelf SET title = 'c'")
    assert history(engine_now, "shelf_version", "id", "title")[-1] == (1, 1, "c")
    project.downgrade("-1")
    write(engine_now, "UPDATE shelf SET title = 'd'")
    with engine_now.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM transaction_changes WHERE entity_name = 'Shelf'")) == 1
    database.managers = {}
    project.downgrade()
    assert left(engine_now) == 0


def test_a_view_is_told_before_a_script_is_written_and_by_one_that_wants_triggers_on_it(project, engine_now):
    shelf = project.declare(SHELF, options=NATIVE)
    write(engine_now, "CREATE TABLE stored (id integer PRIMARY KEY, title text)")
    write(engine_now, "CREATE VIEW shelf AS SELECT id, title FROM stored")
    with pytest.raises(ImproperlyConfigured, match="'shelf' is a view in the database") as caught:
        project.autogenerate()
    assert caught.value.model is shelf.Shelf
    assert "native_versioning': False" in str(caught.value)


@pytest.mark.parametrize("options", [NATIVE, "{'native_versioning': True, 'transaction_table_name': 'signature'}"])
def test_what_is_dropped_by_hand_takes_nothing_from_the_others(project, engine_now, database, options):
    """The triggers that stay sign as before: with columns and companions of which the script says nothing."""
    user = """
class User(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
"""
    project.declare(SHELF + user, options=options, user_cls="User", plugins="[plugins.TransactionMetaPlugin()]")
    project.autogenerate()
    project.upgrade()
    project.write('op.drop_version_triggers("shelf")', "pass")
    project.upgrade()
    signed = "signature" if "signature" in options else "transaction"
    given = """SELECT set_config('async_continuum.context', '{"user_id": 7}', true),
        set_config('async_continuum.rows', '{"transaction_meta": [{"key": "why", "value": "import"}]}', true)"""
    with engine_now.begin() as connection:
        connection.execute(text(given.replace(":", r"\:")))
        connection.execute(text("INSERT INTO shelf VALUES (1, 'a')"))
        connection.execute(text("INSERT INTO mark VALUES (1)"))
    with engine_now.begin() as connection:
        # One that is overtaken moves what is left to move, and one that undoes what it did leaves nothing.
        connection.execute(text("INSERT INTO mark VALUES (2)"))
        with engine_now.begin() as younger:
            younger.execute(text("INSERT INTO mark VALUES (3)"))
        connection.execute(text("DELETE FROM mark WHERE id = 3"))
    with engine_now.begin() as connection:
        connection.execute(text("INSERT INTO mark VALUES (4)"))
        connection.execute(text("DELETE FROM mark WHERE id = 4"))
    with engine_now.connect() as connection:
        users = list(connection.scalars(text(f"SELECT user_id FROM {signed} ORDER BY id")))
        assert users == [7, None, None]
        assert list(connection.scalars(text("SELECT value FROM transaction_meta"))) == ["import"]
        assert connection.scalar(text("SELECT count(*) FROM shelf_version")) == 0
    assert history(engine_now, "mark_version", "id") == [(0, 1), (0, 3), (0, 2), (2, 3)]
    # And the last ones take all of it with them.
    project.write("\n".join(f'op.drop_version_triggers("{name}")' for name in ("mark", "shelf_mark")), "pass")
    project.upgrade()
    assert left(engine_now) == 0
    database.managers = {}


def left(engine: Engine) -> Any:
    """Count the functions of ours that are in the database."""
    with engine.connect() as connection:
        return connection.scalar(text("SELECT count(*) FROM pg_proc WHERE prosrc LIKE '%async_continuum%'"))


@pytest.mark.parametrize("plan", PLANS, ids=["default", "everything", "schema"])
def test_what_a_script_says_is_the_plan_again(plan, backend):
    assert plan_from(plan.name, **said_of(plan)) == plan


@pytest.mark.skipif(not hasattr(TriggerPlan, "append_only"), reason="history that only grows is not built yet")
def test_data_steps_of_a_history_that_only_grows_are_let_through(project, engine_now, database):
    options = "{'native_versioning': True, 'append_only': True}"
    project.declare(SHELF, options=options)
    project.autogenerate()
    project.upgrade()
    write(engine_now, "INSERT INTO shelf VALUES (1, 'a')")
    later = project.declare(SHELF_LATER, options=options)
    script = project.autogenerate()
    assert script.index("op.drop_version_triggers('shelf'") < script.index("fill_open_versions('shelf'")
    project.upgrade()
    project.check()
    database.managers = {later.manager: None}
    assert history(engine_now, "shelf_version", "id", "height") == [(0, 1, 3)]
    with pytest.raises(Exception, match="append-only"):
        write(engine_now, "UPDATE shelf_version SET height = 4")


def test_the_ends_of_a_history_that_only_grows_are_filled_on_the_way_back(project, engine_now, database):
    options = {"native_versioning": True, "append_only": True}
    before = project.declare(SHELF, options=repr(options))
    project.autogenerate()
    project.upgrade()
    write(engine_now, "INSERT INTO shelf VALUES (1, 'a')", "UPDATE shelf SET title = 'b'")
    project.declare(SHELF, options=repr({**options, "strategy": "subquery"}))
    project.autogenerate()
    project.upgrade()
    project.check()
    write(engine_now, "UPDATE shelf SET title = 'c'")
    project.downgrade("-1")
    database.managers = {before.manager: None}
    write(engine_now, "UPDATE shelf SET title = 'd'")
    assert history(engine_now, "shelf_version", "title", "end_transaction_id") == [
        (0, "a", 2), (1, "b", 3), (1, "c", 4), (1, "d", None),
    ]  # fmt: skip


def test_a_condition_goes_and_comes_back_with_its_column(project, engine_now, database):
    note = """
class Note(Versioned, Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
"""
    state = """    state: Mapped[str | None]
    __versioned__ = {"record_if": Column("state").is_(None)}
"""
    project.declare(note + state, options=NATIVE)
    project.autogenerate()
    project.upgrade()
    project.check()
    project.declare(note, options=NATIVE)
    project.autogenerate()
    project.upgrade()
    project.check()
    write(engine_now, "INSERT INTO note (id) VALUES (1)")
    project.downgrade("-1")
    write(engine_now, "INSERT INTO note (id, state) VALUES (2, 'draft'), (3, NULL)")
    assert history(engine_now, "note_version", "id") == [(0, 1), (0, 3)]
    project.downgrade()
    assert left(engine_now) == 0
    project.upgrade()

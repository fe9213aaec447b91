"""Migrations just work: version tables are ordinary tables, and history stays whole through every change."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, select, text
from sqlalchemy.orm import Session

from async_continuum import remove_versioning, version_class
from tests.ext.project import Project
from tests.kit.databases import Databases
from tests.kit.places import Place


@pytest.fixture(autouse=True)
def projects() -> Iterator[list[Project]]:
    """Autouse, so that the models outlive the proof of the invariants."""
    made: list[Project] = []
    yield made
    for project in made:
        for module in project.modules:
            remove_versioning(manager=module.manager)
        project.close()


@pytest.fixture
def project(projects: list[Project], place: Place, tmp_path: Any) -> Project:
    projects.append(Project(tmp_path / "migrations", place.url))
    return projects[-1]


@pytest.fixture
def engine_now(place: Place) -> Engine:
    return place.sync_engine()


def proved(database: Databases, manager: Any) -> None:
    """Have the invariants proved at the end of the test, of these models alone."""
    database.managers = {manager: None}


BLOG = """
link = Table(
    "article_tag", Base.metadata,
    Column("article_id", ForeignKey("article.id"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)

class Tag(Versioned, Base):
    __versioned__ = {"strategy": "subquery"}
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)

class Author(Versioned, Base):
    __versioned__ = {"exclude": ["mood"]}
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    mood: Mapped[str | None] = mapped_column(Enum("glad", "sad", name="mood"))

class Article(Versioned, Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(50))
    body: Mapped[str | None]
    state: Mapped[str] = mapped_column(Enum("draft", "done", name="state"), default="draft")
    author_id: Mapped[int | None] = mapped_column(ForeignKey("author.id"))
    tags: Mapped[list[Tag]] = relationship(secondary=lambda: link)
"""

BLOG_LATER = (
    BLOG.replace('__versioned__ = {"strategy": "subquery"}', "__versioned__ = {}")
    .replace('__versioned__ = {"exclude": ["mood"]}', "__versioned__ = {}")
    .replace(
        "    body: Mapped[str | None]\n",
        '    language: Mapped[str] = mapped_column(String(10), server_default="en")\n'
        "    note: Mapped[str | None] = mapped_column(Text)\n",
    )
    + """
reader = Table(
    "article_reader", Base.metadata,
    Column("article_id", ForeignKey("article.id"), primary_key=True),
    Column("author_id", ForeignKey("author.id"), primary_key=True),
)
Article.readers = relationship(Author, secondary=lambda: reader)

class Comment(Versioned, Base):
    __tablename__ = "comment"
    id: Mapped[int] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("article.id"))
    text: Mapped[str] = mapped_column(String(50))
"""
)


def test_a_round_trip_leaves_nothing_to_generate_and_history_whole(project, engine_now, database):
    if engine_now.dialect.name == "sqlite":
        project.configure("render_as_batch=True")
    blog = project.declare(BLOG)
    first = project.autogenerate()
    assert "async_continuum" not in first  # it stands without the package
    project.upgrade()
    project.check()
    proved(database, blog.manager)
    with Session(engine_now) as session:
        article = blog.Article(id=1, title="a", body="b", state="done", tags=[blog.Tag(id=1)])
        session.add_all([article, blog.Author(id=1, mood="glad"), blog.Article(id=2, title="gone")])
        session.commit()
        article.title = "A"
        session.delete(session.get_one(blog.Article, 2))
        article.tags = []
        session.commit()
        session.delete(session.get_one(blog.Tag, 1))
        session.add(blog.Tag(id=2))
        session.commit()
        session.add(blog.Tag(id=1))
        session.commit()

    later = project.declare(BLOG_LATER)
    second = project.autogenerate()
    assert "fill_open_versions('article', ['language'], versions='article_version', key=['id'])" in second
    assert "fill_open_versions('author', ['mood'], versions='author_version', key=['id'])" in second
    assert "fill_end_transaction_ids('tag_version', key=['id'])" in second
    project.upgrade()
    project.check()
    proved(database, later.manager)
    with Session(engine_now) as session:
        article = session.get_one(later.Article, 1)
        article.note = "more"
        article.readers = [session.get_one(later.Author, 1)]
        session.add(later.Comment(id=1, article_id=1, text="c"))
        session.delete(session.get_one(later.Tag, 1))
        session.commit()
        versions: Any = version_class(later.Article)
        found = session.execute(select(versions.id, versions.language).order_by(versions.transaction_id, versions.id))
        assert found.all() == [(1, None), (2, None), (1, "en"), (2, None), (1, "en")]

    project.downgrade()
    database.managers = {}
    assert inspect(engine_now).get_table_names() == ["alembic_version"]


KEPT_ELSEWHERE = """
class Animal(Versioned, Base):
    __tablename__ = "animal"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))

class Dog(Animal):
    __tablename__ = "dog"
    __mapper_args__ = {"polymorphic_identity": "dog"}
    id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
    mood: Mapped[str | None] = mapped_column(String(20))
"""

PLUGINS = """[
    plugins.PropertyModTrackerPlugin(), plugins.TransactionChangesPlugin(), plugins.TransactionMetaPlugin(),
    plugins.ActivityPlugin(), plugins.NullDeletePlugin(),
]"""


def test_tables_of_plugins_and_of_hierarchies_are_ordinary_too(project, engine_now, database):
    options = "{'transaction_table_name': 'deed', 'table_name': 'past_%s', 'transaction_column_name': 'tx'}"
    zoo = project.declare(KEPT_ELSEWHERE, options=options, plugins=PLUGINS)
    script = project.autogenerate()
    assert "async_continuum" not in script
    project.upgrade()
    project.check()
    proved(database, zoo.manager)
    with Session(engine_now) as session:
        session.add(zoo.Dog(id=1, mood="sad"))
        session.commit()
        session.get_one(zoo.Dog, 1).mood = "glad"
        session.commit()
    # Without the plugins their tables and columns go, without the class its history.
    project.declare(KEPT_ELSEWHERE.partition("class Dog")[0], options=options)
    script = project.autogenerate()
    assert "op.drop_column('past_animal', 'kind_mod')" in script
    project.upgrade()
    project.check()
    database.managers = {}
    project.downgrade()
    assert inspect(engine_now).get_table_names() == ["alembic_version"]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_history_in_a_schema_of_its_own_migrates_too(project, engine_now, database):
    project.configure(
        "include_schemas=True, include_name=lambda name, kind, _: kind != 'schema' or name in (None, 'history')"
    )
    with engine_now.begin() as connection:
        connection.execute(text("CREATE SCHEMA history"))
    options = "{'schema': 'history'}"
    for source in (BLOG, BLOG_LATER):
        blog = project.declare(source, options=options)
        project.autogenerate()
        project.upgrade()
        project.check()
        proved(database, blog.manager)
        with Session(engine_now) as session:
            session.add(blog.Article(title="a", tags=[blog.Tag()]))
            session.commit()
            session.scalars(select(blog.Article)).first().title = "b"
            session.commit()
    database.managers = {}
    project.downgrade()
    assert inspect(engine_now).get_table_names("history") == []


SHOP = """
class Product(Versioned, Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(50))
    cost: Mapped[int | None]
    secret: Mapped[str | None] = mapped_column(String(50))
    gone: Mapped[str | None] = mapped_column(String(50))
"""


@pytest.mark.parametrize("batch", [False, True], ids=["plain", "batch"])
@pytest.mark.parametrize("ends", ["end_transaction_id", "until"])
def test_the_way_back_to_validity_fills_the_ends_of_versions(project, engine_now, database, batch, ends):
    project.configure(f"render_as_batch={batch}")
    options = {"end_transaction_column_name": ends}
    shop = project.declare(SHOP, options=repr(options))
    project.autogenerate()
    project.upgrade()
    with Session(engine_now) as session:
        product = shop.Product(id=1, title="a")
        session.add_all([product, shop.Product(id=2, title="gone")])
        session.commit()
        product.title = "b"
        session.delete(session.get_one(shop.Product, 2))
        session.commit()
    project.declare(SHOP, options=repr({**options, "strategy": "subquery"}))
    script = project.autogenerate()
    assert "op.execute" not in script.partition("def downgrade")[0]
    project.upgrade()
    project.check()
    assert ends not in {column["name"] for column in inspect(engine_now).get_columns("product_version")}

    project.downgrade("-1")
    proved(database, shop.manager)
    with engine_now.connect() as connection:
        found = connection.execute(text(f"SELECT id, {ends} FROM product_version ORDER BY transaction_id, id"))
        assert found.all() == [(1, 2), (2, 2), (1, None), (2, None)]


SHOP_LATER = """
class Item(Versioned, Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    cost: Mapped[int | None]
    currency: Mapped[str] = mapped_column(String(3), server_default="EUR")
    label: Mapped[str | None] = mapped_column(String(50))
"""

UPGRADE = """
op.rename_versioned_table("product", "item")
op.rename_versioned_column("item", "title", "name")
op.add_versioned_column("item", sa.Column("currency", sa.String(3), server_default="EUR", nullable=False), past="DEM")
op.add_versioned_column("item", sa.Column("label", sa.String(50)), past=sa.func.upper(sa.column("name")))
op.drop_versioned_column("item", "secret", keep_past=True)
op.drop_versioned_column("item", "gone")
"""

DOWNGRADE = """
op.add_versioned_column("item", sa.Column("gone", sa.String(50)))
op.add_column("item", sa.Column("secret", sa.String(50)))
op.drop_versioned_column("item", "label")
op.drop_versioned_column("item", "currency")
op.rename_versioned_column("item", "name", "title")
op.rename_versioned_table("item", "product")
"""


def test_a_table_and_its_history_change_together(project, engine_now, database):
    shop = project.declare(SHOP)
    project.autogenerate()
    project.upgrade()
    with Session(engine_now) as session:
        session.add_all([shop.Product(id=number, title=f"p{number}", secret="s", gone="g") for number in (1, 2)])
        session.commit()
        session.get_one(shop.Product, 1).cost = 5
        session.delete(session.get_one(shop.Product, 2))
        session.commit()

    later = project.declare(SHOP_LATER)
    project.write(UPGRADE, DOWNGRADE)
    project.upgrade()
    project.check()
    proved(database, later.manager)
    with Session(engine_now) as session:
        versions: Any = version_class(later.Item)
        told = select(versions.id, versions.name, versions.currency, versions.label)
        assert session.execute(told.order_by(versions.transaction_id, versions.id)).all() == [
            (1, "p1", "DEM", "P1"),
            (2, "p2", "DEM", "P2"),
            (1, "p1", "EUR", None),
            (2, "p2", "DEM", "P2"),
        ]
        session.get_one(later.Item, 1).name = "one"
        session.commit()
        kept = session.scalars(text("SELECT secret FROM item_version ORDER BY transaction_id, id"))
        assert kept.all() == ["s", "s", "s", "s", None]

    # The kept past would be a difference to the first models, as it is then a column of theirs again: it is none.
    project.downgrade("-1")
    project.forget_newest()
    project.declare(SHOP)
    project.check()
    database.managers = {}
    project.downgrade()
    assert inspect(engine_now).get_table_names() == ["alembic_version"]


def test_an_association_table_is_renamed_with_its_history(project, engine_now, database):
    blog = project.declare(BLOG)
    project.autogenerate()
    project.upgrade()
    with Session(engine_now) as session:
        session.add(blog.Article(id=1, title="a", tags=[blog.Tag(id=1)]))
        session.commit()
    later = project.declare(BLOG.replace('"article_tag"', '"label"'))
    key = "key=['article_id', 'tag_id']"
    project.write(
        f"op.rename_versioned_table('article_tag', 'label', {key})",
        f"op.rename_versioned_table('label', 'article_tag', {key})",
    )
    project.upgrade()
    project.check()
    proved(database, later.manager)
    with Session(engine_now) as session:
        session.get_one(later.Article, 1).tags = []
        session.commit()
        links = session.execute(text("SELECT tag_id, operation_type FROM label_version ORDER BY transaction_id"))
        assert links.all() == [(1, 0), (1, 2)]
    database.managers = {}
    project.downgrade()
    assert inspect(engine_now).get_table_names() == ["alembic_version"]


def test_scripts_are_written_offline(project):
    project.declare(SHOP)
    project.write(UPGRADE, DOWNGRADE)
    up, down = project.sql("head"), project.sql("head:base", down=True)
    for said in (
        "ALTER TABLE product_version RENAME TO item_version",
        "UPDATE item_version SET currency='DEM'",
        "UPDATE item_version SET label=upper(name)",
        "ALTER TABLE item DROP COLUMN secret",
    ):
        assert said in up
    assert "ALTER TABLE item_version DROP COLUMN secret" not in up
    assert re.search("ALTER TABLE item_version RENAME (COLUMN )?title TO name", up)
    assert "uq_item_version_open" in up
    assert "ALTER TABLE item_version RENAME TO product_version" in down


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_operations_know_their_way_back(project):
    from alembic.autogenerate import render_python_code  # noqa: F401
    from sqlalchemy import Column, Integer

    from async_continuum.ext import alembic as ext
    from async_continuum.ext.alembic.tables import Tables
    from async_continuum.ext.alembic.triggers import plan_from

    plan = plan_from("product", columns=["id", "title"])
    tables = Tables.of("product", {})
    rename = ext.RenameVersionedColumnOp(tables, "title", "name", {}, plan_from("product", columns=["id", "name"]))
    assert rename.reverse().triggers == plan
    assert rename.reverse().reverse().to_diff_tuple() == rename.to_diff_tuple()
    add = ext.AddVersionedColumnOp(tables, Column("title", Integer), None, plan)
    assert add.reverse().triggers == plan_from("product", columns=["id"])
    assert add.reverse().reverse().triggers == plan
    kept = ext.DropVersionedColumnOp(tables, "title", Column("title", Integer), None, keep_past=True)
    assert kept.reverse().was_kept
    with pytest.raises(ValueError, match="existing="):
        ext.DropVersionedColumnOp(tables, "title", None, None, keep_past=False).reverse()
    moved = ext.RenameVersionedTableOp(tables, "item", "item_version", plan, plan_from("item", columns=["id", "title"]))
    assert moved.reverse().after == plan
    assert moved.reverse().reverse().to_diff_tuple() == moved.to_diff_tuple()
    sync = ext.SyncVersionTriggersOp(plan, plan_from("product", columns=["id"]))
    assert sync.reverse().reverse().plan == plan
    assert ext.CreateVersionTriggersOp(plan).reverse().reverse().plan == plan


SHRINKING = """
class Article(Versioned, Base):
    __tablename__ = "article"
    __versioned__ = OPTIONS_OF_ARTICLE
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(50))
"""
GOING = '    language: Mapped[str] = mapped_column(String(10), server_default="en")\n    note: Mapped[str | None]\n'


@pytest.mark.parametrize("strategy", ["{}", "{'strategy': 'subquery'}"])
@pytest.mark.parametrize("batch", [False, True])
def test_the_way_back_to_a_column_gives_open_versions_what_live_rows_get(
    project, engine_now, database, batch, strategy
):
    if batch or engine_now.dialect.name == "sqlite":
        project.configure("render_as_batch=True")
    source = SHRINKING.replace("OPTIONS_OF_ARTICLE", "{}") + GOING
    before = project.declare(source + "    secret: Mapped[str | None]\n")
    project.autogenerate()
    project.upgrade()
    with Session(engine_now) as session:
        session.add_all([before.Article(id=1, title="a", language="de", secret="s"), before.Article(id=2, title="b")])
        session.commit()
        session.get_one(before.Article, 1).title = "A"
        session.delete(session.get_one(before.Article, 2))
        session.commit()

    options = strategy.replace("{", "{'exclude': ['secret'], ")
    later = project.declare(SHRINKING.replace("OPTIONS_OF_ARTICLE", options) + "    secret: Mapped[str | None]\n")
    script = project.autogenerate()
    assert "op.execute(fill_open_versions" not in script.partition("def downgrade")[0]
    project.upgrade()
    project.check()
    proved(database, later.manager)
    project.downgrade("-1")
    database.managers = {}
    with Session(engine_now) as session:
        versions: Any = version_class(before.Article)
        found = session.execute(
            select(versions.id, versions.language, versions.note, versions.secret).order_by(
                versions.transaction_id, versions.id
            )
        )
        assert found.all() == [
            (1, None, None, None),
            (2, None, None, None),
            (1, "en", None, "s"),
            (2, None, None, None),
        ]
    project.forget_newest()
    project.declare(source + "    secret: Mapped[str | None]\n")
    project.check()
    proved(database, before.manager)

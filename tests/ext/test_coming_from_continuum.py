"""What SQLAlchemy-Continuum 2.0.0 has written is read, reverted and continued, with a migration or without one."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, selectinload

from async_continuum import (
    Change,
    deleted,
    transaction_class,
    version_class,
    versioning_context,
    versions_of,
)
from async_continuum.schema import fill_end_transaction_ids
from tests.ext.test_alembic import project, projects
from tests.kit.backends import POSTGRESQL_URL
from tests.kit.places import Place

__all__ = ["project", "projects"]

pytest.importorskip("sqlalchemy_continuum", reason="sqlalchemy-continuum is not installed")

ROOT = Path(__file__).parents[2]

MODELS = """
from datetime import date
from sqlalchemy import Unicode, UnicodeText, text

article_tag = Table(
    "article_tag",
    Base.metadata,
    Column("article_id", ForeignKey("article.id"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)

class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(50))

class Tag(Versioned, Base):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(Unicode(50))

class Article(Versioned, Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Unicode(255))
    content: Mapped[str | None] = mapped_column(UnicodeText)
    created: Mapped[date | None] = mapped_column(server_default=text("'2020-01-01'"))
    tags: Mapped[list[Tag]] = relationship(secondary=article_tag, order_by=Tag.id)

class Seat(Versioned, Base):
    __versioned__ = {"exclude": ["secret"]}
    __tablename__ = "seat"
    hall: Mapped[str] = mapped_column(String(20), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    guest: Mapped[str | None] = mapped_column(String(20))
    secret: Mapped[str | None] = mapped_column(String(20))

class Document(Versioned, Base):
    __tablename__ = "document"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "document"}
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str | None] = mapped_column(String(20))
    title: Mapped[str | None] = mapped_column(String(50))

class Report(Document):
    __tablename__ = "report"
    __mapper_args__ = {"polymorphic_identity": "report"}
    id: Mapped[int] = mapped_column(ForeignKey("document.id"), primary_key=True)
    pages: Mapped[int | None]

class Letter(Document):
    __mapper_args__ = {"polymorphic_identity": "letter"}
    addressee: Mapped[str | None] = mapped_column(String(50))
"""


def let_continuum_write(place: Place, *options: str) -> None:
    """Let the real package write, in a process of its own."""
    url = place.url.set(drivername="sqlite" if place.backend == "sqlite" else "postgresql+psycopg")
    program = [sys.executable, str(Path(__file__).with_name("continuum_life.py"))]
    written_to = url.render_as_string(hide_password=False)
    run = subprocess.run([*program, written_to, *options], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.fixture
def models(place: Place, project: Any) -> Any:
    let_continuum_write(place)
    return project.declare(MODELS, user_cls="User")


def all_of(session: AsyncSession, models: Any, key: int) -> Any:
    return versions_of(session, models.Article, key)


async def goes_on(sessions: async_sessionmaker[AsyncSession], models: Any) -> None:
    """Read what Continuum wrote, take some of it back, and write more."""
    ArticleVersion: Any = version_class(models.Article)
    Transaction: Any = transaction_class(models.Article)
    async with sessions() as session:
        told = [
            (version.operation_type.name, version.name, version.content) for version in await all_of(session, models, 1)
        ]
        assert told == [("INSERT", "first", "a"), ("UPDATE", "First", None)]
        newest: Any = await all_of(session, models, 1)[-1]
        assert await newest.changeset() == {"name": Change("first", "First"), "content": Change("a", None)}
        assert [version.id for version in await session.scalars(deleted(models.Article))] == [2]
        seats: Any = await versions_of(session, models.Seat, ("x", 1))
        assert [seat.guest for seat in seats] == ["bob", "eve"]

        # Links as they were, once their ends are filled.
        tags = select(ArticleVersion).where(ArticleVersion.id == 1).order_by(ArticleVersion.transaction_id)
        versions = (await session.scalars(tags.options(selectinload(ArticleVersion.tags)))).all()
        assert [[tag.name for tag in version.tags] for version in versions] == [["red"], ["red", "blue"]]
        transactions = (await session.scalars(select(Transaction).order_by(Transaction.id))).all()
        assert len(transactions) == 8
        assert all(transaction.issued_at.tzinfo is not None for transaction in transactions)
        assert set(await transactions[1].entity_names()) == {"Article"}

        reports: Any = await versions_of(session, models.Report, 1)
        pages = [(each.operation_type.name, each.title, each.pages) for each in reports]
        assert pages[:3] == [("INSERT", "year", 5), ("UPDATE", "Year", 5), ("UPDATE", "Year", 6)]
        assert [each[0] for each in pages[3:]] == ["DELETE"]
        letters: Any = await versions_of(session, models.Document, 2)
        assert [(type(each), each.addressee) for each in letters] == [
            (version_class(models.Letter), "eve"),
            (version_class(models.Letter), "ann"),
        ]

        with versioning_context(user=await session.get_one(models.User, 1), remote_addr="10.0.0.7"):
            lost: Any = await all_of(session, models, 2)[0]
            article: Any = await lost.revert(session)
            assert article.name == "second"
            await versions[0].revert(session, relations=["tags"])
            report: Any = await reports[1].revert(session)
            assert (type(report), report.title, report.pages) == (models.Report, "Year", 5)
            await letters[0].revert(session)
            await session.commit()
            (await session.get_one(models.Seat, ("x", 1))).guest = "dan"
            await session.delete(await session.get_one(models.Tag, 2))
            await session.commit()
        last = (await session.scalars(select(Transaction).order_by(Transaction.id.desc()).limit(1))).one()
        assert (last.user_id, last.remote_addr) == (1, "10.0.0.7")
        first: Any = await session.get_one(models.Article, 1)
        assert (first.name, [tag.name for tag in await first.awaitable_attrs.tags]) == ("first", ["red"])
        assert [version.name for version in await all_of(session, models, 1)] == ["first", "First", "first"]


async def test_it_goes_on_with_no_change_of_schema(database, engine, models):
    async with engine.begin() as connection:
        await connection.execute(fill_end_transaction_ids(models.article_tag))
    database.managers = {models.manager: None}
    await goes_on(async_sessionmaker(engine), models)


NEW_TRANSACTION_TABLE = """
with op.batch_alter_table(
    "transaction",
    recreate="always",
    naming_convention={"fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s"},
    table_kwargs={"sqlite_autoincrement": True},
) as batch:
    batch.drop_constraint("fk_transaction_user_id_user", type_="foreignkey")
"""


def test_a_migration_brings_its_tables_to_ours(database, engine, project, models):
    script = project.autogenerate()
    assert "fill_end_transaction_ids('article_tag_version', key=['article_id', 'tag_id'])" in script
    project.upgrade()
    project.check()
    if engine.dialect.name == "sqlite":
        project.write(NEW_TRANSACTION_TABLE, "pass")
        project.upgrade()
        project.check()
    database.managers = {models.manager: None}

    async def later() -> None:
        await goes_on(async_sessionmaker(engine), models)
        await engine.dispose()

    asyncio.run(later())


TABLES = ("article", "tag", "seat", "document", "report")

REPLACED = "\n".join(
    [
        f'op.execute("DROP {dropped}")'
        for table in TABLES
        for dropped in (f"TRIGGER {table}_trigger ON {table}", f"FUNCTION {table}_audit()")
    ]
    + [
        """op.execute('DROP TRIGGER transaction_trigger ON "transaction"')""",
        'op.execute("DROP FUNCTION transaction_temp_table_generator()")',
    ]
)


def replaced(project):
    """Put our triggers in the place of Continuum's, by a migration."""
    # Hierarchies go on, recorded by sessions.
    by_sessions = '    __versioned__ = {"native_versioning": False}\n    __tablename__ = "document"'
    source = MODELS.replace('    __tablename__ = "document"', by_sessions)
    models = project.declare(source, options="{'native_versioning': True}", user_cls="User")
    project.write(REPLACED, "pass")
    project.upgrade()
    assert project.autogenerate().count("op.create_version_triggers(") == 4
    project.upgrade()
    project.check()
    return models


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_what_its_native_triggers_wrote_of_a_whole_life_goes_on(database, place, project):
    with place.sync_engine().begin() as connection:
        if not connection.scalar(text("SELECT count(*) FROM pg_available_extensions WHERE name = 'hstore'")):
            pytest.skip(
                f"Continuum's triggers need the extension hstore: give a server that has it in {POSTGRESQL_URL}"
            )
        connection.execute(text("CREATE EXTENSION hstore"))
    let_continuum_write(place, "native")
    models = replaced(project)
    database.managers = {models.manager: None}
    with place.sync_engine().begin() as connection:
        connection.execute(text("UPDATE article SET name = 'FIRST' WHERE id = 1"))
        connection.execute(text("DELETE FROM seat"))
        connection.execute(text("INSERT INTO article VALUES (2, 'second again', NULL)"))
        connection.execute(text("DELETE FROM article_tag WHERE tag_id = 2"))
    versions: Any = version_class(models.Article)
    seats: Any = version_class(models.Seat)
    with Session(place.sync_engine()) as session:
        told = select(versions.id, versions.operation_type, versions.name).order_by(
            versions.transaction_id, versions.id
        )
        assert [(key, operation.name, name) for key, operation, name in session.execute(told)] == [
            (1, "INSERT", "first"), (2, "INSERT", "second"), (1, "UPDATE", "First"), (2, "DELETE", "second"),
            (1, "UPDATE", "FIRST"), (2, "INSERT", "second again"),
        ]  # fmt: skip
        guests = session.execute(select(seats.operation_type, seats.guest).order_by(seats.transaction_id))
        assert [(operation.name, guest) for operation, guest in guests] == [
            ("INSERT", "bob"), ("UPDATE", "eve"), ("DELETE", "eve"),
        ]  # fmt: skip


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_its_native_triggers_are_replaced_by_a_migration(database, place, project):
    let_continuum_write(place, "native", "inserts")
    models = replaced(project)
    database.managers = {models.manager: None}
    with place.sync_engine().begin() as connection:
        connection.execute(text("UPDATE article SET name = 'First' WHERE id = 1"))
        connection.execute(text("DELETE FROM article_tag"))
    with Session(place.sync_engine()) as session:
        versions: Any = version_class(models.Article)
        rows = session.execute(
            select(versions.operation_type, versions.name).where(versions.id == 1).order_by("transaction_id")
        )
        assert [(operation.name, name) for operation, name in rows] == [("INSERT", "first"), ("UPDATE", "First")]


PUBLIC_NAMES = """
import inspect, sqlalchemy_continuum as c
from sqlalchemy_continuum import plugins, schema, utils, version
from sqlalchemy_continuum.dialects import postgresql

def own(module):
    return [name for name, it in vars(module).items()
            if inspect.isroutine(it) and it.__module__ == module.__name__ and not name.startswith('_')]

told = {name: it for name, it in vars(c).items() if not name.startswith('_') and not inspect.ismodule(it)}
print(*told)
print(*own(schema), *own(utils), *[name for name in vars(plugins) if name.endswith(('Plugin', 'Collection'))])
print(*[name for name in vars(version.VersionClassBase) if not name.startswith('_')])
print('create_trigger', 'drop_trigger', 'sync_trigger', *c.versioning_manager.options)
"""


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_every_name_of_continuum_is_mapped_to_ours(backend):
    run = subprocess.run([sys.executable, "-c", PUBLIC_NAMES], capture_output=True, text=True, check=True)
    mapped = set(re.findall(r"\w+", (ROOT / "docs" / "coming-from-continuum.md").read_text()))
    names = set(run.stdout.split())
    assert len(names) > 50
    assert sorted(names - mapped) == []

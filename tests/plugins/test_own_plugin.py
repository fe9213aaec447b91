"""A plugin of the user's own does what the built-in ones do, and is named where it fails."""

import pytest
from sqlalchemy import Column, Integer, String, exists, func, insert, literal, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

import async_continuum as ac
from async_continuum import current_transaction, transaction_class, version_class, versions_of
from async_continuum.plugins import AddedColumn, NullDeletePlugin, Plugin, TransactionMetaPlugin
from tests.chronicle import setting, write


class SearchPlugin(Plugin):
    """The one of the documentation, with every other hook besides."""

    def __init__(self):
        self.seen = []

    def transaction_built(self, build):
        build.transaction_table.info[self] = build.table(
            "search_queue",
            build.transaction_id(primary_key=True),
            Column("entity_name", String(255), primary_key=True),
            Column("article_id", Integer, primary_key=True),
        )
        own_id = build.transaction_id(name="tx", primary_key=True)
        build.table("signed_by", own_id, Column("host", String(50)), transaction_id="tx")

    def version_columns(self, history):
        if "name" not in history.columns:
            return []
        return [AddedColumn(Column("name_length", Integer), lambda copying: func.length(copying.row.c.name))]

    def deleted_value(self, history, column):
        return func.upper(history.table.c.name) if column.key == "name" else None

    def context(self, session):
        return {"remote_addr": "plugin", "meta": {}}

    def transaction_rows(self, signing):
        table = signing.transaction_class.__table__.metadata.tables["signed_by"]
        return [(table, [{"host": "here"}])]

    def versions_written(self, writing):
        if writing.history.table.name != "article":
            return []
        queue = writing.transactions.info[self]
        new = select(writing.transaction_id, writing.entity, writing.versions.c.id)
        known = exists().where(
            queue.c.transaction_id == writing.transaction_id, queue.c.article_id == writing.versions.c.id
        )
        return [insert(queue).from_select(["transaction_id", "entity_name", "article_id"], new.where(~known))]

    def flushed(self, flush):
        self.seen.append(len(flush.session.new))

    def renumbered(self, connection, transaction_class, old, new):
        self.seen.append((old, new))


def declare(Base):
    class Article(ac.Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    return Article


@pytest.mark.sessions_record("triggers do not do what a plugin of one's own writes beside versions")
async def test_every_hook_does_what_it_says(own, database):
    plugin = SearchPlugin()
    Base, manager = own(plugins=[plugin, NullDeletePlugin()])
    Article = declare(Base)
    tables = Base.metadata.tables
    sessions = await database(Base, manager)
    async with sessions() as session:
        article, other = Article(id=1, name="one"), Article(id=2, name="three")
        session.add_all([article, other])
        await session.flush()
        article.name = "longer"
        await session.flush()
        await session.commit()
        with ac.versioning_context(remote_addr="inner"):
            await write(session, setting(other, name="x"))
        await session.delete(article)
        await session.commit()
        versions = [*await versions_of(session, Article, 1), *await versions_of(session, Article, 2)]
        assert [(v.operation_type.name, v.name, v.name_length) for v in versions] == [
            ("INSERT", "longer", 6),
            ("DELETE", "LONGER", 6),
            ("INSERT", "three", 5),
            ("UPDATE", "x", 1),
        ]
        queued = (await session.execute(select(tables["search_queue"]))).all()
        assert queued == [(1, "Article", 1), (1, "Article", 2), (2, "Article", 2), (3, "Article", 1)]
        assert (await session.scalars(select(tables["signed_by"].c.tx))).all() == [1, 2, 3]
        signed = await session.scalars(select(transaction_class(Article).remote_addr).order_by("id"))
        assert signed.all() == ["plugin", "inner", "plugin"]
        longest = select(version_class(Article).name).order_by(version_class(Article).name_length.desc()).limit(1)
        assert (await session.scalar(longest)).lower() == "longer"
    assert plugin.seen[0] == 2
    ac.remove_versioning(manager=manager)
    assert set(Base.metadata.tables) == {"article"}


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.sessions_record("triggers do not do what a plugin of one's own writes beside versions")
async def test_it_is_told_of_a_later_id_and_its_rows_have_moved(own, database):
    plugin = SearchPlugin()
    Base, manager = own(plugins=[plugin])
    Article = declare(Base)
    sessions = await database(Base, manager)
    async with sessions() as old, sessions() as younger:
        await write(old, Article(id=1, name="a"))
        old.add(Article(id=2, name="b"))
        await old.flush()
        (await younger.get_one(Article, 1)).name = "younger"
        await younger.commit()
        (await old.get_one(Article, 1, populate_existing=True)).name = "older"
        await old.commit()
        ids = (await old.scalars(select(transaction_class(Article).id).order_by("id"))).all()
        assert [pair for pair in plugin.seen if isinstance(pair, tuple)] == [(2, 4)]
        assert ids == [1, 3, 4]
        queue, signed = Base.metadata.tables["search_queue"], Base.metadata.tables["signed_by"]
        moved = select(queue.c.article_id).where(queue.c.transaction_id == 4).order_by(queue.c.article_id)
        assert (await old.scalars(moved)).all() == [1, 2]
        assert (await old.scalars(select(signed.c.tx).order_by(signed.c.tx))).all() == ids


class AskedPlugin(Plugin):
    """Counts how often it is asked who and why, and stores what it said."""

    def __init__(self):
        self.asked = 0

    def context(self, session):
        self.asked += 1
        return {"remote_addr": f"asked {self.asked}", "meta": {"asked": str(self.asked)}}


@pytest.mark.sessions_record("triggers are told again whenever who and why may have changed")
async def test_who_and_why_is_asked_once_for_each_transaction(own, database):
    plugin = AskedPlugin()
    Base, manager = own(plugins=[plugin, TransactionMetaPlugin()])
    Article = declare(Base)
    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add(Article(id=1, name="one"))
        await session.flush()
        session.add(Article(id=2, name="two"))
        await session.commit()
        await session.execute(insert(Article).values(id=3, name="three"))
        await session.commit()
        await current_transaction(session, model=Article)
        session.add(Article(id=4, name="four"))
        await session.commit()
        Transaction = transaction_class(Article)
        signed = (await session.scalars(select(Transaction).order_by(Transaction.id))).all()
        assert [each.remote_addr for each in signed] == ["asked 1", "asked 2", "asked 3"]
        assert [await each.awaitable_attrs.meta for each in signed] == [{"asked": str(i)} for i in (1, 2, 3)]


HOOKS = ["context", "transaction_rows", "deleted_value", "first_versions", "versions_written", "flushed"]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_plugin_that_fails_fails_the_flush_by_name(own, database, hook):
    def fail(self, *_):
        raise LookupError("no such thing")

    plugin = type("Clumsy", (Plugin,), {hook: fail})()
    Base, manager = own(plugins=[plugin])
    Article = declare(Base)
    async with (await database(Base, manager))() as session:
        if hook == "deleted_value":
            article = Article(id=1, name="a")
            await write(session, article)
            await session.delete(article)
        else:
            session.add(Article(id=1, name="a"))
        with pytest.raises(ac.VersioningError, match=rf"plugin Clumsy failed in {hook}.*no such thing") as caught:
            await session.commit()
        assert isinstance(caught.value.__cause__, LookupError)
        await session.rollback()
        assert (await session.get(Article, 1) is None) is (hook != "deleted_value")


@pytest.mark.sessions_record("triggers do not do what a plugin of one's own writes beside versions")
async def test_a_statement_that_the_database_refuses_names_its_plugin(own, database):
    class Twice(Plugin):
        def transaction_built(self, build):
            table = build.table("once", build.transaction_id(primary_key=True))
            build.transaction_table.info[self] = table

        def versions_written(self, writing):
            table = writing.transactions.info[self]
            return [insert(table).from_select(["transaction_id"], select(writing.transaction_id)) for _ in range(2)]

    Base, manager = own(plugins=[Twice()])
    Article = declare(Base)
    async with (await database(Base, manager))() as session:
        session.add(Article(id=1, name="a"))
        with pytest.raises(IntegrityError) as caught:
            await session.commit()
        assert "Twice" in "".join((str(caught.value), *getattr(caught.value, "__notes__", ())))
        await session.rollback()
        assert await session.get(Article, 1) is None


def test_a_class_that_fails_to_build_is_told_by_the_plugins_name(own):
    class Clumsy(Plugin):
        def version_columns(self, history):
            return [AddedColumn(Column("name", Integer), lambda copying: literal(1))]

    Base, _ = own(plugins=[Clumsy()])
    with pytest.raises(ac.ImproperlyConfigured, match="'name'") as caught:
        declare(Base)
    assert caught.value.option == "plugins"

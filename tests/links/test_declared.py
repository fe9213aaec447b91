"""Association tables get their version table however they are declared."""

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, insert, inspect, text, update
from sqlalchemy.orm import Mapped, mapped_column, relationship, selectinload

from async_continuum import Versioned, as_of, verify, version_class, version_table
from tests.kit.own import new_base
from tests.links.magazine import links


def two(base, secondary, **table_args):
    class Article(Versioned, base):
        __tablename__ = "article"
        __table_args__ = table_args
        id: Mapped[int] = mapped_column(primary_key=True)
        tags: Mapped[list["Tag"]] = relationship(secondary=secondary, back_populates="articles")

    class Tag(Versioned, base):
        __tablename__ = "tag"
        __table_args__ = table_args
        id: Mapped[int] = mapped_column(primary_key=True)
        articles: Mapped[list["Article"]] = relationship(secondary=secondary, back_populates="tags")

    return Article, Tag


def association(metadata, name="article_tag", schema=None):
    prefix = f"{schema}." if schema else ""
    return Table(
        name,
        metadata,
        Column("article_id", ForeignKey(f"{prefix}article.id"), primary_key=True),
        Column("tag_id", ForeignKey(f"{prefix}tag.id"), primary_key=True),
        schema=schema,
    )


async def goes_through(sessions, manager, Article, Tag, table):
    async with sessions() as session:
        session.add(Article(id=1, tags=[Tag(id=1)]))
        await session.commit()
        article = await session.get_one(Article, 1)
        (await article.awaitable_attrs.tags).clear()
        await session.commit()
        assert await links(session, manager, table) == [(1, 1, "INSERT"), (1, 1, "DELETE")]


@pytest.mark.parametrize("how", ["table before", "string, table before", "string, table after", "callable", "lambda"])
async def test_create_all_sees_it_by_whatever_name_and_in_any_order(own, database, engine, how):
    Base, manager = own()
    table = association(Base.metadata) if how in ("table before", "string, table before", "callable") else None
    made = []

    def late():
        return table if table is not None else made[0]

    Article, Tag = two(Base, table if how == "table before" else "article_tag" if "string" in how else late)
    if table is None:
        table = association(Base.metadata)
        made.append(table)
    sessions = await database(Base, manager)
    async with engine.connect() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert "article_tag_version" in names
    assert version_table(table).name == "article_tag_version"
    await goes_through(sessions, manager, Article, Tag, table)


@pytest.mark.parametrize("how", ["string", "callable"])
def test_a_table_without_its_models_yet_is_no_error(own, how):
    Base, manager = own()
    two(Base, "article_tag" if how == "string" else lambda: Base.metadata.tables["article_tag"])
    assert manager.coverage.links == {}
    table = association(Base.metadata)
    assert (table in manager.coverage.links) is (how == "string")
    Base.registry.configure()
    assert table in manager.coverage.links


async def test_models_declared_before_make_versioned_are_taken_too(own, database):
    Base = new_base()
    table = association(Base.metadata)
    Article, Tag = two(Base, table)
    _, manager = own(base=Base)
    await goes_through(await database(Base, manager), manager, Article, Tag, table)


def test_remove_versioning_takes_it_away(own):
    from async_continuum import remove_versioning

    Base, manager = own()
    table = association(Base.metadata)
    two(Base, table)
    assert "article_tag_version" in Base.metadata.tables
    remove_versioning(manager=manager)
    assert "article_tag_version" not in Base.metadata.tables
    assert not table.info


async def test_a_relationship_that_is_added_later_is_taken_in(own, database):
    Base, manager = own()
    table = association(Base.metadata)

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    Article.tags = relationship(Tag, secondary=table)
    await goes_through(await database(Base, manager), manager, Article, Tag, table)


@pytest.mark.parametrize("how", ["a callable", "added later"])
async def test_drop_all_takes_it_along_before_mappers_are_configured(own, engine, how):
    def declare():
        Base, _ = own()
        table = association(Base.metadata)
        Article, Tag = two(Base, lambda: table) if how == "a callable" else (None, None)
        if how == "added later":

            class Article(Versioned, Base):
                __tablename__ = "article"
                id: Mapped[int] = mapped_column(primary_key=True)

            class Tag(Versioned, Base):
                __tablename__ = "tag"
                id: Mapped[int] = mapped_column(primary_key=True)

            Article.tags = relationship(Tag, secondary=table)
        return Base

    async def names():
        async with engine.connect() as connection:
            return await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))

    async with engine.begin() as connection:
        await connection.run_sync(declare().metadata.create_all)
    assert "article_tag_version" in await names()
    # As another process would that has only imported the models.
    async with engine.begin() as connection:
        await connection.run_sync(declare().metadata.drop_all)
    assert await names() == set()


async def test_drop_all_of_some_tables_leaves_the_others(own, engine):
    def declare():
        Base, _ = own()
        table = association(Base.metadata)
        two(Base, lambda: table)
        return Base.metadata

    metadata = declare()
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    metadata = declare()
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: metadata.drop_all(sync, tables=[metadata.tables["tag_version"]]))
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert {"article_tag", "article_tag_version", "tag"} <= {*names}
    assert "tag_version" not in names


async def test_one_table_of_several_relations_has_one_history(own, database):
    Base, manager = own()
    table = association(Base.metadata)

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        tags: Mapped[list["Tag"]] = relationship(secondary=table)
        seen: Mapped[list["Tag"]] = relationship(secondary=table, viewonly=True)

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    assert list(manager.coverage.links) == [table]
    await goes_through(await database(Base, manager), manager, Article, Tag, table)


async def test_an_association_object_and_its_shortcut_share_the_models_history(own, database):
    Base, manager = own()

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        tags: Mapped[list["Tag"]] = relationship(secondary="tagging", viewonly=True)

    class Tagging(Versioned, Base):
        __tablename__ = "tagging"
        article_id: Mapped[int] = mapped_column(ForeignKey("article.id"), primary_key=True)
        tag_id: Mapped[int] = mapped_column(ForeignKey("tag.id"), primary_key=True)

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    sessions = await database(Base, manager)
    assert manager.coverage.links == {}
    async with sessions() as session:
        session.add_all([Article(id=1), Tag(id=1)])
        await session.flush()
        tagging = Tagging(article_id=1, tag_id=1)
        session.add(tagging)
        await session.commit()
        await session.refresh(tagging)
        assert await tagging.awaitable_versions().count() == 1


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize("placed", ["in the metadata", "on each table", "of the history"])
async def test_another_schema(own, database, engine, placed):
    async with engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA archive"))
    Base, manager = own(
        base=new_base(MetaData(schema="archive" if placed == "in the metadata" else None)),
        options={"schema": "archive"} if placed == "of the history" else {},
    )
    schema = "archive" if placed == "on each table" else None
    table = association(Base.metadata, schema=schema or Base.metadata.schema)
    Article, Tag = two(Base, table, **({"schema": schema} if schema else {}))
    sessions = await database(Base, manager)
    assert version_table(table).schema == "archive"
    await goes_through(sessions, manager, Article, Tag, table)


async def test_columns_may_be_called_otherwise_than_their_keys(own, database):
    Base, manager = own()
    table = Table(
        "article_tag",
        Base.metadata,
        Column("Article Id", ForeignKey("article.id"), key="article_id", primary_key=True),
        Column("select", ForeignKey("tag.id"), key="tag_id", primary_key=True),
        Column("n%", Integer, key="n", default=3),
    )
    Article, Tag = two(Base, table)
    sessions = await database(Base, manager)
    await goes_through(sessions, manager, Article, Tag, table)
    async with sessions() as session:
        session.add_all([Tag(id=2), Tag(id=3)])
        await session.flush()
        await session.execute(insert(table).values([{"article_id": 1, "tag_id": n, "n": n} for n in (2, 3)]))
        await session.commit()
        assert (await links(session, manager, table, "n"))[2:] == [(1, 2, 2, "INSERT"), (1, 3, 3, "INSERT")]


async def test_a_further_foreign_key_says_something_of_a_link_and_does_not_name_it(own, database):
    Base, manager = own()
    table = Table(
        "article_tag",
        Base.metadata,
        Column("article_id", ForeignKey("article.id"), primary_key=True),
        Column("tag_id", ForeignKey("tag.id"), primary_key=True),
        Column("because_of", ForeignKey("tag.id")),
    )
    numbered = Table(
        "numbered",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("article_id", ForeignKey("article.id"), nullable=False),
        Column("tag_id", ForeignKey("tag.id"), nullable=False),
        Column("because_of", ForeignKey("tag.id")),
    )

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        tags: Mapped[list[Tag]] = relationship(secondary=table, secondaryjoin=lambda: Tag.id == table.c.tag_id)
        more: Mapped[list[Tag]] = relationship(
            secondary=numbered,
            secondaryjoin=lambda: Tag.id == numbered.c.tag_id,
        )

    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add(Article(id=1, tags=[Tag(id=1)], more=[Tag(id=2)]))
        await session.commit()
        for each in (table, numbered):
            await session.execute(update(each).values(because_of=2))
            await session.commit()
            key = (1, 1) if each is table else (1, 2)
            assert await links(session, manager, each, "because_of") == [
                (*key, None, "INSERT"),
                (*key, 2, "UPDATE"),
            ]


async def test_a_link_follows_a_key_that_the_orm_moves(own, database):
    Base, manager = own()
    table = association(Base.metadata)

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    loose = Table(
        "loose",
        Base.metadata,
        Column("article_id", Integer, primary_key=True),
        Column("tag_id", Integer, primary_key=True),
    )
    Article.loose = relationship(
        Tag,
        secondary=loose,
        primaryjoin=Article.id == loose.c.article_id,
        secondaryjoin=Tag.id == loose.c.tag_id,
        foreign_keys=[loose.c.article_id, loose.c.tag_id],
        passive_updates=False,
    )
    Article.tags = relationship(Tag, secondary=table)
    sessions = await database(Base, manager)
    async with sessions() as session:
        article = Article(id=1, loose=[Tag(id=1), Tag(id=2)])
        session.add(article)
        await session.commit()
        await session.refresh(article, ["id", "loose"])
        article.id = 5
        await session.commit()
        assert await links(session, manager, loose) == [
            (1, 1, "INSERT"),
            (1, 2, "INSERT"),
            (1, 1, "DELETE"),
            (1, 2, "DELETE"),
            (5, 1, "INSERT"),
            (5, 2, "INSERT"),
        ]


@pytest.mark.parametrize(
    "of_all",
    [
        {"strategy": "validity"},
        {"table_name": "%s_past", "transaction_column_name": "tx", "strategy": "subquery"},
    ],
    ids=["defaults", "options"],
)
@pytest.mark.parametrize("first", [True, False])
async def test_its_version_table_is_shaped_by_the_options_of_all_and_not_of_one_end(own, database, of_all, first):
    """As Continuum's is, whose rows of links would not be found; which end is built first is chance."""
    Base, manager = own(options=of_all)
    mine = {"table_name": "%s_hist", "end_transaction_column_name": "over", "strategy": "validity"}
    table = association(Base.metadata)

    class Tag(Versioned, Base):
        __versioned__ = {} if first else mine
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        articles: Mapped[list["Article"]] = relationship(secondary=table, back_populates="tags")

    class Article(Versioned, Base):
        __versioned__ = mine if first else {}
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        tags: Mapped[list["Tag"]] = relationship(secondary=table, back_populates="articles")

    versions = version_table(table)
    assert versions.name == of_all.get("table_name", "%s_version") % "article_tag"
    begins = of_all.get("transaction_column_name", "transaction_id")
    ends = ["end_transaction_id"] if of_all["strategy"] == "validity" else []
    assert list(versions.c.keys()) == ["article_id", "tag_id", begins, *ends, "operation_type"]

    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add(Article(id=1, tags=[Tag(id=1)]))
        await session.commit()
        article = await session.get_one(Article, 1)
        (await article.awaitable_attrs.tags).clear()
        await session.commit()
        Version = version_class(Article)
        version = await article.awaitable_versions().options(selectinload(Version.tags)).first()
        assert [tag.id for tag in version.tags] == [1]
        async with as_of(session, version) as past:
            then = await past.get(Article, 1, options=[selectinload(Article.tags)])
            assert [tag.id for tag in then.tags] == [1]
        await version.revert(session, relations=["tags"])
        await session.commit()
        assert await verify(session, Article, Tag) == []

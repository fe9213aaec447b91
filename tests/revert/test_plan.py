"""A plan says what a revert would do; a revert that cannot be done changes nothing."""

import pytest
from sqlalchemy import func, select

import async_continuum as ac
from async_continuum import versions_of
from tests.revert.web import WEBS


@pytest.fixture(params=WEBS)
def models(request):
    return WEBS[request.param]


@pytest.fixture
async def version(session, models):
    """The first version of article 1: with tags 1 and 2, comments 1 and 2."""
    m = models
    tags, comments = [m.Tag(id=n) for n in (1, 2)], [m.Comment(id=n) for n in (1, 2)]
    article = m.Article(id=1, name="then", tags=tags, comments=comments, author=m.Author(id=1))
    session.add(article)
    await session.commit()
    await session.refresh(article, ["tags", "comments"])
    article.name = "now"
    article.tags = [tags[1], m.Tag(id=3)]
    article.comments = [comments[1], m.Comment(id=3)]
    await session.flush()
    await session.refresh(comments[1])
    comments[1].text = "changed"
    await session.refresh(tags[0])
    await session.delete(tags[0])
    await session.commit()
    return await versions_of(session, m.Article, 1)[0]


def said(entities):
    return [str(entity) for entity in entities]


async def counted(session, models):
    return await session.scalar(select(func.count()).select_from(ac.transaction_class(models.Article)))


async def test_a_plan_lists_what_would_change(session, models, version):
    plan = await version.plan_revert(session, relations=["tags", "comments"])
    assert said(plan.inserted) == ["Tag 1", "Comment 1"]
    assert said(plan.updated) == ["Article 1", "Comment 2"]
    assert said(plan.deleted) == ["Comment 3"]
    assert said(plan.linked) == ["Article 1.tags -> Tag 1", "Article 1.comments -> Comment 1"]
    assert said(plan.unlinked) == ["Article 1.tags -> Tag 3"]
    assert plan.inserted[0].model is models.Tag
    assert plan.inserted[0].key == (1,)
    assert (plan.unlinked[0].relation, plan.unlinked[0].target.key) == ("tags", (3,))


async def test_a_plan_prints_well(session, version):
    plan = await version.plan_revert(session, relations=["tags", "comments"])
    assert str(plan).splitlines() == [
        "inserted Tag 1",
        "inserted Comment 1",
        "updated  Article 1",
        "updated  Comment 2",
        "deleted  Comment 3",
        "linked   Article 1.tags -> Tag 1",
        "linked   Article 1.comments -> Comment 1",
        "unlinked Article 1.tags -> Tag 3",
    ]


async def test_a_plan_prints_every_kind_of_relation_and_key(session, models):
    """One-to-many, many-to-one, one-to-one, self-references, association objects and what lies behind a relation."""
    m = models
    authors = [m.Author(id=n) for n in (1, 2)]
    tag = m.Tag(id=1, category=m.Category(id=1))
    article = m.Article(id=1, author=authors[0], tags=[tag], notes=[m.Note(id=n) for n in (1, 2)])
    article.detail, article.keyed = m.Detail(id=1), {"k": m.Keyed(id=1, word="k")}
    article.credits, article.copies = [m.Credit(author=authors[0])], [m.Article(id=2)]
    session.add_all([article, authors[1]])
    await session.commit()
    await session.refresh(article, ["author", "tags", "notes", "detail", "keyed", "credits", "copies"])
    await session.refresh(tag, ["category"])
    article.author, tag.category = authors[1], m.Category(id=2, name="sea")
    article.notes, article.detail, article.keyed = [article.notes[1], m.Note(id=3)], None, {}
    article.copies, article.credits = [m.Article(id=3)], [m.Credit(author=authors[1])]
    article.topics.add(tag)
    await session.flush()
    await session.delete(await session.get_one(m.Category, 1))
    await session.delete(await session.get_one(m.Note, 1))
    await session.commit()
    paths = ["author", "tags.category", "notes", "detail", "keyed", "credits", "copies", "topics"]
    plan = await (await versions_of(session, m.Article, 1)[0]).plan_revert(session, relations=paths)
    assert str(plan).splitlines() == [
        "inserted Category 1",
        "inserted Note 1",
        "inserted Detail 1",
        "inserted Keyed 1",
        "inserted Credit (1, 1)",
        "updated  Article 1",
        "updated  Tag 1",
        "updated  Article 2",
        "deleted  Credit (1, 2)",
        "linked   Article 1.author -> Author 1",
        "linked   Tag 1.category -> Category 1",
        "linked   Article 1.notes -> Note 1",
        "linked   Article 1.detail -> Detail 1",
        "linked   Article 1.keyed -> Keyed 1",
        "linked   Article 1.credits -> Credit (1, 1)",
        "linked   Article 1.copies -> Article 2",
        "unlinked Article 1.author -> Author 2",
        "unlinked Tag 1.category -> Category 2",
        "unlinked Article 1.notes -> Note 3",
        "unlinked Article 1.copies -> Article 3",
        "unlinked Article 1.topics -> Tag 1",
    ]


async def test_a_plan_names_what_goes_with_what_is_deleted(session, models, version):
    article = await session.get_one(models.Article, 1, populate_existing=True)
    await session.refresh(article, ["comments"])
    await session.delete(article)
    await session.commit()
    session.add(models.Article(id=1, comments=[models.Comment(id=7)], keyed={"k": models.Keyed(id=8, word="k")}))
    await session.commit()
    gone = (await versions_of(session, models.Article, 1))[2]
    plan = await gone.plan_revert(session)
    assert sorted(str(plan).splitlines()) == ["deleted  Article 1", "deleted  Comment 7", "deleted  Keyed 8"]
    await gone.revert(session)
    await session.commit()
    newest = (await versions_of(session, models.Comment, 7))[-1]
    made = await (await newest.awaitable_attrs.transaction).changed_entities()
    done = {f"deleted  {type(v).__name__.removesuffix('Version')} {v.id}" for each in made.values() for v in each}
    assert done == {*str(plan).splitlines()}


async def test_a_plan_changes_nothing(session, models, version, statements):
    before = len(statements)
    await version.plan_revert(session, relations=["tags.category", "comments", "author"])
    assert [text for text in statements[before:] if not text.startswith("SELECT")] == []
    assert not session.new
    assert not session.dirty
    assert not session.deleted
    await session.commit()
    assert await counted(session, models) == 2


async def test_the_plan_of_the_present_is_empty(session, models, version):
    newest = await versions_of(session, models.Article, 1)[-1]
    plan = await newest.plan_revert(session, relations=["tags", "comments", "author"])
    assert not plan
    assert str(plan) == "nothing to do"


async def test_a_plan_without_relations_speaks_of_the_entity_alone(session, models, version):
    plan = await version.plan_revert(session)
    assert said(plan.updated) == ["Article 1"]
    assert (plan.inserted, plan.deleted, plan.linked, plan.unlinked) == ((), (), (), ())


async def test_the_plan_of_a_delete_deletes(session, models, version):
    gone = (await versions_of(session, models.Tag, 1))[-1]
    assert not await gone.plan_revert(session)
    session.add(models.Tag(id=1))
    await session.commit()
    assert said((await gone.plan_revert(session)).deleted) == ["Tag 1"]


async def test_what_was_planned_is_what_is_done(session, models, version):
    plan = await version.plan_revert(session, relations=["tags", "comments"])
    await version.revert(session, relations=["tags", "comments"])
    await session.commit()
    transaction = await session.get_one(ac.transaction_class(models.Article), 3)
    changed = {type(v).__name__: v for each in (await transaction.changed_entities()).values() for v in each}
    assert set(changed) == {"ArticleVersion", "TagVersion", "CommentVersion"}
    done = [
        (type(v).__name__, v.id, v.operation_type.name)
        for each in (await transaction.changed_entities()).values()
        for v in each
    ]
    words = {"inserted": "INSERT", "updated": "UPDATE", "deleted": "DELETE"}
    planned = [
        (f"{entity.model.__name__}Version", entity.key[0], operation)
        for word, operation in words.items()
        for entity in getattr(plan, word)
    ]
    assert sorted(done) == sorted(planned)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("tag", "'tags'"),
        ("tags.categori", "'category'"),
        ("zzz", "comments"),
        ("tags.category.name", "Category has no relation 'name'"),
        ("plains", "Plain, which keeps no history"),
        ("shown", "viewonly"),
        ("hidden", "Article.hidden has no past (path 'hidden'): the option 'exclude' names it."),
        ("", "Article has no relation ''"),
    ],
)
async def test_a_path_that_cannot_be_followed_is_refused(session, version, statements, path, says):
    before = len(statements)
    for call in (version.revert, version.plan_revert):
        with pytest.raises(ac.RevertError, match="Nothing was changed") as caught:
            await call(session, relations=["comments", path])
        assert says in str(caught.value)
        assert caught.value.path == path
        assert caught.value.version is version
    assert len(statements) == before
    assert not session.dirty


async def test_one_string_for_a_list_is_refused(session, version):
    with pytest.raises(ac.RevertError, match=r"\['tags'\]"):
        await version.revert(session, relations="tags")


async def test_an_attribute_for_a_path_is_refused(session, models, version):
    with pytest.raises(ac.RevertError, match=r"Article\.tags: give paths by name"):
        await version.revert(session, relations=[models.Article.tags])


async def state(session, models):
    """All that lives, read past the session's objects."""
    tables = [models.Article, models.Tag, models.Comment, models.Author]
    return [sorted(map(tuple, await session.execute(select(*table.__table__.c).order_by("id")))) for table in tables]


async def refused(session, models, version, relations, says):
    await session.commit()
    before, transactions = await state(session, models), await counted(session, models)
    with pytest.raises(ac.RevertError, match="Nothing was changed") as caught:
        await version.revert(session, relations=relations)
    assert says in str(caught.value).lower()
    assert caught.value.version is version
    await session.commit()
    assert await state(session, models) == before
    assert await counted(session, models) == transactions


async def test_a_foreign_key_that_can_no_longer_hold_stops_it(session, models, version):
    article = await session.get_one(models.Article, 1)
    article.author_id = None
    await session.flush()
    await session.delete(await session.get_one(models.Author, 1))
    await session.commit()
    for says in ("foreign key", "article 1 referred by its author_id to author 1, which is gone"):
        await refused(session, models, version, ["tags", "comments"], says)
        await refused(session, models, version, [], says)


async def test_a_unique_value_that_is_taken_stops_it(session, models, backend):
    article = models.Article(id=1, slug="s")
    session.add(article)
    await session.commit()
    article.slug = None
    await session.flush()
    session.add(models.Article(id=2, slug="s"))
    await session.commit()
    version = await versions_of(session, models.Article, 1)[0]
    refusal = "duplicate" if backend == "mariadb" else "unique"
    for says in (refusal, "article 1 had the slug 's', and article 2 has it now"):
        await refused(session, models, version, ["tags"], says)
        await refused(session, models, version, [], says)


async def test_an_entity_that_others_refer_to_cannot_be_taken_back_to_its_deletion(session, models):
    session.add(models.Category(id=1))
    await session.commit()
    await session.delete(await session.get_one(models.Category, 1))
    await session.commit()
    session.add_all([models.Category(id=1), models.Tag(id=1, category_id=1)])
    await session.commit()
    gone = (await versions_of(session, models.Category, 1))[1]
    await refused(session, models, gone, [], "foreign key")
    await refused(session, models, gone, [], "tag 1 refers to category 1 by its category_id")
    assert await session.get_one(models.Category, 1)


async def test_what_is_pending_is_part_of_the_present(session, models, version):
    article = await session.get_one(models.Article, 1)
    article.name = "pending"
    session.add(models.Note(id=1, article_id=1))
    assert await version.revert(session, relations=["notes"]) is article
    await session.commit()
    await session.refresh(article)
    assert article.name == "then"
    assert (await session.get_one(models.Note, 1)).article_id is None


async def test_a_column_that_must_not_be_null_stops_an_unlinking(own, database):
    from sqlalchemy import ForeignKey
    from sqlalchemy.orm import Mapped, mapped_column, relationship

    Base, manager = own()

    class Parent(ac.Versioned, Base):
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        children: Mapped[list["Child"]] = relationship()

    class Child(ac.Versioned, Base):
        __tablename__ = "child"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))

    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add(Parent(id=1))
        await session.commit()
        session.add(Child(id=1, parent_id=1))
        await session.commit()
        version = await versions_of(session, Parent, 1)[0]
        says = (
            r"(?i)null.* Child 1 is in Parent 1\.children now, and cannot be unlinked: its parent_id must not be NULL"
        )
        with pytest.raises(ac.RevertError, match=says):
            await version.revert(session, relations=["children"])
        await session.commit()
        assert (await session.get_one(Child, 1, populate_existing=True)).parent_id == 1


@pytest.mark.parametrize("strategy", ["validity", "subquery"])
async def test_a_plan_of_cascades_takes_as_many_statements_for_many_rows(own, database, statements, strategy):
    from sqlalchemy import ForeignKey
    from sqlalchemy.orm import Mapped, mapped_column, relationship

    Base, manager = own(options={"strategy": strategy})

    class Book(ac.Versioned, Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        chapters: Mapped[list["Chapter"]] = relationship(cascade="all, delete-orphan", order_by="Chapter.id")

    class Chapter(ac.Versioned, Base):
        __tablename__ = "chapter"
        id: Mapped[int] = mapped_column(primary_key=True)
        book_id: Mapped[int] = mapped_column(ForeignKey("book.id"))
        pages: Mapped[list["Page"]] = relationship(cascade="all", order_by="Page.id")

    class Page(ac.Versioned, Base):
        __tablename__ = "page"
        id: Mapped[int] = mapped_column(primary_key=True)
        chapter_id: Mapped[int] = mapped_column(ForeignKey("chapter.id"))
        lines: Mapped[list["Line"]] = relationship(cascade="all", order_by="Line.id")

    class Line(ac.Versioned, Base):
        __tablename__ = "line"
        id: Mapped[int] = mapped_column(primary_key=True)
        page_id: Mapped[int] = mapped_column(ForeignKey("page.id"))

    sessions, counted = await database(Base, manager), []
    for key, size in ((100, 2), (200, 30)):
        async with sessions() as session:
            session.add(Book(id=key))
            await session.commit()
            numbers = range(key, key + size)
            session.add_all([Chapter(id=n, book_id=key, pages=[Page(id=n, lines=[Line(id=n)])]) for n in numbers])
            await session.commit()
        async with sessions() as session:
            version = await versions_of(session, Book, key)[0]
            before = len(statements)
            plan = await version.plan_revert(session, relations=["chapters"])
            counted.append(len(statements) - before)
            assert said(plan.deleted)[:size] == [f"Chapter {n}" for n in numbers]
            assert {*said(plan.deleted)[size:]} == {f"{kind} {n}" for kind in ("Page", "Line") for n in numbers}
            await version.revert(session, relations=["chapters"])
            await session.commit()
            left = [await session.scalar(select(func.count()).select_from(each)) for each in (Chapter, Page, Line)]
            assert left == [0, 0, 0]
    assert counted[0] == counted[1]


async def test_a_link_that_two_paths_come_by_is_listed_once(session, models, version):
    plan = await version.plan_revert(session, relations=["tags", "comments", "comments.article.tags"])
    assert said(plan.linked).count("Article 1.tags -> Tag 1") == 1
    assert said(plan.unlinked) == ["Article 1.tags -> Tag 3"]

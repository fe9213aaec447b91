"""A version takes its relations back with it: what was there then is there again, what came later is not."""

import pytest
from sqlalchemy import ForeignKey, func, inspect, select, update
from sqlalchemy.orm import Mapped, aliased, mapped_column, relationship

import async_continuum as ac
from async_continuum import Versioned, versions_of
from tests.links.magazine import links
from tests.revert.web import WEBS

LOADED = ["author", "detail", "comments", "tags", "credits", "keyed", "notes", "copies", "origin", "plains"]


@pytest.fixture(params=WEBS)
def models(request):
    return WEBS[request.param]


async def keys(session, parent, name):
    """The keys of what a relation of a live object leads to, as a new session would read it."""
    await session.refresh(parent, ["id"])
    above = aliased(type(parent))
    kind = inspect(parent).mapper.relationships[name].mapper.class_
    statement = select(kind).select_from(above).join(getattr(above, name)).where(above.id == parent.id)
    found = (await session.scalars(statement.execution_options(populate_existing=True))).all()
    return sorted(inspect(each).identity for each in found)


async def revisions(session, model):
    """How many versions there are of each entity of a model."""
    version = ac.version_class(model)
    key = list(inspect(version).primary_key)[:-1]
    rows = await session.execute(select(*key, func.count()).group_by(*key))
    return {tuple(row[:-1]) if len(key) > 1 else row[0]: row[-1] for row in rows}


async def first(session, model, key=1):
    return await versions_of(session, model, key)[0]


def member(models, name, key):
    kind = {"comments": "Comment", "lines": "Line", "pages": "Page", "notes": "Note", "tags": "Tag", "topics": "Tag"}
    return getattr(models, kind[name])(id=key)


@pytest.fixture
async def article(session, models):
    article = models.Article(id=1)
    session.add(article)
    await session.flush()
    await session.refresh(article, LOADED)
    return article


async def put(session, article, name, *members):
    """Make these the members of a relation, as it is written for each kind of collection."""
    collection = getattr(article, name) if name in ("lines", "pages", "topics") else None
    if collection is None:
        setattr(article, name, list(members)) if await getattr(article.awaitable_attrs, name) is not None else None
        return
    statement = collection.select() if hasattr(collection, "select") else collection.statement
    for old in (await session.scalars(statement)).all():
        if old not in members:
            collection.remove(old)
    for each in members:
        if not inspect(each).persistent or each not in (await session.scalars(statement)).all():
            (collection.add if hasattr(collection, "add") else collection.append)(each)


@pytest.mark.parametrize("name", ["comments", "lines", "pages", "notes", "tags", "topics"])
async def test_a_collection_becomes_what_it_was(session, models, article, name):
    a, b, c = (member(models, name, key) for key in (1, 2, 3))
    session.add_all([a, b] if name in ("notes", "tags", "topics") else [])
    await put(session, article, name, a, b)
    await session.commit()
    await put(session, article, name, b, c)
    await session.commit()
    kind, orphans = type(a), name in ("comments", "lines", "pages")
    assert await keys(session, article, name) == [(2,), (3,)]
    version = await first(session, models.Article)
    assert await version.revert(session, relations=[name]) is article
    await session.commit()
    assert await keys(session, article, name) == [(1,), (2,)]
    assert (await session.get(kind, 3) is None) is orphans
    counted = await revisions(session, kind)
    assert counted[2] == 1, "an unchanged one has no new version"
    if orphans:
        assert counted == {1: 3, 2: 1, 3: 2}
    assert await article.awaitable_versions().count() == 1


@pytest.mark.parametrize("name", ["comments", "notes", "tags", "topics", "pages", "lines"])
async def test_the_deleted_come_back_under_their_keys(session, models, article, name):
    a, b = (member(models, name, key) for key in (1, 2))
    session.add_all([a, b] if name in ("notes", "tags", "topics") else [])
    await put(session, article, name, a, b)
    await session.commit()
    if name in ("tags", "topics"):
        await put(session, article, name)
        await session.flush()
    await session.delete(a)
    await session.commit()
    await (await first(session, models.Article)).revert(session, relations=[name])
    await session.commit()
    assert await keys(session, article, name) == [(1,), (2,)]
    told = [version.operation_type.name for version in await versions_of(session, type(a), 1)]
    assert told == ["INSERT", "DELETE", "INSERT"]


async def test_a_whole_family_comes_back_from_nothing(session, models, article):
    m = models
    article.author = m.Author(id=1, name="ann")
    article.comments = [m.Comment(id=1, text="c")]
    article.detail = m.Detail(id=1)
    article.tags = [m.Tag(id=1, category=m.Category(id=1, name="sea")), m.Tag(id=2)]
    article.credits = [m.Credit(author=article.author, role="cook")]
    article.keyed = {"k": m.Keyed(id=1, word="k")}
    await session.commit()
    await session.delete(article)
    await session.flush()
    for model in (m.Tag, m.Category, m.Author):
        for each in (await session.scalars(select(model))).all():
            await session.delete(each)
    await session.commit()
    paths = ["author", "comments", "detail", "tags.category", "credits.author", "keyed"]
    back = await (await first(session, m.Article)).revert(session, relations=paths)
    await session.commit()
    session.expunge_all()
    back = await session.get_one(m.Article, 1)
    assert (await back.awaitable_attrs.author).name == "ann"
    assert [c.text for c in await back.awaitable_attrs.comments] == ["c"]
    assert (await back.awaitable_attrs.detail).id == 1
    assert (await keys(session, back, "tags")) == [(1,), (2,)]
    assert (await (await session.get_one(m.Tag, 1)).awaitable_attrs.category).name == "sea"
    assert [(c.author_id, c.role) for c in await back.awaitable_attrs.credits] == [(1, "cook")]
    assert list(await back.awaitable_attrs.keyed) == ["k"]


async def test_values_of_related_objects_are_taken_back(session, models, article):
    tag = models.Tag(id=1, name="then", category=models.Category(id=1, name="then"))
    article.tags = [tag]
    await session.commit()
    tag.name = "now"
    (await tag.awaitable_attrs.category).name = "now"
    article.name = "now"
    await session.commit()
    await (await first(session, models.Article)).revert(session, relations=["tags"])
    await session.commit()
    await session.refresh(tag, ["name", "category"])
    assert (tag.name, tag.category.name) == ("then", "now")
    await (await first(session, models.Article)).revert(session, relations=["tags", "tags.category"])
    await session.commit()
    category = await session.get_one(models.Category, 1, populate_existing=True)
    assert category.name == "then"
    assert await revisions(session, models.Tag) == {1: 3}
    assert await links(session, models.manager, models.article_tag) == [(1, 1, "INSERT")]


async def test_reverting_to_the_present_records_nothing(session, models, article):
    m = models
    article.author, article.detail = m.Author(id=1), m.Detail(id=1)
    article.comments, article.tags = [m.Comment(id=1)], [m.Tag(id=1, category=m.Category(id=1))]
    article.credits = [m.Credit(author=article.author)]
    await session.commit()
    paths = ["author", "detail", "comments", "tags.category", "credits.author", "topics", "lines", "pages", "origin"]
    version = await first(session, m.Article)
    assert str(await version.plan_revert(session, relations=paths)) == "nothing to do"
    await version.revert(session, relations=paths)
    await session.commit()
    assert await session.scalar(select(func.count()).select_from(ac.transaction_class(m.Article))) == 1


async def test_a_one_to_one_is_taken_back_both_ways(session, models, article):
    article.detail = models.Detail(id=1)
    await session.commit()
    await session.refresh(article, ["detail"])
    article.detail = None
    await session.flush()
    article.detail = models.Detail(id=2)
    await session.commit()
    await (await first(session, models.Article)).revert(session, relations=["detail"])
    await session.commit()
    assert await keys(session, article, "detail") == [(1,)]
    assert await session.get(models.Detail, 2) is None
    other = models.Article(id=2)
    session.add(other)
    await session.flush()
    detail = await session.get_one(models.Detail, 1)
    detail.article_id = 2
    await session.commit()
    await (await first(session, models.Detail)).revert(session, relations=["article"])
    await session.commit()
    await session.refresh(detail)
    assert detail.article_id == 1


async def test_a_one_to_one_that_was_empty_is_empty_again(session, models, article):
    await session.commit()
    await session.refresh(article, ["detail"])
    article.detail = models.Detail(id=1)
    await session.commit()
    await (await first(session, models.Article)).revert(session, relations=["detail"])
    await session.commit()
    assert await keys(session, article, "detail") == []
    assert await session.get(models.Detail, 1) is None


async def test_the_parent_then_is_the_parent_again(session, models, article):
    article.author = models.Author(id=1)
    session.add(models.Author(id=2))
    await session.commit()
    article.author_id = 2
    await session.commit()
    await (await first(session, models.Article)).revert(session, relations=["author"])
    await session.commit()
    assert await keys(session, article, "author") == [(1,)]
    await session.refresh(article)
    article.author_id = None
    await session.flush()
    await session.delete(await session.get_one(models.Author, 1))
    await session.commit()
    await (await first(session, models.Article)).revert(session, relations=["author"])
    await session.commit()
    assert await keys(session, article, "author") == [(1,)]


async def test_association_objects_are_taken_back(session, models, article):
    m = models
    authors = [m.Author(id=number) for number in (1, 2, 3)]
    session.add_all(authors)
    article.credits = [m.Credit(author=authors[0], role="cook"), m.Credit(author=authors[1], role="maid")]
    await session.commit()
    credits = {credit.author_id: credit for credit in await article.awaitable_attrs.credits}
    article.credits.remove(credits[1])
    article.credits.append(m.Credit(author_id=3))
    await session.refresh(credits[2])
    credits[2].role = "boss"
    await session.commit()
    await (await first(session, m.Article)).revert(session, relations=["credits"])
    await session.commit()
    found = (await session.scalars(select(m.Credit).order_by(m.Credit.author_id))).all()
    assert [(each.author_id, each.role) for each in found] == [(1, "cook"), (2, "maid")]
    assert await revisions(session, m.Credit) == {(1, 1): 3, (1, 2): 3, (1, 3): 2}


async def test_self_references_are_taken_back(session, models, article):
    copies = [models.Article(id=number, origin_id=1) for number in (2, 3)]
    session.add_all(copies)
    await session.commit()
    copies[0].origin_id = None
    await session.delete(copies[1])
    session.add(models.Article(id=4, origin_id=1))
    await session.commit()
    await (await first(session, models.Article)).revert(session, relations=["copies"])
    await session.commit()
    assert await keys(session, article, "copies") == [(2,), (3,)]
    assert (await session.get_one(models.Article, 4)).origin_id is None


async def test_a_circle_that_is_gone_comes_back(session, models, article):
    other = models.Article(id=2, name="other")
    session.add(other)
    await session.flush()
    article.origin_id, other.origin_id = 2, 1
    await session.commit()
    for each in (article, other):
        await session.refresh(each)
        each.origin_id = None
    await session.flush()
    await session.delete(article)
    await session.delete(other)
    await session.commit()
    version = await versions_of(session, models.Article, 1)[0]
    back = await version.revert(session, relations=["origin.origin"])
    await session.commit()
    await session.refresh(back)
    assert back.origin_id == 2
    assert (await session.get_one(models.Article, 2)).origin_id == 1


async def test_a_key_that_has_been_taken_since_is_the_old_one_again(session, models, article):
    article.comments = [models.Comment(id=1, text="then")]
    await session.commit()
    (await article.awaitable_attrs.comments).clear()
    await session.commit()
    session.add(models.Article(id=2, comments=[models.Comment(id=1, text="another")]))
    await session.commit()
    await (await first(session, models.Article)).revert(session, relations=["comments"])
    await session.commit()
    comment = await session.get_one(models.Comment, 1, populate_existing=True)
    assert (comment.text, comment.article_id) == ("then", 1)
    told = [version.operation_type.name for version in await versions_of(session, models.Comment, 1)]
    assert told == ["INSERT", "DELETE", "INSERT", "UPDATE"]


async def test_a_dict_gets_its_members_back(session, models, article):
    article.keyed = {"a": models.Keyed(id=1, word="a"), "b": models.Keyed(id=2, word="b")}
    await session.commit()
    keyed = await article.awaitable_attrs.keyed
    del keyed["a"]
    keyed["c"] = models.Keyed(id=3, word="c")
    await session.commit()
    await (await first(session, models.Article)).revert(session, relations=["keyed"])
    assert sorted(article.keyed) == ["a", "b"]
    await session.commit()
    assert await keys(session, article, "keyed") == [(1,), (2,)]


async def test_a_revert_with_relations_is_not_committed(session, models, article):
    article.tags = [models.Tag(id=1)]
    await session.commit()
    (await article.awaitable_attrs.tags).clear()
    await session.commit()
    await (await first(session, models.Article)).revert(session, relations=["tags"])
    await session.rollback()
    await session.refresh(article)
    assert await keys(session, article, "tags") == []
    assert await links(session, models.manager, models.article_tag) == [(1, 1, "INSERT"), (1, 1, "DELETE")]


async def test_a_version_that_is_a_delete_takes_the_entity_and_its_orphans(session, models, article):
    article.comments = [models.Comment(id=1)]
    await session.commit()
    await session.refresh(article, ["comments"])
    await session.delete(article)
    await session.commit()
    gone = (await versions_of(session, models.Article, 1))[-1]
    session.add(models.Article(id=1, comments=[models.Comment(id=2)]))
    await session.commit()
    assert await gone.revert(session, relations=["comments"]) is None
    await session.commit()
    assert await session.get(models.Article, 1) is None
    assert await session.get(models.Comment, 2) is None


@pytest.mark.parametrize("name", ["tags", "comments", "notes", "topics", "pages"])
@pytest.mark.parametrize("gone", [True, False])
async def test_the_statements_do_not_grow_with_the_related_rows(sessions, models, statements, name, gone):
    counted = []
    for key, size in ((1000, 2), (5000, 100)):
        async with sessions() as session:
            article = models.Article(id=key)
            members = [member(models, name, key + number) for number in range(size)]
            session.add_all([article, *(members if name in ("tags", "topics", "notes") else [])])
            await session.flush()
            await session.refresh(article)
            if name in ("topics", "pages"):
                getattr(article, name).add_all(members)
            else:
                (await getattr(article.awaitable_attrs, name)).extend(members)
            await session.commit()
            await session.refresh(article)
            await put(session, article, name)
            await session.flush()
            if gone and name in ("tags", "topics", "notes"):
                for each in members:
                    await session.refresh(each)
                    await session.delete(each)
            await session.commit()
        async with sessions() as session:
            version = await first(session, models.Article, key)
            before = len(statements)
            await version.revert(session, relations=[name])
            await session.commit()
            counted.append(statements[before:])
            assert len(await keys(session, await session.get_one(models.Article, key), name)) == size
    assert len(counted[0]) == len(counted[1]), "\n\n".join(counted[1])
    assert len(counted[1]) <= 16, "\n\n".join(counted[1])


async def test_the_statements_do_not_grow_with_rows_that_have_changed_in_different_ways(sessions, models, statements):
    counted = []
    for key, size in ((600, 6), (6000, 102)):
        async with sessions() as session:
            session.add_all([models.Article(id=key), models.Article(id=key + 1)])
            await session.flush()
            session.add_all([models.Note(id=key + n, article_id=key) for n in range(size) if n % 6 != 5])
            await session.commit()
            for note in await session.scalars(select(models.Note).where(models.Note.article_id == key)):
                match note.id % 6:
                    case 0:
                        note.text = "now"
                    case 1:
                        note.article_id = None
                    case 2:
                        note.article_id = key + 1
                    case 3:
                        await session.delete(note)
            session.add_all([models.Note(id=key + n, article_id=key) for n in range(size) if n % 6 == 5])
            await session.commit()
        async with sessions() as session:
            version = await first(session, models.Article, key)
            before = len(statements)
            await version.revert(session, relations=["notes"])
            await session.commit()
            counted.append(statements[before:])
            found = (
                await session.scalars(select(models.Note).order_by(models.Note.id).where(models.Note.id >= key))
            ).all()
            assert [(n.id, n.text, n.article_id) for n in found] == [
                (key + n, "t", None if n % 6 == 5 else key) for n in range(size)
            ]
            # What is left alone has its one version, and nothing has more than it was through.
            made = await revisions(session, models.Note)
            assert [made[key + n] for n in range(size)] == [(3, 3, 3, 3, 1, 2)[n % 6] for n in range(size)]
    assert len(counted[0]) == len(counted[1]), "\n\n".join(counted[1])
    assert len(counted[1]) <= 16, "\n\n".join(counted[1])


async def test_the_statements_of_a_path_over_several_classes_do_not_grow(sessions, models, statements):
    counted = []
    for key, size in ((1000, 2), (5000, 100)):
        async with sessions() as session:
            articles = [models.Article(id=key + n) for n in range(size)]
            session.add_all([models.Author(id=key, articles=articles), models.Category(id=key)])
            await session.flush()
            for article in articles:
                await session.refresh(article, ["tags"])
                article.tags = [models.Tag(id=article.id, category_id=key)]
            await session.commit()
            for article in (await session.scalars(select(models.Article).where(models.Article.id >= key))).all():
                article.name, article.author_id = "now", None
                (tag,) = await article.awaitable_attrs.tags
                tag.name, tag.category_id = "now", None
                if article.id % 2:
                    article.tags.clear()
            await session.commit()
            await session.delete(await session.get_one(models.Category, key))
            await session.commit()
        async with sessions() as session:
            version = await first(session, models.Author, key)
            before = len(statements)
            await version.revert(session, relations=["articles.tags.category"])
            await session.commit()
            counted.append(statements[before:])
            found = (
                select(models.Article.name, models.Tag.name, models.Category.id)
                .join(models.Author.articles)
                .join(models.Article.tags)
                .join(models.Tag.category)
                .where(models.Author.id == key)
            )
            assert list(map(tuple, await session.execute(found))) == [("n", "n", key)] * size
    assert len(counted[0]) == len(counted[1]), "\n\n".join(counted[1])


@pytest.mark.parametrize("raiseload", [False, True])
@pytest.mark.parametrize("held", [False, True])
async def test_columns_that_are_deferred_are_reverted_in_related_rows(own, database, raiseload, held):
    Base, manager = own()

    class Book(Versioned, Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        pages: Mapped[list["Page"]] = relationship()

    class Page(Versioned, Base):
        __tablename__ = "page"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str] = mapped_column(deferred=True, deferred_raiseload=raiseload)
        book_id: Mapped[int] = mapped_column(ForeignKey("book.id"))

    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add(Book(id=1, pages=[Page(id=1, text="one"), Page(id=2, text="same")]))
        await session.commit()
        await session.execute(update(Page).where(Page.id == 1).values(text="two"))
        await session.commit()
    async with sessions() as session:
        pages = (await session.scalars(select(Page))).all() if held else []
        plan = await (await versions_of(session, Book, 1)[0]).plan_revert(session, relations=["pages"])
        assert [entity.key for entity in plan.updated] == [(1,)]
        await (await versions_of(session, Book, 1)[0]).revert(session, relations=["pages"])
        await session.commit()
        assert len(pages) == (2 if held else 0)
    async with sessions() as session:
        texts = await session.execute(select(Page.id, Page.text).order_by(Page.id))
        assert [tuple(row) for row in texts] == [(1, "one"), (2, "same")]
        assert len(await versions_of(session, Page, 2)) == 1

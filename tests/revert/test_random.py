"""Whatever happened to an article and all around it: reverted to a version, the graph is what a SELECT showed then."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from sqlalchemy import func, select

import async_continuum as ac
from async_continuum import Operation, versions_of
from tests.kit.lives import run_lives
from tests.revert.web import WEBS

PATHS = ["author", "tags.category", "notes", "comments", "detail"]
KEYS = range(1, 5)


@dataclass(frozen=True)
class Step:
    """One thing that is done to an article, or to something that may be linked to it."""

    act: int
    article: int
    key: int
    word: str
    yes: bool
    where: int | None
    goes: bool


steps = st.builds(
    Step,
    act=st.integers(0, 8),
    article=st.sampled_from([1, 1, 1, 2]),
    key=st.sampled_from(KEYS),
    word=st.text("abc", min_size=1, max_size=3),
    yes=st.booleans(),
    where=st.sampled_from([1, 2, None]),
    # Now and then the article itself is deleted, too.
    goes=st.sampled_from([False] * 19 + [True]),
)
lives = st.lists(st.lists(steps, min_size=1, max_size=4), min_size=10, max_size=20)


@pytest.fixture(params=WEBS)
def models(request):
    return WEBS[request.param]


async def graph(session, m):
    """Article 1 and what its relations lead to, by plain statements."""

    async def rows(columns, *where):
        return sorted(map(tuple, await session.execute(select(*columns).where(*where))), key=repr)

    article, tag, link, category = m.Article.__table__, m.Tag.__table__, m.article_tag, m.Category.__table__
    linked = select(link.c.tag_id).where(link.c.article_id == 1)
    categories = select(tag.c.category_id).where(tag.c.id.in_(linked))
    note, comment, detail = m.Note.__table__, m.Comment.__table__, m.Detail.__table__
    author = m.Author.__table__
    authors = select(article.c.author_id).where(article.c.id == 1)
    return {
        "article": await rows(article.c, article.c.id == 1),
        "author": await rows(author.c, author.c.id.in_(authors)),
        "tags": await rows(tag.c, tag.c.id.in_(linked)),
        "categories": await rows(category.c, category.c.id.in_(categories)),
        "notes": await rows(note.c, note.c.article_id == 1),
        "comments": await rows(comment.c, comment.c.article_id == 1),
        "detail": await rows(detail.c, detail.c.article_id == 1),
    }


async def take(session, m, step):
    """Do it, as far as what there is allows it."""
    key, word = step.key, step.word
    article = await session.get(m.Article, step.article)
    if article is None:
        session.add(m.Article(id=step.article, name=word, author_id=None))
        return
    match step.act:
        case 0 | 1:
            article.name = word
        case 2:
            tag = await session.get(m.Tag, key) or m.Tag(id=key)
            session.add(tag)
            tags = await article.awaitable_attrs.tags
            tags.remove(tag) if tag in tags else tags.append(tag)
        case 3:
            tag = await session.get(m.Tag, key)
            if tag is not None and step.yes:
                await session.delete(tag)
            elif tag is not None:
                tag.name, tag.category = word, await session.get(m.Category, key) or m.Category(id=key)
        case 4:
            note = await session.get(m.Note, key) or m.Note(id=key)
            session.add(note)
            note.text, note.article_id = word, step.where if article.id == 1 else 2
        case 5:
            note = await session.get(m.Note, key)
            if note is not None:
                await session.delete(note)
        case 6:
            comments = await article.awaitable_attrs.comments
            comment = await session.get(m.Comment, key)
            if comment in comments:
                comments.remove(comment)
            elif comment is not None:
                comment.text = word
            else:
                comments.append(m.Comment(id=key, text=word))
        case 7:
            if await article.awaitable_attrs.detail is None:
                article.detail = await session.get(m.Detail, key) or m.Detail(id=key)
            elif step.yes:
                article.detail = None
        case 8:
            author = await session.get(m.Author, key)
            if author is None:
                article.author_id = None
                session.add(m.Author(id=key, name=word))
            elif step.yes:
                article.author_id = key
            else:
                author.name = word
    if step.goes and article.id == 1:
        await session.flush()
        await session.refresh(article)
        for note in await article.awaitable_attrs.notes:
            note.article_id = None
        await session.flush()
        await session.refresh(article)
        await session.delete(article)


async def live(sessions, m, life):
    """Live it; give what plain statements showed after each transaction, by its id."""
    seen = {}
    newest = select(func.max(ac.transaction_class(m.Article).id))
    async with sessions() as session:
        session.add_all([m.Article(id=1), m.Article(id=2)])
        await session.commit()
        for day in life:
            seen[await session.scalar(newest)] = await graph(session, m)
            for step in day:
                await take(session, m, step)
                await session.flush()
                session.expire_all()
            await session.commit()
        seen[await session.scalar(newest)] = await graph(session, m)
    return seen


@pytest.mark.timeout(600)
def test_reverted_to_any_version_the_graph_is_what_it_was(models, backend, places):
    m, counted = models, Counter()

    async def told(sessions, life, reverts):
        seen = await live(sessions, m, life)
        async with sessions() as session:
            for which in reverts:
                versions = [
                    version
                    for version in await versions_of(session, m.Article, 1)
                    if version.operation_type is not Operation.DELETE and version.transaction_id in seen
                ]
                version = versions[which % len(versions)]
                wanted = seen[version.transaction_id]
                plan = await version.plan_revert(session, relations=PATHS)
                await version.revert(session, relations=PATHS)
                await session.commit()
                assert await graph(session, m) == wanted, f"at {version.transaction_id}:\n{plan}"
                assert not await version.plan_revert(session, relations=PATHS)
                await session.commit()
                for word in ("linked", "unlinked"):
                    counted.update({f"{link.relation} {word}" for link in getattr(plan, word)})
                for word in ("inserted", "updated", "deleted"):
                    counted.update({f"{entity.model.__name__} {word}" for entity in getattr(plan, word)})

    reverts = st.lists(st.integers(0, 99), min_size=5, max_size=10)
    run_lives(told, m, backend, places, examples=6, life=lives, reverts=reverts)
    # Otherwise the lives would prove nothing about them.
    for relation, member in (("comments", "Comment"), ("detail", "Detail")):
        assert all(counted[done] for done in (f"{member} inserted", f"{member} deleted", f"{relation} linked"))
    assert all(counted[f"{relation} {done}"] for relation in ("tags", "notes") for done in ("linked", "unlinked"))
    assert counted["Article updated"] > 10

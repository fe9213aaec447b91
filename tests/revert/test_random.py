"""Whatever happened to an article and all around it: reverted to a version, the graph is what a SELECT showed then."""

from random import Random

import pytest
from sqlalchemy import func, select

import async_continuum as ac
from async_continuum import Operation, versions_of
from tests.revert.web import WEBS

PATHS = ["author", "tags.category", "notes", "comments", "detail"]
KEYS = range(1, 5)


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


async def change(session, m, random):
    """Do one random thing to the articles, or to something that may be linked to them."""
    key, word = random.choice(KEYS), random.choice("abc")
    article = await session.get(m.Article, random.choice((1, 1, 1, 2)))
    if article is None:
        session.add(m.Article(id=1, name=word, author_id=None))
        return
    match random.randrange(9):
        case 0 | 1:
            article.name = word + str(random.randrange(100))
        case 2:
            tag = await session.get(m.Tag, key) or m.Tag(id=key)
            session.add(tag)
            tags = await article.awaitable_attrs.tags
            tags.remove(tag) if tag in tags else tags.append(tag)
        case 3:
            tag = await session.get(m.Tag, key)
            if tag is not None and random.random() < 0.5:
                await session.delete(tag)
            elif tag is not None:
                tag.name, tag.category = word, await session.get(m.Category, key) or m.Category(id=key)
        case 4:
            note = await session.get(m.Note, key) or m.Note(id=key)
            session.add(note)
            note.text, note.article_id = word, random.choice((1, 2, None)) if article.id == 1 else 2
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
            elif random.random() < 0.7:
                article.detail = None
        case 8:
            author = await session.get(m.Author, key)
            if author is None:
                article.author_id = None
                session.add(m.Author(id=key, name=word))
            elif random.random() < 0.6:
                article.author_id = key
            else:
                author.name = word
    if random.random() < 0.05 and article.id == 1:
        await session.flush()
        await session.refresh(article)
        for note in await article.awaitable_attrs.notes:
            note.article_id = None
        await session.flush()
        await session.refresh(article)
        await session.delete(article)


@pytest.mark.parametrize("seed", range(4))
async def test_reverted_to_any_version_the_graph_is_what_it_was(sessions, models, seed):
    random, m = Random(seed), models
    Transaction = ac.transaction_class(m.Article)
    seen = {}
    async with sessions() as session:
        session.add_all([m.Article(id=1), m.Article(id=2)])
        await session.commit()
        for _ in range(40):
            seen[await session.scalar(select(func.max(Transaction.id)))] = await graph(session, m)
            for _ in range(random.choice((1, 1, 2, 4))):
                await change(session, m, random)
                await session.flush()
                session.expire_all()
            await session.commit()
        for _ in range(12):
            version = random.choice(await versions_of(session, m.Article, 1))
            if version.operation_type is Operation.DELETE or version.transaction_id not in seen:
                continue
            wanted = seen[version.transaction_id]
            plan = await version.plan_revert(session, relations=PATHS)
            await version.revert(session, relations=PATHS)
            await session.commit()
            assert await graph(session, m) == wanted, f"at {version.transaction_id}:\n{plan}"
            assert not await version.plan_revert(session, relations=PATHS)
            await session.commit()

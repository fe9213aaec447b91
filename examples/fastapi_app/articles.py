"""Write articles: nothing here speaks of history."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, BackgroundTasks, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from examples.fastapi_app.database import Database, PlainSession, SignedSession, SignedSyncSession
from examples.fastapi_app.models import Article, Tag

router = APIRouter(prefix="/articles", tags=["articles"])


class Draft(BaseModel):
    title: str
    body: str = ""
    tags: list[str] = []


class Edit(BaseModel):
    title: str | None = None
    body: str | None = None
    tags: list[str] | None = None


class Shown(BaseModel):
    id: int
    title: str
    body: str
    published: bool
    tags: list[str]

    @classmethod
    def of(cls, article: Article) -> Shown:
        return cls(
            id=article.id,
            title=article.title,
            body=article.body,
            published=article.published,
            tags=sorted(tag.name for tag in article.tags),
        )


@router.post("", status_code=201)
async def write_article(draft: Draft, session: SignedSession) -> Shown:
    article = Article(title=draft.title, body=draft.body, published=False, tags=await tags_of(session, draft.tags))
    session.add(article)
    await commit(session)
    return Shown.of(article)


@router.patch("/{article_id}")
async def edit_article(article_id: int, edit: Edit, session: SignedSession) -> Shown:
    article = await article_with(session, article_id)
    for name in ("title", "body"):
        value = getattr(edit, name)
        if value is not None:
            setattr(article, name, value)
    if edit.tags is not None:
        article.tags = await tags_of(session, edit.tags)
    await commit(session)
    return Shown.of(article)


@router.delete("/{article_id}", status_code=204)
async def delete_article(article_id: int, session: SignedSession) -> None:
    await session.delete(await article_with(session, article_id))
    await commit(session)


@router.post("/{article_id}/publish")
def publish_article(article_id: int, session: SignedSyncSession) -> Shown:
    """A `def` endpoint, in a thread, with a synchronous session: the same history."""
    article = session.get(Article, article_id, with_for_update=True)
    if article is None:
        raise HTTPException(404)
    article.published = True
    session.commit()
    return Shown.of(article)


@router.post("/{article_id}/retract", status_code=202)
async def retract_article(article_id: int, session: PlainSession, tasks: BackgroundTasks, request: Request) -> None:
    """What a service does with its key: the middleware knows it. The work follows after the response."""
    if not request.user.is_authenticated:
        raise HTTPException(401)
    # The task runs while this session is still open: it gives its connection back, or a small pool waits for itself.
    async with session.begin():
        await article_with(session, article_id)
    tasks.add_task(retract, request.app.state.database, article_id)


async def retract(database: Database, article_id: int) -> None:
    """A background task: the context of the request that has started it still holds."""
    async with database.sessions() as session:
        article = await session.get_one(Article, article_id)
        article.published = False
        await session.commit()


async def article_with(session: AsyncSession, article_id: int) -> Article:
    article = await session.get(Article, article_id, options=[selectinload(Article.tags)])
    if article is None:
        raise HTTPException(404)
    return article


async def tags_of(session: AsyncSession, names: Sequence[str]) -> list[Tag]:
    known = {tag.name: tag for tag in await session.scalars(select(Tag).where(Tag.name.in_(names)))}
    return [known.get(name) or Tag(name=name) for name in dict.fromkeys(names)]


async def commit(session: AsyncSession) -> None:
    try:
        await session.commit()
    except IntegrityError as error:
        raise HTTPException(409, "this title is taken") from error

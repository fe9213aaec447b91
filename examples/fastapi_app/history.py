"""Read the history of an article, compare, show it as it was, and take it back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import AwareDatetime, BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from async_continuum import changesets, transaction_class, version_class, versions_of
from examples.fastapi_app.articles import Shown, article_with
from examples.fastapi_app.database import SignedSession
from examples.fastapi_app.models import Article

router = APIRouter(prefix="/articles/{article_id}", tags=["history"])

ArticleVersion: Any = version_class(Article)
Transaction: Any = transaction_class(Article)


class Changed(BaseModel):
    old: Any
    new: Any


class Entry(BaseModel):
    transaction_id: int
    operation: str
    at: datetime
    user: str | None
    address: str | None
    request_id: str | None
    changes: dict[str, Changed]


class Goal(BaseModel):
    transaction_id: int
    tags: bool = True


@router.get("/history")
async def list_history(article_id: int, session: SignedSession, limit: int = 50) -> list[Entry]:
    """Newest first, each with its author and what it changed: a constant number of queries, whatever the limit."""
    transaction = selectinload(ArticleVersion.transaction)
    newest = versions_of(session, Article, article_id).order_by(ArticleVersion.transaction_id.desc()).limit(limit)
    versions: list[Any] = await newest.options(
        transaction.selectinload(Transaction.user), transaction.selectinload(Transaction.meta_relation)
    )
    changes = await changesets(session, versions)
    return [
        Entry(
            transaction_id=version.transaction_id,
            operation=version.operation_type.name,
            at=version.transaction.issued_at,
            user=version.transaction.user.name if version.transaction.user else None,
            address=version.transaction.remote_addr,
            request_id=version.transaction.meta.get("request_id"),
            changes={name: Changed(old=old, new=new) for name, (old, new) in changes[version].items()},
        )
        for version in versions
    ]


@router.get("/diff")
async def compare(article_id: int, since: int, until: int, session: SignedSession) -> dict[str, Changed]:
    """What differs between the states after two transactions."""
    before, after = [await version_at(session, article_id, moment) for moment in (since, until)]
    return {name: Changed(old=old, new=new) for name, (old, new) in (await before.diff(after)).items()}


@router.get("/as-it-was")
async def as_it_was(article_id: int, moment: AwareDatetime, session: SignedSession) -> Shown:
    """The article with its tags at a moment, also where it is deleted by now."""
    version = await version_at(session, article_id, moment, selectinload(ArticleVersion.tags))
    return Shown.of(version)


@router.post("/revert")
async def revert(article_id: int, goal: Goal, session: SignedSession) -> Shown:
    """Make the state after a transaction the present again; that is a change like others, with an author."""
    version = await version_at(session, article_id, goal.transaction_id)
    await version.revert(session, relations=["tags"] if goal.tags else [])
    await session.commit()
    return Shown.of(await article_with(session, article_id))


async def version_at(session: AsyncSession, article_id: int, moment: datetime | int, *options: Any) -> Any:
    try:
        version = await versions_of(session, Article, article_id).options(*options).at(moment)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    if version is None:
        raise HTTPException(404, "it was not there at that moment")
    return version

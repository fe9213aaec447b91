"""A Celery worker whose tasks sign what they change: who has asked for them, and which task it was."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from celery import Celery, Task
from sqlalchemy import String, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncAttrs, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker
from sqlalchemy.pool import NullPool

from async_continuum import Versioned, VersioningManager, make_versioned, versioning_context

URL = make_url(os.environ.get("DATABASE_URL", "sqlite:///worker.db"))
# The drivers of the synchronous and of the asynchronous sessions.
DRIVERS = {"sqlite": ("sqlite", "sqlite+aiosqlite"), "postgresql": ("postgresql+psycopg", "postgresql+asyncpg")}
SYNCHRONOUS, ASYNCHRONOUS = (URL.set(drivername=name) for name in DRIVERS[URL.get_backend_name()])


class Base(AsyncAttrs, DeclarativeBase):
    pass


manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls="User")


class User(Base):
    __tablename__ = "user_account"
    id: Mapped[int] = mapped_column(primary_key=True)


class Article(Versioned, Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))


# Celery's tasks are synchronous: a plain Session is recorded like an AsyncSession, into the same history.
sessions = sessionmaker(create_engine(SYNCHRONOUS))

# A pool belongs to one event loop, and asyncio.run() makes a new loop for each task.
async_sessions = async_sessionmaker(create_async_engine(ASYNCHRONOUS, poolclass=NullPool))


class SignedTask(Task):  # type: ignore[misc]
    """Runs in the context that it was sent with: `task.apply_async(args, headers=signed(user_id=5))`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        sent = (self.request.headers or {}).get("versioning", {})
        with versioning_context(**sent):
            return super().__call__(*args, **kwargs)


def signed(**who: Any) -> dict[str, Any]:
    """Make the headers that carry a context to the worker: what `versioning_context` takes, in JSON's types."""
    return {"versioning": who}


app = Celery("worker", broker=os.environ.get("BROKER_URL"), backend=os.environ.get("RESULT_URL"), task_cls=SignedTask)


@app.task
def write_article(title: str) -> None:
    """Work with a synchronous session."""
    with sessions() as session:
        session.add(Article(title=title))
        session.commit()


@app.task
def write_article_asynchronously(title: str) -> None:
    """Work with the coroutines of the web service: the context goes along into the event loop."""
    asyncio.run(store(title))


async def store(title: str) -> None:
    async with async_sessions() as session:
        session.add(Article(title=title))
        await session.commit()

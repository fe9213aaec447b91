"""Open sessions that know whose request they serve."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Engine, Select, create_engine, event, make_url, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import AsyncAdaptedQueuePool

from async_continuum import set_context
from examples.fastapi_app.models import User

SYNCHRONOUS = {"postgresql+asyncpg": "postgresql+psycopg", "sqlite+aiosqlite": "sqlite"}


@dataclass(frozen=True, slots=True)
class Database:
    """Both ways into one database: for `async def` endpoints, and for `def` endpoints in threads."""

    engine: AsyncEngine
    sync_engine: Engine
    sessions: async_sessionmaker[AsyncSession]
    sync_sessions: sessionmaker[Session]

    @classmethod
    def at(cls, url: str, *, pool_size: int = 5) -> Database:
        """Open the database at a URL, such as ``postgresql+asyncpg://...`` or ``sqlite+aiosqlite:///app.db``."""
        parsed = make_url(url)
        # The class of pool that SQLAlchemy takes by itself, on SQLite since 2.0.38.
        engine = create_async_engine(parsed, poolclass=AsyncAdaptedQueuePool, pool_size=pool_size, max_overflow=0)
        sync_url = parsed.set(drivername=SYNCHRONOUS[parsed.drivername])
        sync_engine = create_engine(sync_url, pool_size=pool_size, max_overflow=0)
        if parsed.get_backend_name() == "sqlite":
            for each in (engine.sync_engine, sync_engine):
                begin_by_itself(each)
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        return cls(engine, sync_engine, sessions, sessionmaker(sync_engine, expire_on_commit=False))

    async def close(self) -> None:
        await self.engine.dispose()
        self.sync_engine.dispose()


def begin_by_itself(engine: Engine) -> None:
    """Open SQLite with SQLAlchemy's documented recipe, without which a savepoint does not hold."""

    @event.listens_for(engine, "connect")
    def no_implicit_begin(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")


# A synchronous dependency: FastAPI runs it in a thread. It could not set a context for the endpoint from there.
def bearer_token(
    credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer(auto_error=True))],
) -> str:
    return credentials.credentials


Token = Annotated[str, Depends(bearer_token)]


def user_with(token: str) -> Select[tuple[User]]:
    return select(User).where(User.token == token)


def known(user: User | None) -> User:
    if user is None:
        raise HTTPException(401, "unknown token")
    return user


async def get_session(request: Request, token: Token) -> AsyncIterator[AsyncSession]:
    """Open the session of a request, signed by its user, who is known only here."""
    database: Database = request.app.state.database
    async with database.sessions() as session:
        set_context(session, user=known(await session.scalar(user_with(token))))
        yield session


def get_sync_session(request: Request, token: Token) -> Iterator[Session]:
    """Open the synchronous session of a `def` endpoint, signed in the same way."""
    database: Database = request.app.state.database
    with database.sync_sessions() as session:
        set_context(session, user=known(session.scalar(user_with(token))))
        yield session


async def get_plain_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Open a session whose changes the middleware signs: for what a middleware has authenticated."""
    database: Database = request.app.state.database
    async with database.sessions() as session:
        yield session


SignedSession = Annotated[AsyncSession, Depends(get_session)]
SignedSyncSession = Annotated[Session, Depends(get_sync_session)]
PlainSession = Annotated[AsyncSession, Depends(get_plain_session)]

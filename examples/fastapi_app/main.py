"""Put the service together; `VersioningMiddleware` gives every transaction its address and its request id."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI
from sqlalchemy import select
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, UnauthenticatedUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection

from async_continuum.ext.asgi import Scope, VersioningMiddleware
from examples.fastapi_app import articles, history
from examples.fastapi_app.database import Database
from examples.fastapi_app.models import Base, User


class Service(BaseUser):
    """Who comes with a key rather than a token: another program."""

    def __init__(self, user_id: int) -> None:
        self.user_id = user_id

    @property
    def is_authenticated(self) -> bool:
        return True


class ServiceKeys(AuthenticationBackend):
    """Knows services by the header ``X-Service-Key``."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser]:
        key = conn.headers.get("x-service-key")
        if key is None:
            return AuthCredentials(), UnauthenticatedUser()
        async with self.database.sessions() as session:
            user_id = await session.scalar(select(User.id).where(User.token == key))
        return AuthCredentials(), UnauthenticatedUser() if user_id is None else Service(user_id)


def service_of(scope: Scope) -> int | None:
    """Give the user whom a middleware has found; asked when a transaction is recorded, so its place does not matter."""
    user = scope.get("user")
    return user.user_id if isinstance(user, Service) else None


def create_app(url: str | None = None, *, trusted_proxies: Sequence[str] = ()) -> FastAPI:
    """Make the service for one database, by default that of the environment."""
    database = Database.at(url or os.environ.get("DATABASE_URL", "sqlite+aiosqlite:///articles.db"))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with database.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield
        await database.close()

    app = FastAPI(title="Articles with a past", lifespan=lifespan)
    app.state.database = database
    app.include_router(articles.router)
    app.include_router(history.router)
    app.add_middleware(AuthenticationMiddleware, backend=ServiceKeys(database))
    app.add_middleware(VersioningMiddleware, user=service_of, trusted_proxies=trusted_proxies)
    return app

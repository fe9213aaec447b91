"""Decide whose changes are recorded: which sessions, and which mapped classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession, async_session, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapper, Session, sessionmaker

from async_continuum.errors import ImproperlyConfigured


@dataclass(frozen=True, slots=True)
class SessionScope:
    """The sessions that are recorded. Lives as long as its manager is active."""

    listened: type[Session]
    """The class whose events are listened to; its subclasses come with it."""
    asynchronous: type[AsyncSession] | None = None
    """The class of `AsyncSession` around it, where only that tells which sessions are meant."""
    maker: async_sessionmaker[Any] | None = None
    """What makes the sessions, where only that tells which are meant."""

    def covers(self, session: Session) -> bool:
        """Say whether a session is recorded."""
        if not isinstance(session, self.listened):
            return False
        around = self.asynchronous if self.maker is None else self.maker.class_
        return around is None or isinstance(async_session(session), around)

    def hold(self) -> None:
        """Give an `async_sessionmaker` a class of its own, as every `sessionmaker` has, to know its sessions by."""
        if self.maker is None:
            return
        given = self.maker.class_
        if "__scopes__" not in vars(given):
            self.maker.class_ = type(given.__name__, (given,), {"__module__": given.__module__, "__scopes__": 0})
        self.maker.class_.__scopes__ += 1

    def release(self) -> None:
        """Undo `hold`, unless another manager records the same sessions."""
        if self.maker is None:
            return
        own: Any = self.maker.class_
        own.__scopes__ -= 1
        if own.__scopes__ == 0:
            self.maker.class_ = own.__base__


def session_scope(session: Any) -> SessionScope:
    """Read ``make_versioned(session=...)``: a session class or a sessionmaker, synchronous or not."""
    if isinstance(session, sessionmaker):
        return SessionScope(session.class_)
    if isinstance(session, async_sessionmaker):
        given = session.kw.get("sync_session_class", session.class_.sync_session_class)
        return SessionScope(given, maker=session)
    if isinstance(session, type) and issubclass(session, AsyncSession):
        whole = session is AsyncSession
        return SessionScope(session.sync_session_class, None if whole else session)
    if isinstance(session, type) and issubclass(session, Session):
        return SessionScope(session)
    raise ImproperlyConfigured(
        f"session={session!r} is no session class and no sessionmaker: give Session, AsyncSession, a subclass of "
        "either, or a sessionmaker.",
        option="session",
    )


@dataclass(frozen=True, slots=True)
class MapperScope:
    """The mapped classes that are versioned. Lives as long as its manager is active."""

    mapper: type[Mapper[Any]] = Mapper
    base: type | None = None

    def covers(self, mapper: Mapper[Any]) -> bool:
        """Say whether the class of a mapper is versioned by this manager, if it declares so."""
        return isinstance(mapper, self.mapper) and (self.base is None or issubclass(mapper.class_, self.base))


def mapper_scope(mapper: Any) -> MapperScope:
    """Read ``make_versioned(mapper=...)``: a mapper class, a mapped class or a declarative base."""
    if isinstance(mapper, type) and issubclass(mapper, Mapper):
        return MapperScope(mapper=mapper)
    if isinstance(mapper, type) and mapper is not DeclarativeBase:
        return MapperScope(base=mapper)
    raise ImproperlyConfigured(
        f"mapper={mapper!r} is no mapper class, no mapped class and no declarative base.", option="mapper"
    )

"""Find the session and the key by which an object's history is read."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncSession, async_object_session, async_scoped_session
from sqlalchemy.orm import InstanceState, Session, object_session

from async_continuum.build import Blueprint
from async_continuum.errors import NoSession, wrong_session

AnySession = AsyncSession | async_scoped_session[Any]
"""What stands for an `AsyncSession` wherever one is asked for."""


def require_async(session: object) -> AsyncSession:
    """Refuse any session but an `AsyncSession`. Raises `TypeError`."""
    if isinstance(session, async_scoped_session):
        scoped: AsyncSession = session()
        return scoped
    if not isinstance(session, AsyncSession):
        raise wrong_session(session, wanted="sqlalchemy.ext.asyncio.AsyncSession")
    return session


def require_sync(session: object) -> Session:
    """Give the `Session` inside an `AsyncSession`, or a `Session` itself. Raises `TypeError` for anything else."""
    if isinstance(session, async_scoped_session):
        session = session()
    if isinstance(session, AsyncSession):
        return session.sync_session
    if not isinstance(session, Session):
        raise wrong_session(session, wanted="an AsyncSession or a Session")
    return session


def session_of(instance: object, given: object = None) -> AsyncSession:
    """Give the session to read with: the one given, or the one that the object lives in.

    Raises `NoSession`, or `TypeError` for a synchronous one.
    """
    if given is not None:
        return require_async(given)
    session = async_object_session(instance)
    if session is not None:
        return session
    synchronous = object_session(instance)
    if synchronous is not None:
        raise wrong_session(synchronous, wanted="sqlalchemy.ext.asyncio.AsyncSession")
    raise NoSession(instance)


def is_transient(instance: object) -> bool:
    """Say whether an object was never stored and is in no session."""
    state: InstanceState[Any] = inspect(instance)
    return state.transient


def key_from(key: Any, blueprint: Blueprint) -> tuple[Any, ...]:
    """Read a primary key as `AsyncSession.get` does: a value, a tuple, or a dict by attribute name.

    Raises `ValueError` where it does not fit.
    """
    if isinstance(key, dict):
        if set(key) != set(blueprint.key):
            raise ValueError(f"the key of {blueprint.model.__name__} has {', '.join(blueprint.key)}, got {key!r}")
        return tuple(key[name] for name in blueprint.key)
    values = tuple(key) if isinstance(key, (tuple, list)) else (key,)
    if len(values) != len(blueprint.key):
        raise ValueError(f"the key of {blueprint.model.__name__} has {', '.join(blueprint.key)}, got {key!r}")
    return values

"""Say who changes something and why: values that a task or a session gives to its transactions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar, cast

from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session
from sqlalchemy.orm import Session

from async_continuum.errors import wrong_session
from async_continuum.record.values import all_awaited, waits

P = ParamSpec("P")
R = TypeVar("R")

G = TypeVar("G")

Blocks = tuple[tuple[object, G], ...]
"""The blocks that a task is inside, the innermost last: whose each is, and what it gives."""

_EMPTY: Mapping[str, Any] = MappingProxyType({})


class _Absent(Enum):
    """Stands for an argument that is not given: None is a value, nobody."""

    NOT_GIVEN = "not given"


_NOT_GIVEN: Any = _Absent.NOT_GIVEN
_SESSION_KEY = "async_continuum.context"


@dataclass(frozen=True, slots=True)
class Context:
    """Who and why. Immutable, because a value that a task holds must not change under another's hands."""

    columns: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    meta: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    blocks: Blocks[Context] = field(default=(), compare=False, repr=False)
    """What adds up to these values."""

    def over(self, outer: Context) -> Context:
        """Lay these values over those of an outer context."""
        return Context(
            MappingProxyType({**outer.columns, **self.columns}), MappingProxyType({**outer.meta, **self.meta})
        )

    @classmethod
    def of(cls, blocks: Blocks[Context]) -> Context:
        """Add up what blocks give; the innermost wins."""
        context = cls()
        for _, given in blocks:
            context = given.over(context)
        return replace(context, blocks=blocks)


@dataclass(frozen=True, slots=True)
class IfStored:
    """A value of ``meta`` that is left out where no plugin stores meta, instead of being refused. Immutable."""

    value: Any


@dataclass(frozen=True, slots=True)
class _Disabled:
    """Whose changes are not recorded: None for everybody's. Immutable."""

    models: frozenset[type] | None = frozenset()
    blocks: Blocks[frozenset[type]] = ()

    @classmethod
    def of(cls, blocks: Blocks[frozenset[type]]) -> _Disabled:
        """Add up what blocks name; one that names nothing means everybody."""
        named = [models for _, models in blocks]
        return cls(frozenset().union(*named) if all(named) else None, blocks)


_current: ContextVar[Context] = ContextVar("async_continuum.context", default=Context())  # noqa: B039 - frozen
_disabled: ContextVar[_Disabled] = ContextVar("async_continuum.disabled", default=_Disabled())  # noqa: B039 - frozen


class _Scope(AbstractContextManager[None]):
    """Sets a context variable for a block, or for each call of a function that it decorates.

    It holds no state of its own, so that several tasks may be inside one at the same time. The blocks that are open are
    kept in the value: a token could not be given back where a block is left in another context than it was entered in,
    as the dependencies of web frameworks are. There it is not found, and what others have begun stays.
    """

    def __enter__(self) -> None:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            # Its body runs in pieces, in between which the caller would be inside the block as well.
            raise TypeError(f"{function!r} is a generator, which a context cannot decorate: use `with` inside of it.")
        if iscoroutinefunction(function):

            @wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                async with self:
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", awaited)

        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return called


class versioning_context(_Scope):
    """Give every transaction recorded in this block a user, an address, a reason.

    ``user`` is a key, a mapped object (also an expired, detached or foreign one: its key is read without IO), or a
    callable that gives either, called at the first recording of a transaction. A coroutine function is awaited when
    the block begins, which then has to be an ``async with``, or to decorate a coroutine function. Contexts nest and
    add up; None is nobody, and takes back what holds around the block. Also usable as a decorator of functions and
    coroutine functions.
    """

    def __init__(
        self,
        *,
        user: Any = _NOT_GIVEN,
        user_id: Any = _NOT_GIVEN,
        remote_addr: str | None = _NOT_GIVEN,
        meta: Mapping[str, Any] | None = None,
        **transaction_columns: Any,
    ) -> None:
        self._context = _context(user, user_id, remote_addr, meta, transaction_columns)

    def __enter__(self) -> None:
        _refuse_coroutines(self._context, "begin the block with `async with`, where they are awaited")
        self._begin(self._context)

    def __exit__(self, *_: object) -> None:
        _current.set(Context.of(_without(_current.get().blocks, self)))

    async def __aenter__(self) -> None:
        given = self._context
        if any(map(waits, (*given.columns.values(), *given.meta.values()))):
            given = Context(await all_awaited(given.columns), await all_awaited(given.meta))
        self._begin(given)

    def _begin(self, given: Context) -> None:
        _current.set(Context.of((*_current.get().blocks, (self, given))))


class versioning_disabled(_Scope):
    """Record nothing of what is flushed in this block; of the given models only, where some are given."""

    def __init__(self, *models: type) -> None:
        for model in models:
            if not isinstance(model, type):
                raise TypeError(f"versioning_disabled() takes model classes, not {model!r}")
        self._models = frozenset(models)

    def __enter__(self) -> None:
        _disabled.set(_Disabled.of((*_disabled.get().blocks, (self, self._models))))

    def __exit__(self, *_: object) -> None:
        _disabled.set(_Disabled.of(_without(_disabled.get().blocks, self)))


def _without(blocks: Blocks[G], owner: object) -> Blocks[G]:
    """Take the innermost block of this owner out, where it has one."""
    for place in reversed(range(len(blocks))):
        if blocks[place][0] is owner:
            return (*blocks[:place], *blocks[place + 1 :])
    return blocks


def is_disabled(model: type | None) -> bool:
    """Say whether the running task records no changes of this model; without one, of any."""
    disabled = _disabled.get().models
    return disabled is None or (bool(disabled) and model is not None and not disabled.isdisjoint(model.__mro__))


def is_anything_disabled() -> bool:
    """Say whether the running task records no changes of any model, or of some."""
    return _disabled.get().models != frozenset()


def set_context(
    session: AsyncSession | async_scoped_session[Any] | Session,
    *,
    user: Any = _NOT_GIVEN,
    user_id: Any = _NOT_GIVEN,
    remote_addr: str | None = _NOT_GIVEN,
    meta: Mapping[str, Any] | None = None,
    **transaction_columns: Any,
) -> None:
    """Give every later transaction of one session a user, an address, a reason; they win over `versioning_context`.

    Calls add up, and None takes a value back. What a FastAPI dependency calls, where the user is known only there.
    """
    if not isinstance(session, (AsyncSession, async_scoped_session, Session)):
        raise wrong_session(session, wanted="an AsyncSession")
    given = _context(user, user_id, remote_addr, meta, transaction_columns)
    _refuse_coroutines(given, "await them, and give set_context() what they give")
    session.info[_SESSION_KEY] = given.over(session.info.get(_SESSION_KEY, Context()))


def context_of(session: Session) -> Context:
    """Resolve who and why for a session, now: its own values over those of the running task."""
    own: Context | None = session.info.get(_SESSION_KEY)
    return _current.get() if own is None else own.over(_current.get())


def under(context: Context, defaults: Sequence[Mapping[str, Any]]) -> Context:
    """Lay a context over what plugins say, as arguments of `versioning_context`; the first of them wins."""
    for given in reversed(defaults):
        known = dict(given)
        user, user_id, address = (known.pop(name, _NOT_GIVEN) for name in ("user", "user_id", "remote_addr"))
        meta = known.pop("meta", None)
        context = context.over(_context(user, user_id, address, meta, known))
    return context


def _context(
    user: Any, user_id: Any, remote_addr: str | None, meta: Mapping[str, Any] | None, columns: Mapping[str, Any]
) -> Context:
    if user is not _NOT_GIVEN and user_id is not _NOT_GIVEN:
        raise TypeError("give user= or user_id=, not both")
    given = {"user_id": user if user is not _NOT_GIVEN else user_id, "remote_addr": remote_addr, **columns}
    return Context(
        MappingProxyType({name: value for name, value in given.items() if value is not _NOT_GIVEN}),
        MappingProxyType(dict(meta or {})),
    )


def _refuse_coroutines(context: Context, remedy: str) -> None:
    waiting = [name for name, value in (*context.columns.items(), *context.meta.items()) if waits(value)]
    if waiting:
        raise TypeError(f"coroutine functions are given for {', '.join(waiting)}, which a flush cannot await: {remedy}")

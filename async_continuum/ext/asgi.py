"""Give every transaction of a web request its user, its address and its request id: an ASGI middleware."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import partial
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from ipaddress import IPv4Network, IPv6Network
from typing import Any
from uuid import uuid4

from async_continuum import versioning_context
from async_continuum.ext.proxies import ForwardedHeader, TrustedProxies
from async_continuum.record import IfStored

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_LONGEST_ID = 200


class VersioningMiddleware:
    """Sign what is recorded during a request, a websocket or a background task of either. Lives as long as the server.

    ``user`` gets the request's scope and gives a key, a mapped object, or None for nobody. A plain function is called
    when a transaction is first recorded, so that it sees what authentication has put into the scope by then, and must
    not wait; a coroutine function is awaited when the request starts. What the middleware gives is the outermost
    context: a `versioning_context` in the request, and `set_context` on its session, win.

    The address is ``scope["client"]``. Only where that is one of ``trusted_proxies`` (addresses, networks, or
    ``"unix"`` for a Unix socket) the ``forwarded_header`` is read, from the last proxy outwards to the first address
    that is not trusted. The header ``request_id_header`` goes into the transaction's meta as ``request_id``; a request
    without one gets a fresh id; None switches it off.

    Raises `ValueError` for a network or header that is none, and in the request `TypeError` for a plain function that
    gives a coroutine.
    """

    def __init__(
        self,
        app: Application,
        *,
        user: Callable[[Scope], Any] | None = None,
        trusted_proxies: Sequence[str | IPv4Network | IPv6Network] = (),
        forwarded_header: ForwardedHeader = "x-forwarded-for",
        request_id_header: str | None = "x-request-id",
    ) -> None:
        self.app = app
        self._user = user
        self._waits = user is not None and _is_asynchronous(user)
        self._proxies = TrustedProxies.of(trusted_proxies, forwarded_header)
        self._request_id = None if request_id_header is None else request_id_header.lower().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with the request's context around it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = scope.get("headers", ())
        client = scope.get("client")
        address = self._proxies.sender(client[0] if client else None, headers)
        meta = {} if self._request_id is None else {"request_id": IfStored(_request_id(headers, self._request_id))}
        known = {"user": await self._user_of(scope), "remote_addr": address}
        # What the request does not tell leaves what holds around it.
        with versioning_context(meta=meta, **{name: value for name, value in known.items() if value is not None}):
            await self.app(scope, receive, send)

    async def _user_of(self, scope: Scope) -> Any:
        if self._user is None:
            return None
        if self._waits:
            return await self._user(scope)
        return partial(_called, self._user, scope)


def _is_asynchronous(user: Callable[[Scope], Any]) -> bool:
    return iscoroutinefunction(user) or iscoroutinefunction(getattr(user, "__call__", None))  # noqa: B004


def _called(user: Callable[[Scope], Any], scope: Scope) -> Any:
    given = user(scope)
    if isawaitable(given):
        if iscoroutine(given):
            given.close()
        raise TypeError(
            f"VersioningMiddleware(user={user!r}) gave a coroutine, which the flush cannot await: "
            "declare it with `async def`, so that it is awaited when the request starts."
        )
    return given


def _request_id(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> str:
    for name, value in headers:
        # Whoever sends the request has written it: what is no short line of text is not taken into history.
        if name.lower() == wanted and 0 < len(value) <= _LONGEST_ID and all(32 < byte < 127 for byte in value):
            return value.decode("ascii")
    return uuid4().hex

"""Sign transactions with what the running request says, where nobody inside it says otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from sqlalchemy.orm import Session

from async_continuum.plugins.base import Plugin

Said = Mapping[str, Any]
"""Arguments of `versioning_context`: ``user``, ``remote_addr``, ``meta``, columns of the transaction."""

current_request: ContextVar[Said | Callable[[], Said] | None] = ContextVar("async_continuum.request", default=None)
"""What the running request says; a callable is called when a transaction row is about to be written."""


class RequestPlugin(Plugin):
    """Put user and remote address of the running request on every transaction.

    An integration with a web framework sets `current_request` when a request starts. What `versioning_context` and
    `set_context` say inside of it wins.
    """

    def context(self, session: Session) -> Said:
        request = current_request.get()
        if request is None:
            return {}
        return request() if callable(request) else request

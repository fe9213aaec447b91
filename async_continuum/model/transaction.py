"""What a transaction offers beyond its own rows: the state of everything, as it left it."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from async_continuum import past, read


class TransactionBase(read.TransactionBase):
    """Base of every ``Transaction`` class: who changed something, when, from where. Lives as long as its session."""

    async def state(self, session: read.AnySession) -> AsyncSession:
        """Give a session in the past, inside ``session``: everything as this transaction left it.

        It holds nothing of its own, so that closing it is a courtesy; ``as_of(session, transaction)`` closes it at the
        end of a block. Raises `ValueError` for a transaction that is not recorded yet.
        """
        return await past.opened_as_of(session, self)

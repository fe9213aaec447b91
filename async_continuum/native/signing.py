"""Ask the database under which id triggers sign the running transaction, and share it with them."""

from __future__ import annotations

from sqlalchemy import Connection, text

from async_continuum.native.plan import TransactionPlan
from async_continuum.native.text import function_of_transactions, relation


def signed_as(connection: Connection, plan: TransactionPlan, *, stays: bool = True) -> int | None:
    """Give the id of the running transaction; None where no trigger has taken one.

    Its row ``stays`` then, whatever triggers do.
    """
    return _call(connection, plan, peek=True, stays=stays)


def take(connection: Connection, plan: TransactionPlan) -> int:
    """Give the id of the running transaction, and take one where there is none. Its row stays, whatever triggers do."""
    taken = _call(connection, plan, peek=False, stays=True)
    assert taken is not None
    return taken


def give_way(connection: Connection, plan: TransactionPlan, old: int) -> int:
    """Move a transaction that was overtaken, and what triggers have written for it, to a later id."""
    name = relation(function_of_transactions(plan, "overtaken"), plan.schema).replace(":", r"\:")
    new: int = connection.execute(text(f"SELECT {name}(CAST(:old AS bigint))"), {"old": old}).scalar_one()
    return new


def _call(connection: Connection, plan: TransactionPlan, *, peek: bool, stays: bool) -> int | None:
    name = relation(function_of_transactions(plan, "take"), plan.schema).replace(":", r"\:")
    called = text(f"SELECT {name}({str(stays).lower()}, {str(peek).lower()})")
    found: int | None = connection.execute(called).scalar_one()
    return found

"""Keep the `Transaction` object that the user asked for in step with the row that its transaction gets."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import InstanceState, Session, make_transient, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from async_continuum.build import blueprints_of


class Signature:
    """A transaction object asked for with `current_transaction`. Lives until the transaction ends.

    It is no pending object, because an autoflush would take the transaction's id too early; its values go into the
    row when that is written, and then it becomes persistent.
    """

    __slots__ = ("_stored", "_values", "transaction")

    def __init__(self, transaction: Any, *, stored: int | None = None) -> None:
        self.transaction = transaction
        self._stored = stored
        self._values: dict[str, Any] = {}

    @property
    def values(self) -> dict[str, Any]:
        """The column values that were set on the object."""
        state: InstanceState[Any] = inspect(self.transaction)
        return {
            column.key: state.dict[name]
            for name, column in state.mapper.columns.items()
            if name != "id" and state.dict.get(name) is not None
        }

    def follow(self, session: Session, transaction_id: int | None) -> None:
        """Make the object persistent under its row's id, or take it out again where the row is gone."""
        if transaction_id == self._stored:
            return
        if self._stored is not None and self.transaction in session and transaction_id is None:
            self._take_out(session)
        elif self._stored is None and transaction_id is not None:
            self._values = self.values
            set_committed_value(self.transaction, "id", transaction_id)
            make_transient_to_detached(self.transaction)
            session.add(self.transaction)
        self._stored = transaction_id

    def _take_out(self, session: Session) -> None:
        session.expunge(self.transaction)
        make_transient(self.transaction)
        self.transaction.__dict__.pop("id", None)
        for name, value in self._values.items():
            setattr(self.transaction, name, value)


def move_loaded(session: Session, transaction_class: Any, old: int, new: int) -> None:
    """Give the objects in a session that bear an overtaken transaction's id the one it has now."""
    versions = {blueprint.version_class: blueprint for blueprint in blueprints_of(transaction_class)}
    for instance in list(session.identity_map.values()):
        if isinstance(instance, transaction_class):
            if inspect(instance).identity == (old,):
                _move(session, instance, "id", new)
        elif (blueprint := versions.get(type(instance))) is not None:
            state: InstanceState[Any] = inspect(instance)
            if blueprint.settings.strategy == "validity" and state.dict.get(blueprint.ends) == old:
                set_committed_value(instance, blueprint.ends, new)
            if state.dict.get(blueprint.begins) == old:
                _move(session, instance, blueprint.begins, new)


def _move(session: Session, instance: Any, name: str, new: int) -> None:
    state: InstanceState[Any] = inspect(instance)
    unsaved = {key: state.dict[key] for key in state.committed_state if key in state.dict}
    session.expunge(instance)
    make_transient(instance)
    set_committed_value(instance, name, new)
    make_transient_to_detached(instance)
    session.add(instance)
    for key, value in unsaved.items():
        setattr(instance, key, value)

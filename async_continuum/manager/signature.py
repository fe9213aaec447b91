"""Keep the `Transaction` object that the user asked for in step with the row that its transaction gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, inspect, update
from sqlalchemy.orm import InstanceState, Mapper, Session, make_transient, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.util import identity_key

from async_continuum.build import blueprints_of
from async_continuum.plugins import Plugins, Signing
from async_continuum.record import Context, context_of, meta_values, transaction_values, under
from async_continuum.write import Ledger, Ledgers, Place, Rows, companions


class Signature:
    """A transaction object asked for with `current_transaction`. Lives until the transaction ends.

    It is no pending object, because an autoflush would take the transaction's id too early; its values go into the
    row when that is written, and then it becomes persistent.
    """

    __slots__ = ("_meta", "_stored", "_values", "transaction")

    def __init__(self, transaction: Any, *, stored: int | None = None) -> None:
        self.transaction = transaction
        self._stored = stored
        self._values: dict[str, Any] = {}
        self._meta: Mapping[str, Any] | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The column values that were set on the object."""
        state: InstanceState[Any] = inspect(self.transaction)
        return {
            column.key: state.dict[name]
            for name, column in state.mapper.columns.items()
            if name != "id" and state.dict.get(name) is not None
        }

    @property
    def meta(self) -> Mapping[str, Any]:
        """What was set on the object to be stored as meta, whether there is a place for it or not.

        A class of the user's own may have an attribute of that name.
        """
        state: InstanceState[Any] = inspect(self.transaction)
        given = None if "meta" in state.mapper.attrs else state.dict.get("meta")
        return {} if given is None else given

    def over(self, context: Context) -> Context:
        """Lay the object's meta over that of a context."""
        return Context(meta=self.meta).over(context)

    def follow(self, session: Session, transaction_id: int | None) -> None:
        """Make the object persistent under its row's id, or take it out again where the row is gone."""
        if transaction_id == self._stored:
            return
        if self._stored is not None and self.transaction in session and transaction_id is None:
            self._take_out(session)
        elif self._stored is None and transaction_id is not None:
            self._values, self._meta = self.values, self.meta
            if self._meta:
                # What is stored is read from there.
                del self.transaction.__dict__["meta"]
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
        if self._meta:
            self.transaction.meta = self._meta


def send_changes(session: Session, connection: Connection, transaction_class: Any, transaction_id: int) -> None:
    """Send what was set on the object of a running transaction, before a flush in which its row may take a later id."""
    mapper: Mapper[Any] = transaction_class.__mapper__
    instance = session.identity_map.get(identity_key(transaction_class, transaction_id))
    if instance is None or instance in session.deleted or not session.is_modified(instance):
        return
    state: InstanceState[Any] = inspect(instance)
    changed = {name: state.dict[name] for name, _ in mapper.columns.items() if name in state.committed_state}
    table = mapper.local_table
    values = {mapper.columns[name].key: value for name, value in changed.items()}
    connection.execute(update(table).where(table.c.id == transaction_id).values(values))  # type: ignore[arg-type]
    for name, value in changed.items():
        set_committed_value(instance, name, value)


def context_in(session: Session, plugins: Plugins) -> Context:
    """Give what is known of who writes in a session, and why: its own context, over that of plugins."""
    own = context_of(session)
    return under(own, plugins.contexts(session)) if plugins.plugins else own


def signed_values(
    session: Session, plugins: Plugins, transaction_class: Any, signature: Signature | None
) -> tuple[Mapping[str, Any], list[Rows]]:
    """Ask who and why, once: the values of a new transaction row, and the rows that come with it."""
    context = context_in(session, plugins)
    values = transaction_values(context, transaction_class.__mapper__.local_table)
    if signature is not None:
        values, context = {**values, **signature.values}, signature.over(context)
    if not plugins.plugins and not context.meta:
        return values, []
    meta = meta_values(context, stored=plugins.stores_meta)
    return values, plugins.transaction_rows(Signing(session, transaction_class, meta)) if plugins.plugins else []


def bears_ids(session: Session, transaction_class: Any) -> bool:
    """Say whether a session holds any object that bears the id of a transaction of this class."""
    bearing = {blueprint.version_class for blueprint in blueprints_of(transaction_class)}
    bearing |= {transaction_class, *(each.model for each in companions(transaction_class.__mapper__.local_table))}
    return any(type(instance) in bearing for instance in session.identity_map.values())


def move_loaded(session: Session, transaction_class: Any, old: int, new: int) -> None:
    """Give the objects in a session that bear an overtaken transaction's id the one it has now."""
    versions = {blueprint.version_class: blueprint for blueprint in blueprints_of(transaction_class)}
    beside = {companion.model: companion for companion in companions(transaction_class.__mapper__.local_table)}
    for instance in list(session.identity_map.values()):
        if isinstance(instance, transaction_class):
            _move(session, instance, "id", old, new)
        elif (blueprint := versions.get(type(instance))) is not None:
            if inspect(instance).dict.get(blueprint.ends) == old:
                set_committed_value(instance, blueprint.ends, new)
            _move(session, instance, blueprint.begins, old, new)
        elif (companion := beside.get(type(instance))) is not None:
            for column in (*companion.follows, companion.transaction_id):
                if column.primary_key:
                    _move(session, instance, column.key, old, new)
                elif inspect(instance).dict.get(column.key) == old:
                    set_committed_value(instance, column.key, new)


def move_back(session: Session, undone: Mapping[Place, Ledger], restored: Ledgers) -> None:
    """Give the objects in a session the ids that their transactions had before what was undone."""
    for place, ledger in restored:
        later = undone.get(place, ledger).transaction_id
        if ledger.transaction_id is not None and later is not None and later != ledger.transaction_id:
            move_loaded(session, place[1], later, ledger.transaction_id)


def _move(session: Session, instance: Any, name: str, old: int, new: int) -> None:
    state: InstanceState[Any] = inspect(instance)
    names = [state.mapper.get_property_by_column(column).key for column in state.mapper.primary_key]
    # The identity, rather than the attributes: those may be expired.
    key = dict(zip(names, state.identity or (), strict=True))
    if key[name] != old:
        return
    unsaved = {changed: state.dict[changed] for changed in state.committed_state if changed in state.dict}
    session.expunge(instance)
    make_transient(instance)
    for part, value in {**key, name: new}.items():
        set_committed_value(instance, part, value)
    make_transient_to_detached(instance)
    session.add(instance)
    for changed, value in unsaved.items():
        setattr(instance, changed, value)

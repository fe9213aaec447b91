"""Tell what was done in the user's own words: who did which verb to what, with the versions of that time."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, BigInteger, Column, Index, String, Unicode, and_, bindparam, event, inspect, null, update
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import InstanceState
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.sql import ColumnElement

from async_continuum.errors import ImproperlyConfigured
from async_continuum.plugins.base import Flushed, Plugin
from async_continuum.plugins.building import TransactionBuild
from async_continuum.plugins.references import Reference, Related, newest_ids, related, to_reference
from async_continuum.read import AnySession, require_async, session_of

if TYPE_CHECKING:
    from sqlalchemy.orm import InstrumentedAttribute

ROLES = ("object", "target")


class ActivityBase(AsyncAttrs):
    """Something that was done in a transaction, in the application's words. Lives as long as its session.

    ``object`` is what it was done to, ``target`` what that was done for or in: mapped objects with a key of any type,
    also new ones of the same flush.
    """

    if TYPE_CHECKING:
        id: InstrumentedAttribute[int]
        verb: InstrumentedAttribute[str | None]
        data: InstrumentedAttribute[Any]
        transaction_id: InstrumentedAttribute[int]
        transaction: Any
        object_type: InstrumentedAttribute[str | None]
        object_id: InstrumentedAttribute[int | None]
        object_key: InstrumentedAttribute[Any]
        object_tx_id: InstrumentedAttribute[int | None]
        target_type: InstrumentedAttribute[str | None]
        target_id: InstrumentedAttribute[int | None]
        target_key: InstrumentedAttribute[Any]
        target_tx_id: InstrumentedAttribute[int | None]

    def __init__(self, *, object: Any = None, target: Any = None, **values: Any) -> None:
        for name, value in values.items():
            if name not in inspect(type(self)).columns:
                raise TypeError(f"{name!r} is no column of {type(self).__name__}")
            setattr(self, name, value)
        given = {"object": object, "target": target}
        # Until it is flushed: then the keys are known, and stored.
        self._given = {role: instance for role, instance in given.items() if instance is not None}
        for instance in self._given.values():
            if getattr(inspect(instance, raiseerr=False), "mapper", None) is None:
                raise TypeError(f"{instance!r} is no mapped object, so no activity can name it")

    def __repr__(self) -> str:
        return f"<Activity {self.__dict__.get('verb')!r}>"

    @classmethod
    def concerns(cls, instance: Any, *, role: str | None = None) -> ColumnElement[bool]:
        """Restrict activities to those whose object or target (``role``: only that) is an entity, given as an object.

        Raises `ValueError` for one that was never stored.
        """
        reference = to_reference(inspect(instance), cls.__mapper__.registry)  # type: ignore[attr-defined]
        clauses = [_names(cls, each, reference) for each in ROLES if role in (None, each)]
        if not clauses:
            raise ValueError(f"role={role!r} is neither 'object' nor 'target'")
        return clauses[0] if len(clauses) == 1 else clauses[0] | clauses[1]

    async def object(self, session: AnySession | None = None) -> Any:
        """Give the object as it is now; None where it is gone, or none was named. Raises `NoSession`."""
        return (await related(session_of(self, session), [self], live=True))[0].object

    async def target(self, session: AnySession | None = None) -> Any:
        """Give the target as it is now; None where it is gone, or none was named. Raises `NoSession`."""
        return (await related(session_of(self, session), [self], live=True))[0].target

    async def object_version(self, session: AnySession | None = None) -> Any:
        """Give the object's version of that time; None where its history is not kept. Raises `NoSession`."""
        return (await related(session_of(self, session), [self], live=False))[0].object_version

    async def target_version(self, session: AnySession | None = None) -> Any:
        """Give the target's version of that time; None where its history is not kept. Raises `NoSession`."""
        return (await related(session_of(self, session), [self], live=False))[0].target_version


class ActivityPlugin(Plugin):
    """Keep the table ``activity`` and its model, `activity_cls`, whose objects are added to a session like others.

    An activity belongs to the transaction that it is flushed in, and keeps it, even where nothing else changed.
    """

    def __init__(self, *, table_name: str = "activity") -> None:
        self._table_name = table_name
        self._classes: list[type[ActivityBase]] = []

    @property
    def activity_cls(self) -> type[ActivityBase]:
        """The model. Raises `ImproperlyConfigured` before there is a versioned model, and where there are several."""
        # Those of managers that were switched off are mapped no more.
        known = [cls for cls in self._classes if inspect(cls, raiseerr=False) is not None]
        if len(known) != 1:
            raise ImproperlyConfigured(
                "there is no activity class before the first versioned model is declared."
                if not known
                else "there is an activity class for each registry of models: activity_class_of(Model).",
                option="plugins",
            )
        return known[0]

    def activity_class_of(self, model: type) -> type[ActivityBase]:
        """Give the model that stands in the registry of another one."""
        registry: Any = inspect(model).registry
        for cls in self._classes:
            mapper = inspect(cls, raiseerr=False)
            if mapper is not None and mapper.registry is registry:
                return cls
        raise ImproperlyConfigured("it has no activity class: no model of its registry is versioned.", model=model)

    async def resolve(self, session: AnySession, activities: Sequence[ActivityBase]) -> list[Related]:
        """Give objects, targets and their versions of a page of activities.

        In a number of statements that depends on how many classes they name, and not on how many activities there are.
        """
        return await related(require_async(session), activities)

    def transaction_built(self, build: TransactionBuild) -> None:
        # Here, because importing a dialect takes longer than importing all of this package.
        from sqlalchemy.dialects.postgresql import JSONB

        def key() -> Any:
            # JSONB, because JSON has no equality.
            return JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

        named = [
            column
            for role in ROLES
            for column in (
                Column(f"{role}_type", String(255)),
                Column(f"{role}_id", BigInteger()),
                Column(f"{role}_key", key()),
                build.transaction_id(name=f"{role}_tx_id"),
            )
        ]
        table = build.table(
            self._table_name,
            build.generated_id(self._table_name),
            Column("verb", Unicode(255)),
            build.transaction_id(nullable=False, index=True),
            Column("data", JSON(none_as_null=True)),
            *named,
            follows=tuple(f"{role}_tx_id" for role in ROLES),
            keeps=True,
            sqlite_autoincrement=True,
        )
        for role in ROLES:
            columns = table.c[f"{role}_type"], table.c[f"{role}_key"]
            Index(f"ix_{self._table_name}_{role}", *columns).ddl_if(callable_=_compares_json)
        activity = type("Activity", (ActivityBase,), {"__module__": __name__})
        build.map(activity, table)
        build.relate("activities", activity, table.c.transaction_id, order_by=table.c.id)
        build.relate_back("transaction", activity, table.c.transaction_id)
        build.transaction_table.info[self] = activity
        self._classes.append(activity)

        def before_insert(_: Any, __: Any, instance: Any) -> None:
            session = inspect(instance).session
            if session is None or not build.records(session):
                raise ImproperlyConfigured(
                    "an activity belongs to a recorded transaction, and this session is outside the scope of "
                    "make_versioned(session=...).",
                    option="session",
                )
            # The flush ends with the transaction's id, which is taken only when all rows are written.
            instance.transaction_id = 0

        event.listen(activity, "before_insert", before_insert)

    def flushed(self, flush: Flushed) -> None:
        new = [instance for instance in flush.session.new if isinstance(instance, ActivityBase)]
        for cls in dict.fromkeys(map(type, new)):
            if cls in self._classes:
                self._name(flush, cls, [activity for activity in new if type(activity) is cls])

    def _name(self, flush: Flushed, cls: builtins.type[ActivityBase], activities: list[Any]) -> None:
        """Store to which transaction activities belong, and what they are about, in one statement."""
        registry: Any = inspect(cls).registry
        transaction_class = inspect(cls).relationships["transaction"].mapper.class_
        connection, transaction_id = flush.sign(transaction_class)
        found: dict[tuple[Any, str], Reference] = {}
        for activity in activities:
            for role, instance in activity.__dict__.get("_given", {}).items():
                state: InstanceState[Any] = inspect(instance)
                found[activity, role] = to_reference(state, registry, dialect=connection.dialect)
        ids = newest_ids(connection, found.values())
        rows = []
        for activity in activities:
            values: dict[str, Any] = {"transaction_id": transaction_id}
            for role in ROLES:
                reference = found.get((activity, role))
                if reference is not None:
                    values |= reference.columns(role, ids.get(reference.place))
            for name, value in values.items():
                set_committed_value(activity, name, value)
            rows.append({"own_id": activity.id, **{name: activity.__dict__.get(name) for name in self._columns}})
            activity.__dict__.pop("_given", None)
        table = inspect(cls).local_table
        stored = update(table).where(table.c.id == bindparam("own_id"))
        connection.execute(stored.values({name: bindparam(name) for name in self._columns}), rows)

    @property
    def _columns(self) -> list[str]:
        return ["transaction_id", *(f"{role}_{part}" for role in ROLES for part in ("type", "id", "key", "tx_id"))]


def _names(activity: Any, role: str, reference: Reference) -> ColumnElement[bool]:
    key = getattr(activity, f"{role}_key")
    same: ColumnElement[bool] = key == reference.key
    if reference.number is not None:
        # An activity of Continuum's has no other.
        same |= and_(key.is_(null()), getattr(activity, f"{role}_id") == reference.number)
    return and_(getattr(activity, f"{role}_type") == reference.type, same)


def _compares_json(*_: Any, dialect: Any, **__: Any) -> bool:
    return dialect.name in ("postgresql", "sqlite")

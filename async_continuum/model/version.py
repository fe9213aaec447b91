"""What a version object offers: its neighbours, its changes, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncAttrs

from async_continuum import past, read, revert
from async_continuum.build import blueprint_of, find_blueprint, relate
from async_continuum.operation import Change, Operation
from async_continuum.read import AnySession
from async_continuum.revert import RevertPlan

M = TypeVar("M")

if TYPE_CHECKING:
    from sqlalchemy.orm import InstrumentedAttribute


class _OpenAttributes(type):
    """The model's own attributes are on the version class too, and no type checker can know them.

    Relations come with the configuration of mappers: what is asked for before begins it, as a query would.
    """

    def __getattr__(cls, name: str) -> Any:
        blueprint = None if name.startswith("_") else find_blueprint(cls)
        mapper: Any = None if blueprint is None else inspect(blueprint.model, raiseerr=False)
        if blueprint is not None and mapper is not None:
            if not mapper.configured:
                mapper.registry.configure(cascade=True)
            if mapper.configured:
                relate(blueprint)
            if any(name in vars(base) for base in cls.__mro__):
                # Not getattr: an attribute that says why it is not there would come back here for ever.
                return type.__getattribute__(cls, name)
        said = f"type object {cls.__name__!r} has no attribute {name!r}"
        raise AttributeError(f"{said}; here: select({cls.__name__})" if name == "query" else said)


class Version(AsyncAttrs, Generic[M], metaclass=_OpenAttributes):
    """Base of every version class: the row of one entity as one transaction left it. Lives as long as its session.

    A model attribute called like a method of this class wins; the method stays reachable here:
    ``await Version.previous(version)``.
    """

    if TYPE_CHECKING:
        transaction_id: InstrumentedAttribute[int]
        end_transaction_id: InstrumentedAttribute[int | None]
        operation_type: InstrumentedAttribute[Operation]
        transaction: Any
        end_transaction: Any
        version_parent: Any

        def __getattr__(self, name: str) -> Any: ...

    __versioned__: ClassVar[None] = None

    async def previous(self) -> Version[M] | None:
        """Give the version before; None for the first. Raises `NoSession`."""
        return cast("Version[M] | None", await read.neighbour(self, later=False))

    async def next(self) -> Version[M] | None:
        """Give the version after; None for the newest. Raises `NoSession`."""
        return cast("Version[M] | None", await read.neighbour(self, later=True))

    async def index(self) -> int:
        """Give the place in the entity's history, 0 for the first. Raises `NoSession`."""
        return await read.index_of(self)

    async def changeset(self) -> dict[str, Change]:
        """Give what this version changed, by attribute; one query.

        An INSERT's old values and a DELETE's new values are None, the key included; what is None on both sides is
        left out. Raises `NoSession`.
        """
        return await read.changeset_of(self)

    async def diff(self, other: Version[M]) -> dict[str, Change]:
        """Give what differs between two versions of one entity: old is this one's value, new is ``other``'s.

        Raises `ValueError` for a version of another entity.
        """
        return await read.diff(self, other)

    async def revert(self, session: AnySession, *, relations: Sequence[str] = ()) -> M | None:
        """Make the entity what it was then, in ``session``; flushed, in a savepoint, and not committed.

        With ``relations``, paths such as ``"tags"`` and ``"tags.category"``, what was related then is related again:
        brought back where it was deleted, unlinked where it came later (deleted where the relation is delete-orphan).
        Gives the live object, brought back under its old key if it was deleted; None
        if this version is a DELETE: the entity is deleted. Raises `RevertError`, and then nothing is changed.
        """
        return cast("M | None", await revert.revert(self, session, relations))

    async def as_live(self, session: AnySession) -> M | None:
        """Give the entity as an object of the model, as it was at this version; None if this version is a DELETE.

        It lives in a session in the past of its own, inside ``session`` (see `as_of`): its relations, loaded by
        ``awaitable_attrs``, are those of that moment, and it cannot be written.
        """
        blueprint = blueprint_of(self)
        return cast("M | None", await past.object_as_of(session, blueprint, read.key_of(self), self))

    async def plan_revert(self, session: AnySession, *, relations: Sequence[str] = ()) -> RevertPlan:
        """Say what `revert` would insert, update, delete, link and unlink, and touch nothing. Raises `RevertError`."""
        return await revert.plan_revert(self, session, relations)

    def __repr__(self) -> str:
        state = inspect(self)
        identity = state.identity if state is not None else None
        operation = state.dict.get("operation_type") if state is not None else None
        said = f" {operation.name}" if isinstance(operation, Operation) else ""
        return f"<{type(self).__name__} {identity}{said}>"

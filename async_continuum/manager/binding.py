"""Let a session that is bound by model find history where the rows of its models are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Mapper, ORMExecuteState, Session

from async_continuum.build import blueprint_of
from async_continuum.declare import COMPANIONS


class Homes:
    """Beside which model each class of ours is stored. Lives as long as its manager is active.

    None of them derives from the Base of the user's, by which a session may be bound: ``binds={Base: engine}``.
    """

    __slots__ = ("_signing", "_versions")

    def __init__(self, models: Iterable[type]) -> None:
        self._versions: dict[type, type] = {}
        self._signing: dict[type, type] = {}
        for model in models:
            blueprint = blueprint_of(model)
            if blueprint.version_class is not None:
                self._versions[blueprint.version_class] = model
            self._signing.setdefault(blueprint.transaction_class, model)
            for companion in blueprint.transaction_table.info.get(COMPANIONS, ()):
                if companion.model is not None:
                    self._signing.setdefault(companion.model, model)

    def route(self, state: ORMExecuteState) -> None:
        """Send a query of history to where the model's own would go."""
        arguments: Any = state.bind_arguments
        mapper: Mapper[Any] | None = arguments.get("mapper")
        if mapper is None or "bind" in arguments:
            return
        model = self._versions.get(mapper.class_)
        if model is not None:
            arguments["bind"] = state.session.get_bind(**{**arguments, "mapper": inspect(model)})
        elif mapper.class_ in self._signing:
            self._bind(state.session, mapper.class_)

    def bind(self, session: Session, *classes: type) -> None:
        """Bind what a flush stores of ours, or the given classes, in a session that has no engine for everything.

        A flush that stores nothing of ours asks for no bind of it.
        """
        if session.bind is None:
            stored = {type(each) for each in (*session.new, *session.dirty)} if not classes else set(classes)
            if not stored.isdisjoint(self._signing):
                for cls in self._signing:
                    self._bind(session, cls)

    def _bind(self, session: Session, cls: type) -> None:
        try:
            session.get_bind(mapper=inspect(cls))
        except UnboundExecutionError:
            try:
                found = session.get_bind(mapper=inspect(self._signing[cls]))
            except UnboundExecutionError:
                # Of models that this session has nothing to do with.
                return
            session.bind_mapper(cls, found)

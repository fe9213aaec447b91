"""Resolve a moment once: the transaction id that was the highest then, for each transaction table of a database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, Table, inspect, select
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session

from async_continuum.build import Blueprint, find_blueprint
from async_continuum.past.signed import blueprints, parameter_for
from async_continuum.read import Moment, aware, bound, transaction_id_of

Schemas = Mapping[str | None, str | None]
"""A ``schema_translate_map``."""

Tables = dict[str, Blueprint]
"""The transaction tables of one database, each with a blueprint that it signs. Those of several registries whose
tables bear one name are one table."""


# What a database was seen to have is not asked for again; what it lacks may come.
_seen: WeakKeyDictionary[Engine, set[tuple[str | None, str]]] = WeakKeyDictionary()


class Moments:
    """A moment, as the parameters that statements in the past take. Lives as long as their session."""

    __slots__ = ("_found", "_instant", "_moment", "_own")

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._instant: datetime | None = aware(moment) if isinstance(moment, datetime) else None
        if self._instant is None:
            transaction_id_of(moment)
        self._own: tuple[Any, str] | None = None
        """The table, and the engine, in which the moment is an id."""
        self._found: dict[Any, dict[str, int | None]] = {}

    def look_up(self, session: Session) -> None:
        """Look the moment up wherever a session would read history, so that it means the same to all that follows.

        Raises `ValueError` for a transaction id that is not known.
        """
        places: list[tuple[Connection, Schemas, Tables]] = []
        for bind, found in _by_bind(session).items():
            connection = session.connection(bind_arguments={"bind": bind})
            schemas = connection.get_execution_options().get("schema_translate_map") or {}
            tables = found if len(found) == 1 else _existing(found, connection, schemas)
            places.append((connection, schemas, tables))
        if self._instant is None:
            self._find_own(places)
        for connection, schemas, tables in places:
            self._found[_place(connection, schemas)] = self._resolved(connection, schemas, tables)

    def parameters(self, connection: Connection, schemas: Schemas) -> dict[str, int | None]:
        """Give the parameters for one database under one translation of its schemas."""
        place = _place(connection, schemas)
        if place not in self._found:
            # Another translation, or an engine that the session takes now and then.
            known = {each.transaction_table.fullname: each for each in blueprints()}
            self._found[place] = self._resolved(connection, schemas, _existing(known, connection, schemas))
        return self._found[place]

    def known(self, bind: Any) -> dict[str, int | None]:
        """Give the parameters for the database of a bind in which the moment has been looked up."""
        return next((found for (engine, _), found in self._found.items() if engine is bind.engine), {})

    def _find_own(self, places: list[tuple[Connection, Schemas, Tables]]) -> None:
        """Find the one table in which the moment is an id, and its instant, which is what it means to the others."""
        blueprint = find_blueprint(self._moment)
        signing = type(self._moment) if blueprint is None else blueprint.transaction_class
        wanted = signing.__table__.fullname if hasattr(signing, "__versioned_models__") else None
        candidates = [
            (connection, schemas, name, each.transaction_table)
            for connection, schemas, tables in places
            for name, each in tables.items()
            if wanted in (None, name)
        ]
        if len(candidates) > 1:
            raise ValueError(
                f"{self._moment!r} may be of any of {', '.join(sorted(name for _, _, name, _ in candidates))}, which "
                "number their transactions each on its own: give a Transaction, a version or a datetime."
            )
        for connection, schemas, name, table in candidates:
            known = select(table.c.issued_at).where(table.c.id == transaction_id_of(self._moment))
            row = connection.execute(known, execution_options=_options(schemas)).first()
            if row is not None:
                self._own, self._instant = (connection.engine, name), row[0]
        if self._own is None and wanted is not None and len(candidates) == 1 == sum(len(each[2]) for each in places):
            # A version says when it was made, also where a retention job has taken its transaction.
            self._own = candidates[0][0].engine, candidates[0][2]
        if self._own is None:
            raise ValueError(f"there is no transaction {transaction_id_of(self._moment)}")

    def _resolved(self, connection: Connection, schemas: Schemas, tables: Tables) -> dict[str, int | None]:
        found: dict[str, int | None] = {}
        for name, blueprint in tables.items():
            table = blueprint.transaction_table
            if self._own == (connection.engine, name):
                found[parameter_for(table)] = transaction_id_of(self._moment)
            else:
                highest = select(bound(self._instant, blueprint))
                found[parameter_for(table)] = connection.execute(highest, execution_options=_options(schemas)).scalar()
        return found


def _by_bind(session: Session) -> dict[Any, Tables]:
    found: dict[Any, Tables] = {}
    for blueprint in blueprints():
        try:
            # Of the model, because a bind that is given for a base class is none of the classes of ours.
            bind = session.get_bind(mapper=inspect(blueprint.model))
        except UnboundExecutionError:
            # Of a registry that this session has nothing to do with.
            continue
        found.setdefault(bind, {})[blueprint.transaction_table.fullname] = blueprint
    return found


def _existing(tables: Tables, connection: Connection, schemas: Schemas) -> Tables:
    look, seen = inspect(connection), _seen.setdefault(connection.engine, set())

    def exists(table: Table) -> bool:
        place = schemas.get(table.schema, table.schema), table.name
        if place not in seen and look.has_table(table.name, schema=place[0]):
            seen.add(place)
        return place in seen

    return {name: each for name, each in tables.items() if exists(each.transaction_table)}


def _place(connection: Connection, schemas: Schemas) -> Any:
    return connection.engine, tuple(schemas.items())


def _options(schemas: Schemas) -> dict[str, Any]:
    return {"schema_translate_map": schemas} if schemas else {}

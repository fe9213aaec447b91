"""The contenders that keep history by hand-written SQL: what async_continuum is to come close to."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ARRAY, Column, Connection, Integer, bindparam, select, text
from sqlalchemy.orm import registry

from benchmarks import floor_sql
from benchmarks.contenders import Contender
from benchmarks.models import COLUMNS


class Floor(Contender):
    """Hand-written SQL over tables made by hand; subclasses say how it is run."""

    backends: tuple[str, ...] = ("postgresql", "sqlite")
    keeps_history = True
    version_table = "article_version"
    closes = True

    def declare(self) -> None:
        super().declare()
        self.Version = _map_version(self.Article)

    def install(self, connection: Connection) -> None:
        super().install(connection)
        tables = floor_sql.POSTGRESQL_TABLES if self.backend == "postgresql" else floor_sql.SQLITE_TABLES
        _run_all(connection, tables)

    @contextmanager
    def muted(self, connection: Connection) -> Iterator[None]:
        if self.backend == "postgresql":
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        yield

    def tables(self) -> list[str]:
        return [*super().tables(), "transaction", "article_version"]

    async def changesets(self, session: Any, key: int, number: int) -> int:
        version = self.Version
        found = await session.scalars(select(version).where(version.id == key).order_by(version.transaction_id))
        before, changed = dict.fromkeys(COLUMNS), 0
        for each in found:
            now = {name: getattr(each, name) for name in COLUMNS}
            changed += bool({name: (before[name], now[name]) for name in COLUMNS if before[name] != now[name]})
            before = now
        return changed

    async def past(self, session: Any, moment: int) -> int:
        version = self.Version
        ends = version.end_transaction_id
        alive = (version.transaction_id <= moment, ends.is_(None) | (ends > moment), version.operation_type != 2)
        return len((await session.scalars(select(version).where(*alive))).all())


class RowTrigger(Floor):
    """A trigger for each row."""

    name = "floor-row"
    label = "SQL, row trigger"

    def install(self, connection: Connection) -> None:
        super().install(connection)
        if self.backend == "postgresql":
            _run_all(connection, floor_sql.ROW_TRIGGER)
        else:
            _run_all(connection, floor_sql.SQLITE_TRIGGERS)

    @contextmanager
    def muted(self, connection: Connection) -> Iterator[None]:
        if self.backend == "postgresql":
            with super().muted(connection):
                yield
            return
        for trigger in ("inserted", "updated", "deleted"):
            connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
        yield
        _run_all(connection, floor_sql.SQLITE_TRIGGERS)

    async def opening(self, session: Any) -> None:
        if self.backend == "sqlite":
            await session.execute(_SQLITE_TAKE)


class StatementTrigger(Floor):
    """A trigger for each statement, over its transition table."""

    name = "floor-statement"
    label = "SQL, statement trigger"
    backends = ("postgresql",)

    def install(self, connection: Connection) -> None:
        super().install(connection)
        _run_all(connection, floor_sql.STATEMENT_TRIGGER)


class Sent(Floor):
    """Set-based SQL that the client sends after its flush."""

    name = "floor-sent"
    label = "SQL, sent by the client"

    async def written(self, session: Any, operation: str, keys: Sequence[int]) -> None:
        if self.backend == "postgresql":
            await session.execute(_POSTGRESQL_SENT[operation], {"keys": keys})
            return
        result = await session.execute(_SQLITE_TAKE)
        parameters = {"tx": result.lastrowid, "keys": json.dumps(keys)}
        for statement in _SQLITE_SENT[operation]:
            await session.execute(statement, parameters)

    async def update_many(self, session: Any) -> None:
        """Update the rows of `statement.update`, and keep what they were."""
        if self.backend == "postgresql":
            await session.execute(text(floor_sql.POSTGRESQL_STATEMENT))
            return
        result = await session.execute(_SQLITE_TAKE)
        for statement in floor_sql.SQLITE_STATEMENT:
            await session.execute(text(statement), {"tx": result.lastrowid} if ":tx" in statement else {})


_POSTGRESQL_SENT = {
    operation: text(sql).bindparams(bindparam("keys", type_=ARRAY(Integer)))
    for operation, sql in floor_sql.POSTGRESQL_SENT.items()
}
_SQLITE_TAKE = text(floor_sql.SQLITE_TAKE)
_SQLITE_SENT = {
    operation: [text(statement) for statement in statements] for operation, statements in floor_sql.SQLITE_SENT.items()
}


def _run_all(connection: Connection, commands: str) -> None:
    for command in commands.split(";;"):
        connection.exec_driver_sql(command)


def _map_version(article: Any) -> Any:
    """Map the version table by hand, in metadata of its own: its DDL is hand-written."""
    from sqlalchemy import BigInteger, MetaData, SmallInteger, Table

    table = Table(
        "article_version",
        MetaData(),
        *(Column(c.name, c.type, primary_key=c.primary_key) for c in article.__table__.c),
        Column("transaction_id", BigInteger, primary_key=True),
        Column("end_transaction_id", BigInteger),
        Column("operation_type", SmallInteger),
    )
    version = type("ArticleVersion", (), {})
    registry().map_imperatively(version, table)
    return version


CONTENDERS: list[type[Contender]] = [RowTrigger, StatementTrigger, Sent]

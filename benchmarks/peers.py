"""The libraries that are compared: SQLAlchemy-Continuum, sqlalchemy-history, sqlalchemy-audit-trail."""

from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session, aliased, configure_mappers

from benchmarks.contenders import Contender, NotRecorded
from benchmarks.models import declare, declare_many


class Continuum(Contender):
    """SQLAlchemy-Continuum, on the synchronous drivers that it is made for."""

    name = "continuum"
    label = "SQLAlchemy-Continuum"
    module = "sqlalchemy_continuum"
    backends = ("postgresql", "sqlite", "process")
    synchronous = True
    keeps_history = True
    version_table = "article_version"
    strategy = "validity"

    def __init__(self, backend: str) -> None:
        super().__init__(backend)
        self.closes = self.strategy == "validity"

    @property
    def baseline(self) -> str:
        return "plain" if self.backend == "process" else super().baseline

    def _make_versioned(self) -> dict[str, Any]:
        import importlib

        self.library = importlib.import_module(self.module)
        self.library.make_versioned(user_cls=None, options={"strategy": self.strategy})
        return {"attributes": {"__versioned__": {}}}

    def declare(self) -> None:
        self.Article, self.Note = declare(self.Base, **self._make_versioned())
        configure_mappers()

    def declare_many(self, number: int) -> None:
        declare_many(self.Base, number, **self._make_versioned())

    async def changesets(self, session: Any, key: int, number: int) -> int:
        version = self.library.version_class(self.Article)
        found = await session.scalars(select(version).where(version.id == key).order_by(version.transaction_id))
        return sum(bool(each.changeset) for each in found.all())

    async def past(self, session: Any, moment: int) -> int:
        version = self.library.version_class(self.Article)
        statement = select(version).where(version.operation_type != 2)
        if self.closes:
            ends = version.end_transaction_id
            statement = statement.where(version.transaction_id <= moment, ends.is_(None) | (ends > moment))
        else:
            other = aliased(version)
            newest = select(func.max(other.transaction_id)).where(
                other.id == version.id, other.transaction_id <= moment
            )
            statement = statement.where(version.transaction_id == newest.scalar_subquery())
        return len((await session.scalars(statement)).all())


class ContinuumSubquery(Continuum):
    """SQLAlchemy-Continuum with the strategy that closes nothing."""

    name = "continuum-subquery"
    label = "SQLAlchemy-Continuum, subquery"
    backends = ("postgresql", "sqlite")
    strategy = "subquery"


class History(Continuum):
    """sqlalchemy-history, the fork of SQLAlchemy-Continuum."""

    name = "history"
    label = "sqlalchemy-history"
    module = "sqlalchemy_history"


class AuditTrail(Contender):
    """sqlalchemy-audit-trail: a log of diffs on PostgreSQL. Failing to write is an error, as with everybody else."""

    name = "audit-trail"
    label = "sqlalchemy-audit-trail"
    module = "audit_trail"
    backends = ("postgresql",)
    keeps_history = True
    version_table = "audit.audit_activity"

    def declare(self) -> None:
        from audit_trail import Audited

        self.Article, self.Note = declare(self.Base, mixins=(Audited,))

    def bind(self, engine: Any) -> None:
        import audit_trail
        from sqlalchemy.ext.asyncio import async_sessionmaker

        class AuditedSession(Session):
            """The class that the library listens to: it refuses SQLAlchemy's own."""

        self.session_options = {"sync_session_class": AuditedSession}
        self.audit = audit_trail.AuditTrail(engine, events=[], on_error="raise")
        self.audit.install(async_sessionmaker(engine, sync_session_class=AuditedSession))

    def install(self, connection: Connection) -> None:
        from audit_trail.maintenance import ensure_partitions  # noqa: F401
        from audit_trail.migrations import create_audit_tables

        super().install(connection)
        create_audit_tables(connection, self.audit.tables, self.audit.severities)

    async def installed(self) -> None:
        await self.audit.maintenance.aensure_partitions()

    def empty(self, connection: Connection) -> None:
        super().empty(connection)
        connection.exec_driver_sql("TRUNCATE audit.audit_activity, audit.audit_transaction")

    async def changesets(self, session: Any, key: int, number: int) -> int:
        read = self.audit.query.object_history
        page = await session.run_sync(
            lambda sync: read(sync, "Article", str(key), limit=number, include_children=False)
        )
        return sum(len(group.activities) for group in page.groups)

    async def past(self, session: Any, moment: int) -> int:
        raise NotRecorded("a log of differences has no state at a moment")


CONTENDERS: list[type[Contender]] = [Continuum, ContinuumSubquery, History, AuditTrail]

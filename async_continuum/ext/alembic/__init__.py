"""Joined to Alembic: `import async_continuum.ext.alembic` in ``env.py`` is all; it needs Alembic 1.18 or newer."""

from alembic.autogenerate import comparators
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import UpgradeOps
from alembic.util import DispatchPriority, PriorityDispatchResult

from async_continuum.ext.alembic.columns import AddVersionedColumnOp, DropVersionedColumnOp, RenameVersionedColumnOp
from async_continuum.ext.alembic.compare import build_late_tables, write_plainly
from async_continuum.ext.alembic.natively import compare_triggers
from async_continuum.ext.alembic.past import FillOp, keep_history_whole
from async_continuum.ext.alembic.renamed import RenameVersionedTableOp
from async_continuum.ext.alembic.signing import RenameTransactionTableOp, keep_transactions
from async_continuum.ext.alembic.triggers import (
    CreateVersionTriggersOp,
    DropVersionTriggersOp,
    SyncVersionTriggersOp,
)

__all__ = [
    "AddVersionedColumnOp",
    "CreateVersionTriggersOp",
    "DropVersionTriggersOp",
    "DropVersionedColumnOp",
    "FillOp",
    "RenameTransactionTableOp",
    "RenameVersionedColumnOp",
    "RenameVersionedTableOp",
    "SyncVersionTriggersOp",
    "build_late_tables",
]


@comparators.dispatch_for("autogenerate", priority=DispatchPriority.LAST)
def _finish(context: AutogenContext, upgrade_ops: UpgradeOps) -> PriorityDispatchResult:
    keep_transactions(context, upgrade_ops)
    write_plainly(context, upgrade_ops)
    keep_history_whole(context, upgrade_ops)
    compare_triggers(context, upgrade_ops)
    return PriorityDispatchResult.CONTINUE

"""What is measured: each workload is a class with its preparation, its measured part, and what it must have stored."""

from benchmarks.workloads.base import Workload
from benchmarks.workloads.flush import FlushDelete, FlushInsert, FlushUnversioned, FlushUpdate
from benchmarks.workloads.growth import GROWTH
from benchmarks.workloads.memory import FlushOfMany
from benchmarks.workloads.past import PastEntities, PastKeys, PastSessions
from benchmarks.workloads.reading import ReadChangesets, ReadPast
from benchmarks.workloads.related import RELATIONS
from benchmarks.workloads.start import Configure, Import
from benchmarks.workloads.statements import Backfill, StatementUpdate
from benchmarks.workloads.transactions import TransactionsAlone, TransactionsConcurrent

WORKLOADS: dict[str, type[Workload]] = {
    workload.name: workload
    for workload in (
        FlushInsert,
        FlushUpdate,
        FlushDelete,
        FlushUnversioned,
        TransactionsAlone,
        TransactionsConcurrent,
        ReadChangesets,
        ReadPast,
        *RELATIONS,
        PastEntities,
        PastKeys,
        PastSessions,
        *GROWTH,
        FlushOfMany,
        StatementUpdate,
        Backfill,
        Import,
        Configure,
    )
}

__all__ = ["WORKLOADS", "Workload"]

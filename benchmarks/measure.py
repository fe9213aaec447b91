"""Measure one piece of work: CPU time of this process and of its server's backends, wall time, statements, memory."""

import gc
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, event

SCHEDULED = 2
"""The clock of a process that counts the time it was scheduled: CPUCLOCK_SCHED in Linux's posix-timers."""


@dataclass(slots=True)
class Measured:
    """What one run of a workload took, in seconds."""

    client: float = 0.0
    server: float = 0.0
    wall: float = 0.0

    @property
    def cpu(self) -> float:
        return self.client + self.server

    def as_dict(self) -> dict[str, float]:
        return {**asdict(self), "cpu": self.cpu}


def cpu_of(pid: int) -> float:
    """Give the CPU seconds of a process on this machine, to the nanosecond where the system can, else to 10 ms."""
    try:
        return time.clock_gettime((~pid << 3) | SCHEDULED)
    except (AttributeError, OSError):
        import psutil

        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.NoSuchProcess:
            return 0.0
        return times.user + times.system


class Backends:
    """The server processes behind an engine's connections. Lives as long as the engine; empty for SQLite."""

    def __init__(self, engine: Engine) -> None:
        self.pids: set[int] = set()
        if engine.dialect.name == "postgresql":
            event.listen(engine, "connect", self._connected)

    def _connected(self, connection: Any, _: object) -> None:
        driver = getattr(connection, "driver_connection", connection)
        self.pids.add(driver.get_server_pid() if hasattr(driver, "get_server_pid") else driver.info.backend_pid)

    def cpu(self) -> float:
        return sum(map(cpu_of, self.pids))


@contextmanager
def measuring(backends: Backends) -> Iterator[Measured]:
    """Measure the block. Garbage of what came before is not its own."""
    gc.collect()
    measured = Measured()
    server, client, wall = backends.cpu(), time.process_time(), time.perf_counter()
    yield measured
    measured.wall = time.perf_counter() - wall
    measured.client = time.process_time() - client
    measured.server = backends.cpu() - server


@dataclass(slots=True)
class Counted:
    """What one run of a workload sent and held."""

    statements: int = 0
    peak: int = 0
    """Bytes of Python's memory at the peak, over what was held before."""


@contextmanager
def counting(engine: Engine) -> Iterator[Counted]:
    """Count the statements of the block and trace its memory, which makes it slow."""
    counted = Counted()

    def count(_: object, __: object, statement: str, *___: object) -> None:
        # SQLite's recipe sends BEGIN as a statement; other drivers do it on their own.
        counted.statements += statement != "BEGIN"

    event.listen(engine, "before_cursor_execute", count)
    gc.collect()
    tracemalloc.start()
    try:
        yield counted
    finally:
        counted.peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        event.remove(engine, "before_cursor_execute", count)

"""Run the workloads: every contender in its own process, interleaved round by round."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from benchmarks.contenders import all_contenders
from benchmarks.databases import SERVERS, drop_database, make_database, version_of
from benchmarks.result import Outcome
from benchmarks.workloads import WORKLOADS

Say = Callable[[str], None]
BACKENDS = ("postgresql", "sqlite", "process")


@dataclass(eq=False)
class Process:
    """A worker and the database it has to itself. Lives as long as its backend is measured."""

    name: str
    baseline: str
    popen: subprocess.Popen[str]

    def ask(self, **told: Any) -> dict[str, Any]:
        """Tell the worker to do something, and wait for its answer."""
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        if told:
            try:
                self.popen.stdin.write(json.dumps(told) + "\n")
                self.popen.stdin.flush()
            except BrokenPipeError:
                return {"failed": "the worker is gone"}
        line = self.popen.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"failed": "the worker is gone"}
        return answer


@dataclass(frozen=True)
class Settings:
    """What was asked for on the command line."""

    only: Sequence[str] = ()
    contenders: Sequence[str] = ()
    backends: Sequence[str] = BACKENDS
    quick: bool = False
    rounds: int = 7


@dataclass(eq=False)
class Run:
    """One run of the benchmarks. Lives until it is reported."""

    settings: Settings
    say: Say
    save: Callable[["Run"], None] = lambda run: None
    """Called after each workload: a run that is stopped has told what it knows."""
    outcomes: list[Outcome] = field(default_factory=list)
    databases: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Measure everything that was asked for."""
        for backend in self.settings.backends:
            workloads = [name for name in self._workloads() if backend in WORKLOADS[name].backends]
            if workloads:
                with self._server(backend) as server, self._workers(backend, server) as workers:
                    for name in workloads:
                        self._measure(backend, name, workers)
                        self.save(self)

    def _workloads(self) -> Iterator[str]:
        for name in WORKLOADS:
            asked = not self.settings.only or any(name.startswith(prefix) for prefix in self.settings.only)
            if asked and not (self.settings.quick and not WORKLOADS[name].quick):
                yield name

    @contextmanager
    def _server(self, backend: str) -> Iterator[URL | None]:
        with SERVERS[backend]() if backend in SERVERS else nullcontext() as server:
            if server is not None:
                self.databases[backend] = version_of(server)
                self.say(f"\n{self.databases[backend]}")
            yield server

    @contextmanager
    def _workers(self, backend: str, server: URL | None) -> Iterator[list[Process]]:
        with ExitStack() as stack:
            workers = []
            for name, contender in all_contenders().items():
                wanted = name in self.settings.contenders or name.startswith("plain")
                if backend in contender.backends and (wanted or not self.settings.contenders):
                    worker = stack.enter_context(self._worker(backend, server, name))
                    answer = worker.ask()
                    if answer.get("ready"):
                        workers.append(worker)
                    else:
                        self.say(f"  {name} does not start: {answer}")
            yield workers

    @contextmanager
    def _worker(self, backend: str, server: URL | None, name: str) -> Iterator[Process]:
        command = [sys.executable, "-m", "benchmarks.worker", "--contender", name, "--backend", backend]
        database = f"benchmark_{name.replace('-', '_')}"
        if server is not None:
            url = make_database(server, database)
            command += ["--url", url.render_as_string(hide_password=False)]
        if self.settings.quick:
            command += ["--quick"]
        folder = Path(__file__).parent.parent
        popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder)
        contender = all_contenders()[name](backend)
        try:
            yield Process(name, contender.baseline, popen)
        finally:
            assert popen.stdin is not None
            popen.stdin.close()
            try:
                popen.wait(timeout=30)
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()
            assert popen.stdout is not None
            popen.stdout.close()
            if server is not None:
                drop_database(server, database)

    def _measure(self, backend: str, name: str, workers: list[Process]) -> None:
        workload = WORKLOADS[name]
        self.say(f"\n{name} ({backend}): {workload.title}")
        found: dict[str, Outcome] = {}
        ready = []
        for worker in workers:
            if workload.only is not None and worker.name not in workload.only:
                continue
            baseline = workload.baseline or worker.baseline
            outcome = found[worker.name] = Outcome(backend, name, worker.name, baseline)
            self.outcomes.append(outcome)
            if outcome.prepared(worker.ask(do="prepare", workload=name)):
                ready.append(worker)
        for turn in range(min(workload.rounds or self.settings.rounds, self.settings.rounds)):
            # Nobody always follows the same neighbour.
            first = turn % max(len(ready), 1)
            for worker in [*ready[first:], *ready[:first]]:
                found[worker.name].add(worker.ask(do="measure"))
        for outcome in found.values():
            self.say("  " + outcome.line(found))

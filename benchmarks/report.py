"""Write what was measured: as JSON, and as Markdown tables with the machine, versions and settings above them."""

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.contenders import all_contenders
from benchmarks.databases import POSTGRESQL_SETTINGS, POSTGRESQL_URL, SQLITE_SETTINGS
from benchmarks.result import Outcome
from benchmarks.run import Run
from benchmarks.workloads import WORKLOADS

PACKAGES = (
    "SQLAlchemy",
    "asyncpg",
    "aiosqlite",
    "psycopg",
    "SQLAlchemy-Continuum",
    "SQLAlchemy-History",
    "sqlalchemy-audit-trail",
)
TITLES = {"postgresql": "PostgreSQL", "sqlite": "SQLite", "process": "Start"}

Found = dict[tuple[str, str], dict[str, Outcome]]


def circumstances(run: Run) -> dict[str, Any]:
    """Say what the run ran on, and how."""
    given = bool(os.environ.get(POSTGRESQL_URL))
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{_processor()}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "databases": run.databases,
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "settings": {
            "rounds": run.settings.rounds,
            "quick": run.settings.quick,
            "postgresql": "the given server's own" if given else POSTGRESQL_SETTINGS,
            "sqlite": SQLITE_SETTINGS,
        },
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def grouped(run: Run) -> Found:
    """Give the outcomes by backend and workload, then by contender."""
    found: Found = {}
    for outcome in run.outcomes:
        found.setdefault((outcome.backend, outcome.workload), {})[outcome.contender] = outcome
    return found


def write_json(run: Run, file: Path) -> None:
    """Write everything, every round included."""
    found = grouped(run)
    outcomes = [outcome.as_dict(found[outcome.backend, outcome.workload]) for outcome in run.outcomes]
    growth = [
        {
            "backend": backend,
            "workload": workload,
            "contender": name,
            "to": WORKLOADS[workload].grown_from,
            "cpu": ratio,
        }
        for (backend, workload), of_workload in found.items()
        for name, outcome in of_workload.items()
        if (ratio := _grown(outcome, found)) is not None
    ]
    file.write_text(json.dumps({**circumstances(run), "outcomes": outcomes, "growth": growth}, indent=1) + "\n")


def markdown(run: Run) -> str:
    """Give the tables: for each database the ratios, and what was sent and held."""
    found = grouped(run)
    parts = [_circumstances(run)]
    for backend in dict.fromkeys(backend for backend, _ in found):
        of_backend = {workload: outcomes for (b, workload), outcomes in found.items() if b == backend}
        parts.append(f"### {TITLES[backend]}\n")
        if backend == "process":
            parts.append("CPU time of a fresh interpreter, and its ratio to unversioned.\n")
        else:
            parts.append(
                "CPU of client and server as a ratio to unversioned on the same driver (wall time likewise).\n"
            )
        parts.append(_table(of_backend, backend, _start if backend == "process" else _ratios))
        if backend != "process":
            parts.append("\nStatements sent; peak of Python's memory in MB.\n")
            parts.append(_table(of_backend, backend, _sent))
        if any(_grown(outcome, found) is not None for each in of_backend.values() for outcome in each.values()):
            parts.append(
                "\nOne update with a long history as a ratio to one with 1,000 versions, of the same contender;\n"
                "CPU, each as a ratio to unversioned in its round. 1.00x is a cost that does not grow.\n"
            )
            parts.append(_table(of_backend, backend, lambda outcome, _: _number_or_none(_grown(outcome, found))))
        parts.append("")
    return "\n".join(parts)


def _circumstances(run: Run) -> str:
    about = circumstances(run)
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    ran_on = ", ".join((f"Python {about['python']}", *about["databases"].values()))
    lines = [
        f"{about['date']}, {about['machine']}, {ran_on}; {versions}.",
        f"Medians of {about['settings']['rounds']} interleaved rounds{', quick' if run.settings.quick else ''}.",
    ]
    for backend in run.databases:
        settings = about["settings"][backend]
        said = settings if isinstance(settings, str) else ", ".join(f"{n}={v}" for n, v in settings.items())
        lines.append(f"{TITLES[backend]} with {said}.")
    return "\n".join(lines) + "\n"


def _table(of_backend: Mapping[str, Mapping[str, Outcome]], backend: str, cell: Any) -> str:
    names = [
        name
        for name, contender in all_contenders().items()
        if any(name in outcomes for outcomes in of_backend.values())
        and (contender.keeps_history or cell is _sent or cell is _start)
    ]
    rows = [["", *(all_contenders()[name](backend).label for name in names)]]
    rows.append(["---", *("---:" for _ in names)])
    for workload, outcomes in of_backend.items():
        cells = [cell(outcomes[name], outcomes) if name in outcomes else "" for name in names]
        if any(cells):
            rows.append([WORKLOADS[workload].title, *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _ratios(outcome: Outcome, found: Mapping[str, Outcome]) -> str:
    if outcome.missing:
        return outcome.missing.partition(":")[0]
    cpu, wall = outcome.ratio(found), outcome.ratio(found, "wall")
    return f"{_number(cpu)} ({_number(wall)})" if cpu is not None and wall is not None else ""


def _grown(outcome: Outcome, found: Found) -> float | None:
    """Give the ratio of what a contender takes to what it takes with a shorter history, both to unversioned."""
    base = WORKLOADS[outcome.workload].grown_from
    before = found.get((outcome.backend, base), {}) if base is not None else {}
    if outcome.contender not in before or outcome.contender == outcome.baseline:
        return None
    now, then = outcome.ratio(found[outcome.backend, outcome.workload]), before[outcome.contender].ratio(before)
    return now / then if now is not None and then is not None else None


def _number_or_none(value: float | None) -> str:
    return "" if value is None else _number(value)


def _sent(outcome: Outcome, found: Mapping[str, Outcome]) -> str:
    if outcome.missing or outcome.statements is None or outcome.peak is None:
        return ""
    return f"{outcome.statements:,}; {outcome.peak / 1e6:.1f}"


def _start(outcome: Outcome, found: Mapping[str, Outcome]) -> str:
    if outcome.missing:
        return outcome.missing.partition(":")[0]
    milliseconds = f"{outcome.median('cpu') * 1000:.0f} ms"
    ratio = outcome.ratio(found)
    return milliseconds if ratio is None else f"{milliseconds} ({_number(ratio)})"


def _number(value: float) -> str:
    return f"{value:.0f}x" if value >= 10 else f"{value:.1f}x" if value >= 3 else f"{value:.2f}x"

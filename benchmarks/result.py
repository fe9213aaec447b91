"""What was measured of one contender at one workload, and its ratio to the same work without history."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(eq=False)
class Outcome:
    """What one contender did at one workload. Lives until it is reported."""

    backend: str
    workload: str
    contender: str
    baseline: str
    rounds: list[dict[str, float]] = field(default_factory=list)
    statements: int | None = None
    peak: int | None = None
    missing: str | None = None
    """Why there is no result."""

    def prepared(self, answer: dict[str, Any]) -> bool:
        """Take the answer to the preparation; say whether there is something to measure."""
        if self._take_failure(answer):
            return False
        self.statements, self.peak = answer.get("statements"), answer.get("peak")
        return True

    def add(self, answer: dict[str, Any]) -> None:
        """Take the answer of one round."""
        if not self._take_failure(answer):
            self.rounds.append(answer)

    def _take_failure(self, answer: dict[str, Any]) -> bool:
        if "not recorded" in answer:
            self.missing = f"not recorded: {answer['not recorded']}"
        elif "failed" in answer:
            # SQLAlchemy ends its errors with where to read of them.
            lines = [line for line in answer["failed"].strip().splitlines() if not line.startswith("(Background")]
            self.missing = f"failed: {lines[-1]}"
        return self.missing is not None

    def median(self, what: str) -> float:
        """Give the median of what was measured, in seconds."""
        return median(each[what] for each in self.rounds)

    def ratio(self, found: Mapping[str, "Outcome"], what: str = "cpu") -> float | None:
        """Give the median of the rounds' ratios to the baseline of the same round."""
        base = found.get(self.baseline)
        if base is None or base.missing or self.missing:
            return None
        pairs = [(a[what], b[what]) for a, b in zip(self.rounds, base.rounds, strict=False) if b[what] > 0]
        return median(a / b for a, b in pairs) if pairs else None

    def memory_ratio(self, found: Mapping[str, "Outcome"]) -> float | None:
        """Give the ratio of the peaks of memory."""
        base = found.get(self.baseline)
        return self.peak / base.peak if base is not None and self.peak and base.peak else None

    def line(self, found: Mapping[str, "Outcome"]) -> str:
        """Say it in a line."""
        if self.missing:
            return f"{self.contender:20} {self.missing}"
        parts = [f"{self.contender:20} cpu {_ratio(self.ratio(found))} {self.median('cpu') * 1000:9.1f} ms"]
        parts.append(f"(client {self.median('client') * 1000:8.1f}, server {self.median('server') * 1000:8.1f})")
        parts.append(f"wall {_ratio(self.ratio(found, 'wall'))} {self.median('wall') * 1000:9.1f} ms")
        if self.statements is not None:
            parts.append(f"{self.statements:6} statements")
        if self.peak is not None:
            parts.append(f"peak {self.peak / 1e6:6.1f} MB {_ratio(self.memory_ratio(found))}")
        return "  ".join(parts)

    def as_dict(self, found: Mapping[str, "Outcome"]) -> dict[str, Any]:
        """Give everything, for JSON."""
        return {
            "backend": self.backend,
            "workload": self.workload,
            "contender": self.contender,
            "baseline": self.baseline,
            "missing": self.missing,
            "cpu_ratio": self.ratio(found),
            "wall_ratio": self.ratio(found, "wall"),
            "memory_ratio": self.memory_ratio(found),
            "statements": self.statements,
            "peak_bytes": self.peak,
            "rounds": self.rounds,
        }


def _ratio(value: float | None) -> str:
    return f"{value:6.2f}x" if value is not None else "      -"

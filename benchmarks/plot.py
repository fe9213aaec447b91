"""Draw the ratios: a panel for each database, a group of bars for each workload, on a logarithmic scale."""

from pathlib import Path
from typing import Any

from benchmarks.contenders import all_contenders
from benchmarks.report import TITLES, grouped
from benchmarks.run import Run
from benchmarks.workloads import WORKLOADS

COLOURS = {
    "ours": "#1f6f8b",
    "ours-subquery": "#58a4b0",
    "ours-plugins": "#124559",
    "ours-native": "#3f6f6a",
    "ours-sync": "#a3cfd5",
    "floor-row": "#5f8f3e",
    "floor-statement": "#8fbf6a",
    "floor-sent": "#c2dfa8",
    "continuum": "#b3412c",
    "continuum-subquery": "#dd8a6b",
    "history": "#8a5a9e",
    "audit-trail": "#d9a33a",
}


def draw(run: Run, file: Path) -> None:
    """Draw the CPU ratios to unversioned into a file."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise SystemExit("--plot needs matplotlib: pip install 'async_continuum[bench]'") from None
    found = grouped(run)
    backends = [b for b in dict.fromkeys(backend for backend, _ in found) if b != "process"]
    if not backends:
        return
    longest = max(sum(backend == b for b, _ in found) for backend in backends)
    figure, panels = pyplot.subplots(
        1, len(backends), figsize=(8 * len(backends), 1.1 * longest + 2), squeeze=False, layout="constrained"
    )
    for panel, backend in zip(panels[0], backends, strict=True):
        _draw_panel(panel, backend, {w: outcomes for (b, w), outcomes in found.items() if b == backend})
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2 * len(backends), frameon=False)
    figure.savefig(file, dpi=120)


def _draw_panel(panel: Any, backend: str, of_backend: dict[str, Any]) -> None:
    names = [name for name in COLOURS if any(name in outcomes for outcomes in of_backend.values())]
    height = 0.8 / max(len(names), 1)
    for i, name in enumerate(names):
        places, ratios = [], []
        for row, outcomes in enumerate(of_backend.values()):
            ratio = outcomes[name].ratio(outcomes) if name in outcomes else None
            if ratio is not None:
                places.append(row - 0.4 + (i + 0.5) * height)
                ratios.append(ratio)
        label = all_contenders()[name](backend).label
        # A bar from 1: what history adds.
        panel.barh(places, [ratio - 1 for ratio in ratios], height, left=1, color=COLOURS[name], label=label)
    panel.set_xscale("log")
    panel.axvline(1, color="black", linewidth=0.8)
    panel.set_yticks(range(len(of_backend)), [WORKLOADS[name].title for name in of_backend])
    panel.invert_yaxis()
    panel.set_xticks([1, 1.5, 2, 3, 5, 10, 20, 50, 100], ["1", "1.5", "2", "3", "5", "10", "20", "50", "100"])
    panel.minorticks_off()
    panel.set_title(f"{TITLES[backend]}: CPU of client and server, times unversioned")
    panel.grid(axis="x", alpha=0.3)

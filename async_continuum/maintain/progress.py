"""Tell how far a long piece of maintenance is: to a function that is given, or on a terminal."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int, int], None]
"""Told the name of a table, how many of its rows were looked at, and how many there are."""


@contextmanager
def telling(progress: Progress | None) -> Iterator[Progress | None]:
    """Give what is told: the given function, a bar of tqdm where that is installed and a person looks on, or nobody."""
    if progress is not None or not sys.stderr.isatty() or importlib.util.find_spec("tqdm") is None:
        yield progress
        return
    bar = importlib.import_module("tqdm").tqdm(unit=" rows")

    def show(name: str, done: int, total: int) -> None:
        # Not shown before the numbers belong to it.
        bar.set_description(name, refresh=False)
        bar.total = total
        bar.n = done
        bar.refresh()

    try:
        yield show
    finally:
        bar.close()

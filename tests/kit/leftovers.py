"""Find what a finished test left behind in the process (invariant 5)."""

import gc
import sys
from typing import Any
from weakref import WeakSet

from async_continuum.manager.recorder import Recorder

# Those that were made and are not gone: a recorder goes with the transaction of its session.
_RECORDERS: WeakSet[Recorder] = WeakSet()

# The collector of 3.14 has no generation that holds all that is new.
HAS_GENERATIONS = sys.version_info < (3, 14)


def keep_the_young_apart() -> None:
    """Leave what a test makes in the young generations, so that it can be collected without looking at all else.

    Mapped classes and compiled statements are most of the process, and a look at them takes longer than most tests:
    what is there by now, and has just been looked at, is not looked at again.
    """
    gc.freeze()
    if HAS_GENERATIONS:
        gc.set_threshold(gc.get_threshold()[0], 1_000_000)


def note_recorders() -> None:
    """From here on, know every recorder that is made, without keeping it."""
    begin = Recorder.__init__

    def noted(self: Recorder, *arguments: Any) -> None:
        begin(self, *arguments)
        _RECORDERS.add(self)

    Recorder.__init__ = noted  # type: ignore[method-assign]


def leftovers(*, thorough: bool = False) -> list[Recorder]:
    """Collect what was made since the last time, or everything, and give what should be dead.

    A coroutine that nobody awaited warns when it is collected; as warnings are errors, that fails the test.
    """
    gc.collect(1 if HAS_GENERATIONS and not thorough else 2)
    if _RECORDERS:
        # One that the test has collected around is no young one.
        gc.collect()
    found = list(_RECORDERS)
    # The next test is not to blame.
    _RECORDERS.clear()
    return found

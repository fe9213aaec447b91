"""Find what a finished test left behind in the process (invariant 5)."""

import gc
import sys

# The classes of the package whose objects must be gone once their session is closed.
SHORT_LIVED: tuple[type, ...] = ()

# The collector of 3.14 has no generation that holds all that is new.
HAS_GENERATIONS = sys.version_info < (3, 14)


def keep_the_young_apart() -> None:
    """Leave what a test makes in the young generations, so that it can be collected without looking at all else.

    Mapped classes and compiled statements are most of the process, and a look at them takes longer than most tests.
    """
    if HAS_GENERATIONS:
        gc.set_threshold(gc.get_threshold()[0], 1_000_000)


def leftovers(*, thorough: bool = False) -> list[object]:
    """Collect what was made since the last time, or everything, and give what should be dead.

    A coroutine that nobody awaited warns when it is collected; as warnings are errors, that fails the test.
    """
    gc.collect(1 if HAS_GENERATIONS and not thorough else 2)
    if not SHORT_LIVED:
        return []
    return [survivor for survivor in gc.get_objects() if type(survivor) in SHORT_LIVED]

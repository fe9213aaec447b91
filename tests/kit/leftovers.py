"""Find what a finished test left behind in the process (invariant 5)."""

import gc

# The classes of the package whose objects must be gone once their session is closed.
SHORT_LIVED: tuple[type, ...] = ()


def leftovers() -> list[object]:
    """Collect, and give what should be dead.

    A coroutine that nobody awaited warns when it is collected; as warnings are errors, that fails the test.
    """
    gc.collect()
    if not SHORT_LIVED:
        return []
    return [survivor for survivor in gc.get_objects() if type(survivor) in SHORT_LIVED]

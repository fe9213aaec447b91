"""What is promised of recording holds where triggers record: the same tests, once more, in a process of their own.

`ASYNC_CONTINUUM_TEST_NATIVE=1 pytest tests/record tests/links tests/cascades tests/stories` runs all of them so, and
takes tests/relations, revert, statements, past, read, transactions and plugins as well.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit import backends, mode

ROOT = Path(__file__).parent.parent.parent
CHOSEN = {
    "of rows": ["tests/record/test_net_effect.py", "tests/cascades/test_deletes.py", "tests/plugins"],
    "of links and relations": ["tests/links", "tests/record/test_keys.py", "tests/relations/test_random.py"],
}
# Of the ways in which steps of a transaction are separated, the one that asks most of triggers; of the strategies one.
WAYS = "not (nothing or a_flush or a_savepoint_that_is_released or a_savepoint_that_stays_open or subquery)"


@pytest.mark.skipif(bool(backends.BACKENDS["postgresql"].missing), reason="needs PostgreSQL")
@pytest.mark.skipif(mode.is_native(), reason="is what it runs")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("chosen", CHOSEN)
def test_triggers_keep_what_is_promised_of_sessions(chosen: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-k", WAYS, *CHOSEN[chosen]]
    environment = {**os.environ, mode.NATIVE: "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout

"""The process of one contender: does what it is told on standard input, one line of JSON at a time.

Each contender has its own, so that the listeners of one do not slow another; it lives through all rounds, so that
they can be interleaved.
"""

import argparse
import asyncio
import json
import sys
import traceback
import warnings
from typing import Any

from sqlalchemy import make_url

from benchmarks.contenders import NotRecorded, all_contenders
from benchmarks.measure import Measured, counting, measuring
from benchmarks.place import Place, open_place
from benchmarks.workloads import WORKLOADS, Workload

ENOUGH = 0.3
"""Seconds of CPU after which a measurement does not repeat its work."""


async def inspect(workload: Workload) -> dict[str, Any]:
    """Do the work once with statements counted and memory traced; not measured in time, which that would spoil."""
    await workload.warm_up()
    await workload.before()
    assert workload.place.sync_engine is not None
    with counting(workload.place.sync_engine) as counted:
        await workload.run()
    await workload.check()
    await workload.after()
    return {"statements": counted.statements, "peak": counted.peak}


async def measure(workload: Workload) -> dict[str, Any]:
    """Do the work as often as it asks for, each time prepared anew, and give the mean of what it took."""
    total = Measured()
    n = 0
    # What takes long is not repeated: it varies less, and the rounds repeat it.
    while n < workload.repeats and total.cpu < ENOUGH:
        n += 1
        await workload.before()
        seconds = getattr(workload, "seconds", None)
        if seconds is not None:
            total.client += await seconds()
        else:
            assert workload.place.backends is not None
            with measuring(workload.place.backends) as measured:
                await workload.run()
            total.client += measured.client
            total.server += measured.server
            total.wall += measured.wall
        await workload.after()
    return Measured(total.client / n, total.server / n, total.wall / n).as_dict()


class Worker:
    """Does what it is told, and keeps the workload it is at."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.workload: Workload | None = None

    async def obey(self, told: dict[str, Any]) -> dict[str, Any]:
        match told:
            case {"do": "prepare", "workload": name}:
                self.workload = WORKLOADS[name](self.place)
                await self.workload.once()
                return await inspect(self.workload) if self.workload.inspected else {}
            case {"do": "measure"}:
                assert self.workload is not None
                return await measure(self.workload)
        raise ValueError(told)


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--contender", required=True)
    parser.add_argument("--backend", required=True)
    parser.add_argument("--url")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    answers, sys.stdout = sys.stdout, sys.stderr
    # The peers are measured, not judged: what they warn of is theirs.
    warnings.simplefilter("ignore")
    contender = all_contenders()[arguments.contender](arguments.backend)
    url = make_url(arguments.url) if arguments.url else None
    with asyncio.Runner() as runner:
        worker = Worker(runner.run(open_place(contender, url, quick=arguments.quick)))
        print(json.dumps({"ready": True}), file=answers, flush=True)
        for line in sys.stdin:
            try:
                answer = runner.run(worker.obey(json.loads(line)))
            except NotRecorded as reason:
                answer = {"not recorded": str(reason)}
            except Exception:
                answer = {"failed": traceback.format_exc()}
            print(json.dumps(answer), file=answers, flush=True)
        if worker.place.engine is not None:
            disposed = worker.place.engine.dispose()
            if disposed is not None:
                runner.run(_wait_for(disposed))


async def _wait_for(awaitable: Any) -> None:
    await awaitable


if __name__ == "__main__":
    main()

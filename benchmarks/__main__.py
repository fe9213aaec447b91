"""The command: `python -m benchmarks` measures everything, `--only flush --quick` a part of it in two minutes."""

import argparse
import signal
import sys
from pathlib import Path

from benchmarks.contenders import all_contenders
from benchmarks.plot import draw
from benchmarks.report import markdown, write_json
from benchmarks.run import BACKENDS, Run, Settings
from benchmarks.workloads import WORKLOADS


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    names = ", ".join(WORKLOADS)
    add("--only", nargs="+", default=[], metavar="NAME", help=f"workloads, or what they begin with: {names}")
    add("--contenders", nargs="+", default=[], choices=list(all_contenders()), help="beside those without history")
    add("--backend", nargs="+", default=list(BACKENDS), choices=BACKENDS, help="databases; `process` needs none")
    add("--quick", action="store_true", help="three rounds, and nothing that takes minutes to prepare")
    add("--repeats", type=int, help="rounds of each workload: 7, with --quick 3")
    add("--json", type=Path, metavar="FILE", help="write everything that was measured")
    add("--markdown", type=Path, metavar="FILE", help="write the table of results")
    add("--plot", type=Path, metavar="FILE", help="draw the ratios (PNG or SVG; needs matplotlib)")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and write what was asked for."""
    # Being told to stop must stop the servers and workers as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    arguments = parse()
    rounds = arguments.repeats or (3 if arguments.quick else 7)
    settings = Settings(arguments.only, arguments.contenders, arguments.backend, arguments.quick, rounds)

    def save(run: Run) -> None:
        if arguments.json:
            write_json(run, arguments.json)
        if arguments.markdown:
            arguments.markdown.write_text(markdown(run))
        if arguments.plot:
            draw(run, arguments.plot)

    run = Run(settings, lambda line: print(line, flush=True), save)
    run.run()
    print(f"\n{markdown(run)}")


if __name__ == "__main__":
    main()

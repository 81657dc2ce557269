"""Measures and reports: `make bench`, or `python -m benchmarks --repeats 1 locking` for a first look."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import commands, images, report
from benchmarks.index import Index, configured_upstream
from benchmarks.measure import BenchmarkError, Line, Progress

WORK = Path(__file__).resolve().parent.parent / "build" / "benchmarks"


def main() -> int:
    """Return 0 when everything was measured, whether or not every bar was reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"what to measure (default: all): {', '.join(COSTS)}")
    parser.add_argument("--repeats", type=int, default=5, help="how often (default: 5)")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md, and the table in README.md")
    options = parser.parse_args()
    parts: list[str] = options.parts or list(COSTS)
    if unknown := set(parts) - COSTS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(COSTS)}")
    if options.repeats < 1:
        parser.error("--repeats: at least 1")
    if options.write and options.parts:
        parser.error("--write: measure everything, name no parts")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit("benchmarks: ended; nothing is left behind outside build/."))
    progress = Progress(sum(COSTS[part](options.repeats) for part in parts))
    WORK.mkdir(parents=True, exist_ok=True)
    lines: list[Line] = []
    try:
        with Index(configured_upstream(), WORK / "index") as index:
            for part in parts:
                lines += measure(part, index, options.repeats, progress)
        print(report.table(lines))
        if options.write:
            report.write(lines, options.repeats)
    except KeyboardInterrupt:
        print("\nbenchmarks: interrupted; nothing is left behind outside build/.", file=sys.stderr)
        return 130
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


def measure(part: str, index: Index, repeats: int, progress: Progress) -> list[Line]:
    """Measure one part of the report."""
    if part == "rendering":
        return commands.measure_rendering(WORK, repeats, progress)
    if part == "locking":
        return commands.measure_locking(WORK, index, repeats, progress)
    if part == "cold":
        return images.measure_cold(WORK, index, progress)
    return images.measure_set(part, WORK, index, repeats, progress)


def cost_of_set(name: str) -> Callable[[int], float]:
    """Return what a set of packages costs, by the number of repeats."""
    return lambda repeats: images.SET_COST[name] + repeats * images.REPEAT_COST[name]


COSTS: dict[str, Callable[[int], float]] = {
    "rendering": lambda repeats: (repeats + 1) * commands.RENDER_COST,
    "locking": lambda repeats: (repeats + 2) * commands.LOCK_COST,
    **{name: cost_of_set(name) for name in images.SETS},
    "cold": lambda _: images.COLD_COST,
}
"""The parts of a run, in order, with what they cost by the number of repeats."""


if __name__ == "__main__":
    sys.exit(main())

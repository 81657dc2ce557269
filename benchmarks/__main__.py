"""Measures what each kind of change costs, and reports it: `make bench`.

    python -m benchmarks --variants classic ours --repeats 1     a first look, some minutes
    python -m benchmarks --rate 1.25                             with a link of 10 Mbit/s to the package index
    python -m benchmarks --report                                measures nothing, shows what there is

An interrupted run keeps what it has, and goes on from there the next time.
"""

import argparse
import fcntl
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from benchmarks import commands, report
from benchmarks.engines import STORES, gateway, remove_leftovers
from benchmarks.index import Index, configured_upstream
from benchmarks.measure import BenchmarkError, Progress
from benchmarks.registry import Registry
from benchmarks.results import Results
from benchmarks.rounds import Round, Workshop, take_turns
from benchmarks.scenario import SETS
from benchmarks.trials import TRIALS
from benchmarks.variants import VARIANTS

WORK = Path(__file__).resolve().parent.parent / "build" / "benchmarks"
EVERYTHING = (*VARIANTS, *TRIALS)
NAMES = [variant.name for variant in EVERYTHING]
COST = {"service": 1.0, "heavy": 2.5}  # of an event, for the remaining time


def arguments() -> argparse.ArgumentParser:
    """Return what the command understands."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", choices=[*SETS, commands.COMMANDS], default=[commands.COMMANDS, *SETS])
    parser.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES), help="image stores")
    parser.add_argument("--variants", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--repeats", type=int, default=5, help="how often (default: 5)")
    parser.add_argument("--engine", default="docker:dind", help="image of the engines (default: docker:dind)")
    parser.add_argument("--rate", type=float, metavar="MB", help="megabytes a second that the package index sends")
    parser.add_argument("--results", type=Path, default=WORK / "results.jsonl", help="where records are kept")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument(
        "--write", action="store_true", help="write docs/benchmarks.md, its plots, and README.md's table"
    )
    return parser


def main() -> int:
    """Return 0 when everything was measured, whether or not every bar was reached."""
    parser = arguments()
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("--repeats: at least 1")
    if options.rate is not None and options.rate <= 0:
        parser.error("--rate: more than 0")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = Results(options.results)
    try:
        if not options.report:
            with alone():
                measure(options, results)
        report.show(results.records)
        if options.write:
            report.write(results.records)
    except KeyboardInterrupt:
        print(
            f"\nbenchmarks: interrupted; the same command goes on from {len(results.records)} records.", file=sys.stderr
        )
        return 130
    except (BenchmarkError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def alone() -> Iterator[None]:
    """Keep other runs of this clone out, and remove what those have left that were killed. Raises BenchmarkError."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BenchmarkError("another run is going on in this clone; wait for it or end it") from error
        remove_leftovers()
        yield


def measure(options: argparse.Namespace, results: Results) -> None:
    """Measure what the results do not have yet. Raises BenchmarkError."""
    if commands.COMMANDS in options.sets:
        measure_commands(range(options.repeats), results)
    if sets := [name for name in SETS if name in options.sets]:
        host = gateway()
        rate = options.rate and options.rate * 1e6
        with Index(configured_upstream(), WORK / "index", host, rate) as index, Registry(host) as registry:
            print("benchmarks: resolving the locks", file=sys.stderr)
            shop = Workshop.open(WORK, index, registry, options.engine, sets)
            if todo := [turn for turn in turns(options, shop, sets) if not results.have(turn.expected())]:
                shop.push_bases()
                measure_builds(todo, results)


def measure_commands(repeats: Iterable[int], results: Results) -> None:
    """Measure rendering and locking."""
    for title, run in (("rendering", commands.measure_rendering), ("locking", commands.measure_locking)):
        todo = [repeat for repeat in repeats if not results.have(commands.expected(title, repeat))]
        if todo:
            print(f"benchmarks: {title}, {len(todo)} times", file=sys.stderr)
            with Index(configured_upstream(), WORK / "index") as index:
                results.add(run(WORK, index, todo))


def turns(options: argparse.Namespace, shop: Workshop, sets: list[str]) -> Iterator[Round]:
    """Yield the rounds: repeats outermost, and the variants in another order each time."""
    chosen = [variant for variant in EVERYTHING if variant.name in options.variants]
    for repeat in range(options.repeats):
        start = repeat % len(chosen)
        for name in sets:
            for store in options.stores:
                for variant in chosen[start:] + chosen[:start]:
                    yield Round(shop, name, store, variant, repeat)


def measure_builds(todo: list[Round], results: Results) -> None:
    """Measure rounds: those of one set, store and repeat together. Raises BenchmarkError when one failed."""
    progress = Progress(sum(COST[turn.name] * len(turn.events()) for turn in todo))
    for (repeat, name, store), group in groupby(todo, lambda turn: (turn.record.repeat, turn.name, turn.store)):
        for records in take_turns(list(group)):
            if records:
                results.add(records)
                progress.advance(COST[name] * len(records))
                told = ", ".join(f"{record.variant} {record.seconds:.1f} s" for record in records)
                progress.say(f"{name}, {store}, repeat {repeat + 1}: {records[0].event}: {told}")
    if failed := [turn for turn in todo if not results.have(turn.expected())]:
        raise BenchmarkError(
            f"{len(failed)} of {len(todo)} rounds failed, see above; the same command tries them again"
        )


if __name__ == "__main__":
    sys.exit(main())

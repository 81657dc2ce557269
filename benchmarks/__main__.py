"""Measures what each kind of change costs, and reports it: `make bench`.

    make bench ARGS='--variants classic ours --repeats 1'     a first look, some minutes
    make bench ARGS='--rate 1.25'                             with a link of 10 Mbit/s to the package index
    make bench ARGS='--report'                                measures nothing, shows what there is
    make bench ARGS='life --help'                             two years of upgrades, and a fleet of services

All variants that are asked for are measured together, and only such figures are compared. An interrupted run
keeps what it has, and goes on with the next event. A report is of the run that was asked for; for other sets, and
for --report, of the one with the most records. Records and packages are kept in build/benchmarks; remove its folder
index after the locks have changed.
"""

import argparse
import fcntl
import json
import random
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from benchmarks import commands, life_command, report
from benchmarks.engines import STORES, fetch, gateway, remove_leftovers
from benchmarks.figures import Measured
from benchmarks.index import Index, configured_upstream
from benchmarks.measure import BenchmarkError
from benchmarks.registry import Registry
from benchmarks.results import Results
from benchmarks.rounds import Round, Workshop, measure_builds, missing
from benchmarks.scenario import EVENTS, SETS
from benchmarks.trials import TRIALS
from benchmarks.variants import VARIANTS

WORK = Path(__file__).resolve().parent.parent / "build" / "benchmarks"
EVERYTHING = (*VARIANTS, *TRIALS)
NAMES = [variant.name for variant in EVERYTHING]


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
    lives = sys.argv[1:2] in (["life"], ["fleet"])
    parser = life_command.arguments() if lives else arguments()
    options = parser.parse_args()
    if not lives and options.repeats < 1:
        parser.error("--repeats: at least 1")
    if not lives and options.rate is not None and options.rate <= 0:
        parser.error("--rate: more than 0")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with nullcontext() if options.report else alone():
            life_command.run(options) if lives else run(options)
    except KeyboardInterrupt:
        print("\nbenchmarks: interrupted; the same command goes on from what it has measured.", file=sys.stderr)
        return 130
    except (BenchmarkError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


def run(options: argparse.Namespace) -> None:
    """Measure what was asked for, and report it. Raises BenchmarkError."""
    results = Results(options.results)
    wanted = set() if options.report else measure(options, results)
    measured = Measured.of(results.records, wanted)
    report.show(measured)
    if options.write:
        report.write(measured)


@contextmanager
def alone() -> Iterator[None]:
    """Keep other runs of this clone out. Raises BenchmarkError."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BenchmarkError("another run is going on in this clone; wait for it or end it") from error
        yield


def measure(options: argparse.Namespace, results: Results) -> set[str]:
    """Measure what the results do not have yet; return the inputs of the run. Raises BenchmarkError."""
    wanted = set()
    if commands.COMMANDS in options.sets:
        measure_commands(range(options.repeats), results)
        wanted.add(commands.HERE)
    if sets := [name for name in SETS if name in options.sets]:
        remove_leftovers()
        host = gateway()
        rate = (options.rate or 0.0) * 1e6
        with Index(configured_upstream(), WORK / "index", host, rate) as index, Registry(host) as registry:
            print("benchmarks: resolving the locks", file=sys.stderr)
            shop = Workshop.open(WORK, index, registry, options.engine, sets)
            for image in (options.engine, shop.image):
                fetch(image)
            asked = list(groups(options, shop, sets))
            wanted |= {turn.record.inputs for group in asked for turn in group}
            if todo := [group for group in asked if missing(group, results)]:
                shop.push_bases()
                measure_builds(todo, results)
    return wanted


def measure_commands(repeats: Iterable[int], results: Results) -> None:
    """Measure rendering and locking."""
    for title, run in (("rendering", commands.measure_rendering), ("locking", commands.measure_locking)):
        todo = [repeat for repeat in repeats if not results.have(commands.expected(title, repeat))]
        if todo:
            print(f"benchmarks: {title}, {len(todo)} times", file=sys.stderr)
            with Index(configured_upstream(), WORK / "index") as index:
                for record in run(WORK, index, todo):
                    results.add(record)


def groups(options: argparse.Namespace, shop: Workshop, sets: list[str]) -> Iterator[list[Round]]:
    """Yield the rounds that are measured together: repeats outermost, the variants in another order each time."""
    chosen = [variant for variant in EVERYTHING if variant.name in options.variants]
    places = {
        (name, store): shop.inputs(store, chosen, shop.locks[name].start, json.dumps(EVENTS), *shop.locks[name])
        for name in sets
        for store in options.stores
    }
    for repeat in range(options.repeats):
        for (name, store), inputs in places.items():
            order = random.Random(f"{name} {store} {repeat}").sample(chosen, len(chosen))
            yield [Round(shop, name, store, variant, repeat, inputs) for variant in order]


if __name__ == "__main__":
    sys.exit(main())

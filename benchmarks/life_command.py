"""What two years of upgrades and a fleet of services cost: `make bench ARGS=life`, `make bench ARGS=fleet`.

    make bench ARGS=life                two years by calculation; then twelve of these weeks, really built
    make bench ARGS=fleet               twenty services on one registry and one node
    make bench ARGS='life --report'     measures nothing, shows what there is

What was built is kept like the records of other measurements. Remove the folder build/benchmarks/life to ask for newer
weeks.
"""

import argparse
from collections.abc import Sequence

from benchmarks import fleet, life_build, life_report
from benchmarks.engines import fetch, gateway, remove_leftovers
from benchmarks.index import Index, configured_upstream
from benchmarks.life import WORK
from benchmarks.life_locks import KINDS, resolve_all
from benchmarks.registry import Registry
from benchmarks.results import Results
from benchmarks.rounds import Round, measure_builds, missing

RECORDS = WORK.parent / "life.jsonl"


def arguments() -> argparse.ArgumentParser:
    """Return what the commands understand."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["life", "fleet"])
    parser.add_argument("--sets", nargs="*", choices=KINDS, default=["heavy"], help="what is really built")
    parser.add_argument("--engine", default="docker:dind", help="image of the engines (default: docker:dind)")
    parser.add_argument("--grid", action="store_true", help="show every threshold of the calculation")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--write", action="store_true", help="write docs/life.md, its plots and its tables")
    return parser


def run(options: argparse.Namespace) -> None:
    """Measure what was asked for, and report it with what there is. Raises BenchmarkError."""
    results = Results(RECORDS)
    if not options.report:
        resolve_all(WORK)
        build(options, results)
    known, built = life_report.histories(), life_report.built_of(results.records)
    ships = life_report.fleet_of(results.records)
    life_report.show(known, built, ships, every=options.grid)
    if options.write:
        life_report.write(known, built, ships)


def build(options: argparse.Namespace, results: Results) -> None:
    """Build what the results do not have yet. Raises BenchmarkError."""
    remove_leftovers()
    host = gateway()
    fetch(options.engine)
    with Index(configured_upstream(), WORK.parent / "index", host) as index, Registry(host) as registry:
        if options.command == "fleet":
            turns = fleet.rounds(WORK.parent, index, registry, options.engine)
            build_group([[turn] for turn in turns], results)
        for name in options.sets if options.command == "life" else ():
            build_group([life_build.rounds(name, index, registry, options.engine)], results)


def build_group(groups: Sequence[Sequence[Round]], results: Results) -> None:
    """Build what is missing of groups, each of which takes turns. Raises BenchmarkError."""
    if todo := [group for group in groups if missing(group, results)]:
        shop = todo[0][0].shop
        fetch(shop.image)
        shop.push_bases()
        for group in todo:
            measure_builds([group], results, group[0].events())

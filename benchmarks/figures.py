"""Makes figures of records: medians over the repeats, and the bars that they have to reach."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile

from benchmarks.commands import COMMANDS
from benchmarks.engines import STORES
from benchmarks.measure import Line, Spread, compare, limit
from benchmarks.results import Record
from benchmarks.scenario import ADDED, BUMPED, SETS
from benchmarks.variants import VARIANTS, Variant


class Cell:
    """All repeats of one event for one variant."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records
        self.seconds = Spread.of([record.seconds for record in records])

    def median(self, value: Callable[[Record], float]) -> float:
        """Return the median of a value."""
        return statistics.median(value(record) for record in self.records)

    @property
    def fetched(self) -> float:
        """Bytes of wheels from the package index."""
        return self.median(lambda record: sum(record.wheels.values()))

    @property
    def requests(self) -> float:
        """Answers of the package index."""
        return self.median(lambda record: len(record.wheels) + record.pages)

    @property
    def pushed(self) -> float:
        """Bytes that the registry received."""
        return self.median(lambda record: record.pushed)

    @property
    def pulled(self) -> float:
        """Bytes that the registry sent."""
        return self.median(lambda record: record.pulled)


class Figures:
    """The records, sorted into cells."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records

    def cell(self, name: str, store: str, variant: str, event: str) -> Cell | None:
        """Return a cell, if anything was measured for it."""
        wanted = (name, store, variant, event)
        found = [one for one in self.records if (one.set, one.store, one.variant, one.event) == wanted]
        return Cell(found) if found else None

    def pairs(self) -> list[tuple[str, str]]:
        """Return the sets and stores that were measured."""
        found = {(record.set, record.store) for record in self.records}
        return [(name, store) for name in SETS for store in STORES if (name, store) in found]

    def variants(self, name: str, store: str, event: str | None = None) -> list[Variant]:
        """Return the variants that were measured, from the simplest to ours."""
        found = {
            record.variant
            for record in self.records
            if (record.set, record.store) == (name, store) and event in (None, record.event)
        }
        return [variant for variant in VARIANTS if variant.name in found]

    def repeats(self) -> int:
        """Return how often everything was measured at least."""
        places = [(one.set, one.store, one.variant, one.event) for one in self.records]
        return min(map(places.count, set(places)), default=0)


def lines_of(figures: Figures) -> list[Line]:
    """Return every bar for which there are figures."""
    lines = []
    pair = [figures.cell(COMMANDS, "", variant, "rendering") for variant in ("template", "one-file")]
    if pair[0] and pair[1]:
        two = ("template", seconds(pair[0])), ("one file", seconds(pair[1]))
        lines.append(limit("Rendering, without locking", *two, times=3))
    pair = [figures.cell(COMMANDS, "", variant, "locking") for variant in ("seeded", "empty")]
    if pair[0] and pair[1]:
        two = ("seeded", seconds(pair[0])), ("empty", seconds(pair[1]))
        lines.append(compare("Locking both files with the shipped seed", *two, faster=2.5))
    for name, store in figures.pairs():
        lines += lines_of_set(figures, name, store)
    return lines


def lines_of_set(figures: Figures, name: str, store: str) -> Iterator[Line]:
    """Yield the bars of one set of packages in one image store."""
    where = f"({name})" if store == "containerd" else f"({name}, {store})"

    def of(variant: str, event: str) -> Cell | None:
        return figures.cell(name, store, variant, event)

    for event, package in (("added", ADDED), ("bumped", BUMPED)):
        if (ours := of("ours", event)) and (classic := of("classic", event)):
            title = f"One package {event}"
            yield compare(f"{title} {where}", ("ours", seconds(ours)), ("classic", seconds(classic)), faster=15)
            new = sum(
                size for file, size in ours.records[0].wheels.items() if file.startswith(package.replace("-", "_"))
            )
            told = f"{ours.fetched / 1e3:.0f} kB of wheels, {new / 1e3:.0f} kB are new"
            yield Line(f"{title}: bytes fetched {where}", told, ours.fetched / new if new else 99.0, 1.1)
            told = f"ours {ours.pushed / 1e3:.0f} kB, classic {classic.pushed / 1e6:.1f} MB"
            yield Line(f"{title}: bytes pushed {where}", told, classic.pushed / ours.pushed, 50, at_least=True)
    if (code := of("ours", "code")) and (nothing := of("ours", "nothing")):
        title = f"Code changed, against nothing changed {where}"
        yield limit(title, ("changed", seconds(code)), ("nothing", seconds(nothing)), times=1.3)
        told = f"{code.requests:.0f} requests to the package index, {len(code.records[0].ran)} RUN steps"
        yield Line(f"Code changed: bytes pushed {where}", told, code.pushed / 1e3, 64, unit=" kB")
    if cached := of("ours", "cached-code"):
        steps = sorted({step for record in cached.records for step in record.ran})
        told = f"{', '.join(steps) or 'no'} RUN steps, {cached.pulled / 1e6:.0f} MB of layers pulled"
        yield Line(
            f"Code changed, empty builder with cache: requests to the index {where}", told, cached.requests, 0, unit=""
        )
    if (ours := of("ours", "empty")) and (classic := of("classic", "empty")):
        yield limit(f"Empty builder {where}", ("ours", seconds(ours)), ("classic", seconds(classic)), times=0.6)
        layers = ours.records[0].layers
        both = zip(layers, classic.records[0].layers, strict=False)
        base = [size for size, _ in takewhile(lambda pair: pair[0] == pair[1], both)]
        packages = max(layers[len(base) :])
        told = f"{sum(layers) / 1e6:.1f} MB; base {sum(base) / 1e6:.1f}, packages {packages / 1e6:.1f}"
        yield Line(f"Image, against base and packages {where}", told, sum(layers) / (sum(base) + packages), 1.02)


def seconds(cell: Cell) -> list[float]:
    """Return the seconds of all repeats."""
    return [record.seconds for record in cell.records]

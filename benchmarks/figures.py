"""Makes figures of records: medians over the repeats, and the bars that they have to reach."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
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
    """The records, sorted into cells: for each set and store those that were measured together last."""

    def __init__(self, records: Sequence[Record]) -> None:
        newest = {(record.set, record.store): record.inputs for record in records}
        self.records = [record for record in records if newest[record.set, record.store] == record.inputs]

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
        two = ("ours", seconds(pair[0])), ("one file", seconds(pair[1]))
        lines.append(limit("Rendering without locking: time, against a template of one file", *two, times=3))
    pair = [figures.cell(COMMANDS, "", variant, "locking") for variant in ("seeded", "empty")]
    if pair[0] and pair[1]:
        two = ("seeded", seconds(pair[0])), ("empty", seconds(pair[1]))
        lines.append(compare("Locking from the shipped locks: times as fast as from nothing", *two, faster=2.5))
    for name, store in figures.pairs():
        short = store == "containerd"  # today's store is enough for the README
        lines += [replace(line, short=line.short and short) for line in lines_of_set(figures, name, store)]
    return lines


def lines_of_set(figures: Figures, name: str, store: str) -> Iterator[Line]:
    """Yield the bars of one set of packages in one image store."""
    where = place(name, store)

    def of(variant: str, event: str) -> Cell | None:
        return figures.cell(name, store, variant, event)

    for event, package in (("added", ADDED), ("bumped", BUMPED)):
        if (ours := of("ours", event)) and (classic := of("classic", event)):
            title = f"Package {event} {where}"
            both = ("ours", seconds(ours)), ("classic", seconds(classic))
            yield compare(f"{title}: times as fast as the classic order", *both, faster=15)
            new = statistics.median(size_of(package, record) for record in classic.records)
            told = f"{ours.fetched / 1e3:.0f} kB of wheels, {new / 1e3:.0f} kB are new"
            yield Line(f"{title}: bytes fetched, against the new wheels", told, ours.fetched / new if new else 99, 1.1)
            told = f"ours {ours.pushed / 1e3:.0f} kB, classic {classic.pushed / 1e6:.1f} MB"
            ratio = classic.pushed / ours.pushed
            yield Line(f"{title}: times fewer bytes pushed than the classic order", told, ratio, 50, at_least=True)
    if (code := of("ours", "code")) and (nothing := of("ours", "nothing")):
        both = ("changed", seconds(code)), ("nothing", seconds(nothing))
        yield limit(f"Code changed {where}: time, against nothing changed", *both, times=1.3)
        pushed = Spread.of([record.pushed / 1e3 for record in code.records])
        told = f"{pushed.median:.0f} kB ({pushed.low:.0f}..{pushed.high:.0f})"
        yield Line(f"Code changed {where}: bytes pushed", told, pushed.high, 64, unit=" kB")
    if cached := of("ours", "cached-code"):
        worst = max(len(record.wheels) + record.pages + len(record.ran) for record in cached.records)
        told = f"{cached.pulled / 1e6:.0f} MB of layers pulled"
        title = f"Code changed, empty builder with cache {where}: most requests to the index and RUN steps"
        yield Line(title, told, worst, 0, unit="")
    if (ours := of("ours", "empty")) and (classic := of("classic", "empty")):
        both = ("ours", seconds(ours)), ("classic", seconds(classic))
        yield limit(f"Empty builder {where}: time, against the classic order", *both, times=0.6)
    if (ours := of("ours", "empty")) and (other := of("uv-multi-stage", "empty")):
        pair = zip(ours.records[0].layers, other.records[0].layers, strict=False)
        base = sum(size for size, _ in takewhile(lambda both: both[0] == both[1], pair))
        image, theirs = (cell.median(lambda record: sum(record.layers)) for cell in (ours, other))
        told = f"{image / 1e6:.1f} MB; base {base / 1e6:.1f}, packages {(theirs - base) / 1e6:.1f}"
        yield Line(f"Image {where}: bytes, against base and packages", told, image / theirs, 1.02)


def place(name: str, store: str) -> str:
    """Return how a bar names the set of packages, and the image store when it is not the usual one."""
    return f"({name})" if store == "containerd" else f"({name}, {store})"


def size_of(package: str, record: Record) -> float:
    """Return the bytes of a package's wheel, from the record of a build that fetched it once."""
    return sum(size for file, size in record.wheels.items() if file.startswith(package.replace("-", "_")))


def seconds(cell: Cell) -> list[float]:
    """Return the seconds of all repeats."""
    return [record.seconds for record in cell.records]

"""Makes figures of records: medians over the repeats, and the bars that they have to reach."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple, Self

from benchmarks.commands import COMMANDS
from benchmarks.engines import STORES
from benchmarks.measure import Line, Spread, compare, limit
from benchmarks.results import Record
from benchmarks.scenario import ADDED, BUMPED, SETS
from benchmarks.trials import TRIALS
from benchmarks.variants import OURS, VARIANTS, Variant

ADDED_AT_MOST = {"service": 0.5, "heavy": round(1 / 14, 4)}
"""How long a package added may take, in times of the best rival."""


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
    """The records, sorted into cells: for each set and store one run, all of whose figures were measured together.

    It is the run with the most records, so that a first look hides nothing; of two, the newer one.

    Args:
        records: of any runs, the oldest first.
        wanted: inputs of runs that come before all others: those that were asked for.
    """

    def __init__(self, records: Sequence[Record], wanted: Collection[str] = ()) -> None:
        size = Counter((record.set, record.store, record.inputs) for record in records)
        best = {key[:2]: key for key in sorted(size, key=lambda key: (key[2] in wanted, size[key]))}
        self.records = [one for one in records if best[one.set, one.store] == (one.set, one.store, one.inputs)]

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

    def rival(self, name: str, store: str, event: str) -> tuple[Variant, Cell] | None:
        """Return the fastest of the other ways that were measured, if any was."""
        cells = [(one, self.cell(name, store, one.name, event)) for one in self.variants(name, store, event)]
        found = [(variant, cell) for variant, cell in cells if cell and variant != OURS]
        return min(found, key=lambda pair: pair[1].seconds.median, default=None)

    def repeats(self) -> int:
        """Return how often everything was measured at least."""
        places = [(one.set, one.store, one.variant, one.event) for one in self.records]
        return min(map(places.count, set(places)), default=0)


class Measured(NamedTuple):
    """All figures, by what they tell."""

    ways: Figures
    """What each way to build costs."""
    trials: Figures
    """What changes to our own image cost, beside our own image."""
    slow: dict[float, Figures]
    """What each way to build costs with a slow link to the package index, by its bytes a second."""

    @classmethod
    def of(cls, records: Sequence[Record], wanted: Collection[str] = ()) -> Self:
        """Sort out what was measured for what: a run of trials and ours alone is not about the ways to build."""
        trials = {trial.name for trial in TRIALS}
        of_run = defaultdict(set)
        for record in records:
            of_run[record.inputs].add(record.variant)
        fast = [record for record in records if not record.rate]
        ways = [one for one in fast if not of_run[one.inputs] & trials or of_run[one.inputs] - trials - {OURS.name}]
        tried = [one for one in fast if of_run[one.inputs] & trials and one.variant in {*trials, OURS.name}]
        rates = sorted({record.rate for record in records if record.rate})
        slow = {rate: Figures([one for one in records if one.rate == rate], wanted) for rate in rates}
        return cls(Figures(ways, wanted), Figures(tried, wanted), slow)


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
        lines += lines_of_set(figures, name, store)
    return lines


def lines_of_link(figures: Figures) -> Iterator[Line]:
    """Yield the bars for a slow link to the package index: there, what is fetched decides."""
    for name, store in figures.pairs():
        ours, classic = (figures.cell(name, store, variant, "empty") for variant in (OURS.name, "classic"))
        if ours and classic:
            both = ("ours", seconds(ours)), ("classic", seconds(classic))
            yield limit(f"Empty builder {place(name, store)}: time, against the classic order", *both, times=1)


def lines_of_set(figures: Figures, name: str, store: str) -> Iterator[Line]:
    """Yield the bars of one set of packages in one image store."""
    where = place(name, store)

    def of(variant: str, event: str) -> Cell | None:
        return figures.cell(name, store, variant, event)

    nothing = of("ours", "nothing")
    if (ours := of("ours", "added")) and (best := figures.rival(name, store, "added")):
        title = f"Package added {where}"
        both = ("ours", seconds(ours)), (best[0].title, seconds(best[1]))
        yield limit(f"{title}: time, against the best rival", *both, times=ADDED_AT_MOST[name])
    if (ours := of("ours", "added")) and nothing:
        told = f"ours {ours.seconds.seconds()}, nothing {nothing.seconds.seconds()}"
        over = ours.seconds.median - nothing.seconds.median
        yield Line(f"Package added {where}: time over that of nothing changed", told, over, 0.5, unit=" s")
    for event, package in (("added", ADDED), ("bumped", BUMPED)):
        if (ours := of("ours", event)) and (classic := of("classic", event)):
            title = f"Package {event} {where}"
            new = statistics.median(size_of(package, record) for record in classic.records)
            told = f"{ours.fetched / 1e3:.0f} kB of wheels, {new / 1e3:.0f} kB are new"
            yield Line(f"{title}: bytes fetched, against the new wheels", told, ours.fetched / new if new else 99, 1.1)
            told = f"ours {ours.pushed / 1e3:.0f} kB, classic {classic.pushed / 1e6:.1f} MB"
            ratio = classic.pushed / ours.pushed
            yield Line(f"{title}: times fewer bytes pushed than the classic order", told, ratio, 50, at_least=True)
    if (code := of("ours", "code")) and nothing:
        both = ("changed", seconds(code)), ("nothing", seconds(nothing))
        yield limit(f"Code changed {where}: time, against nothing changed", *both, times=1.3)
        yield little_pushed(f"Code changed {where}", code)
    if based := of("ours", "base"):
        worst = max(len(record.wheels) for record in based.records)
        told = f"all packages are installed again in {based.seconds.median:.2f} s"
        yield Line(f"Base image changed {where}: most wheels fetched", told, worst, 0, unit="")
        yield little_pushed(f"Base image changed {where}", based)
    if cached := of("ours", "cached-code"):
        worst = max(len(record.wheels) + record.pages + len(record.ran) for record in cached.records)
        told = f"{cached.pulled / 1e6:.0f} MB of layers pulled"
        title = f"Code changed, empty builder with cache {where}: most requests to the index and RUN steps"
        yield Line(title, told, worst, 0, unit="")
    if (ours := of("ours", "empty")) and (best := figures.rival(name, store, "empty")):
        both = ("ours", seconds(ours)), (best[0].title, seconds(best[1]))
        yield limit(f"Empty builder {where}: time, against the best rival", *both, times=1)
    if (ours := of("ours", "empty")) and (other := of("uv-multi-stage", "empty")):
        pair = zip(ours.records[0].layers, other.records[0].layers, strict=False)
        base = sum(size for size, _ in takewhile(lambda both: both[0] == both[1], pair))
        image, theirs = (cell.median(lambda record: sum(record.layers)) for cell in (ours, other))
        told = f"{image / 1e6:.1f} MB; base {base / 1e6:.1f}, packages and code {(theirs - base) / 1e6:.1f}"
        yield Line(f"Image {where}: bytes, against base, packages and code", told, image / theirs, 1.02)


def little_pushed(title: str, cell: Cell) -> Line:
    """Return the line for "the layers of packages are not pushed again"."""
    pushed = Spread.of([record.pushed / 1e3 for record in cell.records])
    told = f"{pushed.median:.0f} kB ({pushed.low:.0f}..{pushed.high:.0f})"
    return Line(f"{title}: bytes pushed", told, pushed.high, 64, unit=" kB")


def place(name: str, store: str) -> str:
    """Return how a bar names the set of packages, and the image store when it is not the usual one."""
    return f"({name})" if store == "containerd" else f"({name}, {store})"


def size_of(package: str, record: Record) -> float:
    """Return the bytes of a package's wheel, from the record of a build that fetched it once."""
    return sum(size for file, size in record.wheels.items() if file.startswith(package.replace("-", "_")))


def seconds(cell: Cell) -> list[float]:
    """Return the seconds of all repeats."""
    return [record.seconds for record in cell.records]

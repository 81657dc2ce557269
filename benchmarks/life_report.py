"""What two years of upgrades and a fleet of services cost: docs/life.md, the tables behind it, and the plots."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from benchmarks import fleet, life, life_build, plots
from benchmarks.document import markdown, megabytes
from benchmarks.life import CLASSIC, GRID, MB, OURS, POLICIES, WORK, cost, floor, size, weekly
from benchmarks.life_locks import KINDS, PYTHON, History
from benchmarks.measure import HEAD, BenchmarkError, Line, Spread, limit
from benchmarks.report import PICTURES, ROOT, replace, table
from benchmarks.results import Record
from benchmarks.variants import VARIANTS

PAGE = ROOT / "docs" / "life.md"
TABLES = ROOT / "docs" / "benchmarks-life.md"
SERVICES = WORK.parent / "fleet" / "services.json"
TITLES = {variant.name: variant.title for variant in VARIANTS}
SETS = {
    "service": "a fresh service",
    "options": "all options, boto3 and httpx",
    "heavy": "the same, numpy, pandas and scikit-learn",
}


class Built:
    """The weeks of one set that were really built: what each way cost in each, without the first image.

    Args:
        records: of one run.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        ways = {way.name for way in life_build.WAYS}
        built: dict[str, dict[str, Record]] = {}
        for record in sorted(records, key=lambda record: record.event):
            built.setdefault(record.event, {})[record.variant] = record
        self.first = min(built)
        weeks = [built[day] for day in built if day != self.first and built[day].keys() == ways]
        self.ways = {way.name: [week[way.name] for week in weeks] for way in life_build.WAYS}
        self.weeks = len(weeks)
        self.last = weeks[-1]["ours"].event if weeks else self.first
        self.where = sorted({record.where for record in records})

    def seconds(self, way: str) -> Spread:
        """Return what a week's build takes."""
        return Spread.of([record.seconds for record in self.ways[way]])

    def rival(self) -> str:
        """Return the fastest of the others."""
        return min((way for way in self.ways if way != "ours"), key=lambda way: self.seconds(way).median)

    def rows(self) -> Iterator[Sequence[str]]:
        """Yield a table."""
        yield (
            "",
            "Seconds: median (lowest..highest)",
            "MB of wheels fetched",
            "MB pushed",
            "MB pulled by a node",
            "MB written to the cache",
        )
        for way, records in self.ways.items():
            values = (
                [sum(one.wheels.values()) for one in records],
                *([getattr(one, name) for one in records] for name in ("pushed", "node", "cache")),
            )
            yield (TITLES[way], self.seconds(way).seconds(), *(megabytes(sum(value)) for value in values))

    def lines(self, name: str) -> Iterator[Line]:
        """Yield what has to be reached."""
        title, rival = f"{self.weeks} weeks built ({name})", self.rival()
        ours, theirs = ([one.seconds for one in self.ways[way]] for way in ("ours", rival))
        bar = 0.5 if name == "heavy" else 1
        yield limit(
            f"{title}: time of an upgrade, against the best rival", ("ours", ours), (TITLES[rival], theirs), times=bar
        )
        pushed, pulled = (sum(getattr(one, what) for one in self.ways["ours"]) for what in ("pushed", "node"))
        figures = f"{pulled / MB:.0f} MB pulled, {pushed / MB:.0f} MB pushed"
        yield Line(f"{title}: bytes pulled by a node, against those pushed", figures, pulled / pushed, 1)


def built_of(records: Sequence[Record]) -> dict[str, Built]:
    """Return the run of each set with the most weeks that were built in all ways; of two, the newer one."""
    found = {}
    for name in KINDS:
        runs: dict[str, list[Record]] = {}
        for record in records:
            if record.set == f"life-{name}":
                runs.setdefault(record.inputs, []).append(record)
        best = max(map(Built, reversed(runs.values())), key=lambda run: run.weeks, default=None)
        if best and best.weeks:
            found[name] = best
    return found


class Fleet:
    """The services that were built: what is stored for them and pulled by a node, and one copy of each package.

    Args:
        records: of one run.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        copy = [record for record in records if record.variant == fleet.ONE_COPY.name][-1]
        self.records = [record for record in records if record.inputs == copy.inputs]
        self.services = fleet.Services(**json.loads(SERVICES.read_text(encoding="utf-8")))
        self.packages = fleet.packages_of(copy.layers, list(self.services.sizes))
        self.code = sum(copy.layers[-2:])
        self.base = sum(copy.layers) - sum(self.packages.values()) - self.code
        self.least = sum(self.packages.values()) + self.base + len(self.services.locks) * self.code

    def ways(self) -> dict[str, list[Record]]:
        """Return the records of each way in which all services were built."""
        found = {way.name: [record for record in self.records if record.variant == way.name] for way in fleet.WAYS}
        return {way: records for way, records in found.items() if len(records) == len(self.services.locks)}

    def stored(self, way: str) -> int:
        """Return the bytes in the registry: the first image, and what each later one has pushed."""
        first, *rest = self.ways()[way]
        return sum(first.layers) + sum(record.pushed for record in rest)

    def pulled(self, way: str) -> int:
        """Return the bytes that the node pulled."""
        return sum(record.node for record in self.ways()[way])

    def rows(self) -> Iterator[Sequence[str]]:
        """Yield a table."""
        yield ("", "MB stored", "of one copy", "MB pulled by a node")
        yield ("One copy of each package, base image, code", megabytes(self.least), "1.00", "")
        for way in self.ways():
            stored = self.stored(way)
            yield (TITLES[way], megabytes(stored), f"{stored / self.least:.2f}", megabytes(self.pulled(way)))

    def layouts(self) -> Iterator[Sequence[str]]:
        """Yield a table of what other layouts would store, by calculation from the layers of single packages."""
        yield ("A layer of its own from", "Baseline", "MB stored", "of one copy", "Layers of packages at most")
        for least in sorted({life.LAYERS.LARGE, *fleet.THRESHOLDS}, reverse=True):
            for shared in (False, True):
                layers = self.services.layers(least, shared=shared)
                size = sum(self.packages[name] for one in frozenset().union(*layers) for name in one)
                stored = size + self.base + len(layers) * self.code
                most = max(map(len, layers))
                how = "of what every service has, the rest apart" if shared else "of each service"
                yield (f"{least / 1e3:.0f} kB", how, megabytes(stored), f"{stored / self.least:.2f}", f"{most}")

    def lines(self) -> Iterator[Line]:
        """Yield what has to be reached."""
        if "ours" in self.ways():
            stored = self.stored("ours")
            figures = f"ours {stored / MB:.0f} MB, one copy {self.least / MB:.0f} MB"
            title = (
                f"{len(self.services.locks)} services: bytes in the registry, against one copy of each package version"
            )
            yield Line(title, figures, stored / self.least, 1.15)


def fleet_of(records: Sequence[Record]) -> Fleet | None:
    """Return the newest fleet, if one was built."""
    return Fleet(records) if any(record.variant == fleet.ONE_COPY.name for record in records) else None


def histories() -> dict[str, History]:
    """Return the weekly locks of each set. Raises BenchmarkError when there are none."""
    found = {name: History(WORK / f"{name}.json") for name in KINDS}
    for name, history in found.items():
        if len(history.weeks) < 2:
            raise BenchmarkError(f"no locks of {name} are kept; run it without --report")
    return found


def lines_of(known: Mapping[str, History], built: Mapping[str, Built], ships: Fleet | None) -> list[Line]:
    """Return every bar for which there are figures."""
    found = [line for name, history in known.items() for line in life.lines(name, history.locks())]
    found += [line for name, weeks in built.items() for line in weeks.lines(name)]
    return found + (list(ships.lines()) if ships else [])


def title_of(name: str, history: History) -> str:
    """Return what a calculation is about."""
    locks = history.locks()
    return (
        f"{name}: {min(history.weeks)} to {history.newest}, {len(locks) - 1} upgrades, Python {PYTHON};"
        f" {len(locks[-1])} packages, {size(locks[-1]) / MB:.0f} MB"
    )


def show(known: Mapping[str, History], built: Mapping[str, Built], ships: Fleet | None, *, every: bool) -> None:
    """Print what there is.

    Args:
        every: whether to show every threshold, too.
    """
    for name, history in known.items():
        policies = [*POLICIES, *GRID] if every else POLICIES
        print(f"\n{title_of(name, history)}\n\n{table(list(life.rows(history.locks(), policies)))}")
    for name, weeks in built.items():
        print(f"\n{name}, {weeks.first} to {weeks.last}, built\n\n{table(list(weeks.rows()))}")
    if ships:
        print(f"\nfleet\n\n{table(list(ships.rows()))}\n\n{table(list(ships.layouts()))}")
    print(f"\n{table([HEAD, *(line.cells() for line in lines_of(known, built, ships))])}")


def write(known: Mapping[str, History], built: Mapping[str, Built], ships: Fleet | None) -> None:
    """Write docs/life.md, its plots, and the tables behind it."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures(known, built, ships):
        replace(PICTURES / name, picture)
    replace(PAGE, page(known, built, ships))
    replace(TABLES, tables(known, built, ships))


def pictures(
    known: Mapping[str, History], built: Mapping[str, Built], ships: Fleet | None
) -> Iterator[tuple[str, str]]:
    """Yield the names and contents of the plots."""
    history = known["heavy"]
    locks = history.locks()
    ways = {
        "Everything in one layer": weekly(list(CLASSIC.images(locks))),
        "Ours": weekly(list(OURS.images(locks))),
        "The least there is": floor(locks),
    }
    curves = [
        plots.Curve(title, [value / 1e9 for value in accumulate(values)], ours=title == "Ours")
        for title, values in ways.items()
    ]
    days = sorted(history.weeks)[1:]
    yield (
        "life-pushed.svg",
        plots.curves("Gigabytes pushed by weekly upgrades (heavy set)", "Sum since the first image", days, curves),
    )
    for name, weeks in built.items():
        bars = [plots.Bar(TITLES[way], *weeks.seconds(way), ours=way == "ours") for way in weeks.ways]
        yield (
            f"life-seconds-{name}.svg",
            plots.bars(f"A weekly upgrade ({name} set, {weeks.weeks} weeks)", "Seconds of the build", bars),
        )
    if ships:
        values = {"One copy of each": ships.least, **{TITLES[way]: ships.stored(way) for way in ships.ways()}}
        bars = [
            plots.Bar(title, value / MB, value / MB, value / MB, title == TITLES["ours"])
            for title, value in values.items()
        ]
        title = f"{len(ships.services.locks)} services on one registry"
        yield "fleet-stored.svg", plots.bars(title, "Megabytes stored", bars)


def page(known: Mapping[str, History], built: Mapping[str, Built], ships: Fleet | None) -> str:
    """Return docs/life.md: what a manager wants to know."""
    parts = [INTRODUCTION, "## Two years of weekly upgrades\n", YEARS]
    for name, history in known.items():
        locks = history.locks()
        pushed, all_in_one = (cost(list(policy.images(locks))).pushed for policy in (OURS, CLASSIC))
        least = sum(floor(locks))
        parts.append(
            f"- **{name.capitalize()}** ({SETS[name]}; {len(locks[-1])} packages, {len(locks) - 1} weeks): everything in"
            f" one layer pushes {gigabytes(all_in_one)}, ours {gigabytes(pushed)}, which is {all_in_one / pushed:.1f} times less and"
            f" {pushed / least:.2f} times the least that there is to push. A node that follows each release pulls the same."
        )
    parts.append("\n![Pushed by weekly upgrades](benchmarks/life-pushed.svg)\n")
    for name, weeks in built.items():
        rival = weeks.rival()
        ours, theirs, classic = (weeks.seconds(way).median for way in ("ours", rival, "classic"))
        look = "" if weeks.weeks >= life_build.WEEKS else f" Fewer than {life_build.WEEKS} weeks are a first look."
        sums = {way: sum(one.pushed for one in records) for way, records in weeks.ways.items()}
        parts.append(
            f"## {weeks.weeks} of these weeks, really built ({name} set)\n\n"
            f"From {weeks.first} to {weeks.last}, a week's upgrade takes ours {ours:.1f} s (median), {TITLES[rival]}, the fastest"
            f" of the others, {theirs:.1f} s, and the classic order {classic:.1f} s. In all, ours pushes"
            f" {gigabytes(sums['ours'])}, {TITLES[rival]} {gigabytes(sums[rival])}.{look}\n\n"
            f"![Seconds of a weekly upgrade](benchmarks/life-seconds-{name}.svg)\n"
        )
    if ships:
        others = [way for way in ships.ways() if way != "ours"]
        told = ", ".join(f"{TITLES[way]} {ships.stored(way) / MB:.0f} MB" for way in others)
        stored = ships.stored("ours")
        parts.append(
            f"## A fleet of {len(ships.services.locks)} services\n\n"
            f"Services with different options, most with packages of their own, made on one day, on one registry and one"
            f" node. Ours stores {stored / MB:.0f} MB for all of them, {told}. One copy of each package, the base"
            f" image and the code of all would be {ships.least / MB:.0f} MB: ours is {stored / ships.least:.2f} times that,"
            f" since large packages and the baseline lie once for all. The node pulls {ships.pulled('ours') / MB:.0f} MB.\n\n"
            "![Stored for the fleet](benchmarks/fleet-stored.svg)\n"
        )
    return "\n".join([*parts, CLOSING])


def tables(known: Mapping[str, History], built: Mapping[str, Built], ships: Fleet | None) -> str:
    """Return docs/benchmarks-life.md."""
    lines = lines_of(known, built, ships)
    parts = [TABLES_HEAD, markdown([HEAD, *(line.cells() for line in lines)])]
    if missed := [f"- {line.what}: {reason_for(line)}\n" for line in lines if not line.reached]:
        parts.append(f"### Where a bar is missed\n\n{''.join(missed)}")
    parts.append(f"## By calculation\n\n{CALCULATION}")
    for name, history in known.items():
        parts.append(f"### {title_of(name, history)}\n\n{markdown(list(life.rows(history.locks(), POLICIES)))}")
    for name, weeks in built.items():
        parts.append(
            f"## Built: {name}, {weeks.first} to {weeks.last}\n\n{BUILT}\n{markdown(list(weeks.rows()))}\n"
            f"{''.join(f'- {where}{chr(10)}' for where in weeks.where)}"
        )
    if ships:
        parts.append(
            f"## The fleet\n\n{FLEET}\n{markdown(list(ships.rows()))}\n{LAYOUTS}\n{markdown(list(ships.layouts()))}"
        )
    return "\n".join(parts)


def reason_for(line: Line) -> str:
    """Return why a bar is missed."""
    if "time of an upgrade" in line.what:
        return (
            "the last step needs the files of all layers in one place, so an engine that builds into its own store links each"
            " of them anew when one layer has changed, and unpacks again what lies above that one. Several large packages change"
            " in a week, each installed in a step of its own. uv in one layer writes no bytecode; uv in stages does."
        )
    if "in the registry" in line.what:
        return (
            "what a service has besides the baseline lies in a layer of its own, and what people added in another, so"
            " that services which have the same packages there do not share them. The table of other layouts shows more."
        )
    return "not explained yet."


def gigabytes(size: int) -> str:
    """Return bytes for a sentence."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / MB:.0f} MB"


INTRODUCTION = """\
# The life of an image

What images cost over the years: pushed to a registry, pulled by the machines that run them, waited for. Written by
`make bench ARGS='life --write'` and `make bench ARGS='fleet --write'`; [the tables](benchmarks-life.md) have every
figure, and say how it was made.
"""
YEARS = """\
Most teams let a bot upgrade their packages every week. What such upgrades would have been in each week of the last two
years is known: from the dates on which releases were uploaded. With most Dockerfiles, every upgrade makes all packages
one new layer. With ours, it makes new what is new.
"""
CLOSING = """\
## What this means

- A registry that keeps all releases grows by what is pushed, and each machine that runs them pulls as much.
- Large packages (data science, cloud clients) decide what an upgrade costs; ours gives each of them a layer of its own,
  which all services share that use the same version.
- [The layers of the image](layers.md) says how it works, [what each kind of change costs](benchmarks.md) compares single
  changes.
"""
TABLES_HEAD = """\
# The tables behind the life of an image

[The findings](life.md) first. Written by `make bench ARGS='life --write'`; bars are what we want to reach.
"""
CALCULATION = """\
Everything is upgraded every week to what its lock would have been on that Monday: `uv pip compile --exclude-newer`. Bytes
are those of wheels. A layer that the registry has is not pushed again; the first image is not counted. "The least" is the
sum of the wheels that were not in the lock of the week before. "Ours" is decided by the tools of a generated project;
the others were tried. "Heavy" is the number of packages with layers of their own, "edits" how often it was another;
"new baselines" counts both layers that packages share.
"""
BUILT = """\
Every way has an engine of its own that builds and pushes each week's image, and another one that pulls it. Ways take
turns, week by week. Seconds are those of a build; bytes are sums over the weeks without the first image, which starts
with an empty builder. The cache is a registry cache, written after each build: its bytes beside those of the image.
"""
FLEET = """\
Made on one day by this template with all combinations of database, jobs and error tracking; most have httpx, boto3 or
pandas as well. "One copy" is measured: the compressed layer of each package alone, with its bytecode.
"""
LAYOUTS = """\
What other layouts would store, by calculation from those layers. The baseline is that of the day on which a service was
made; what people added since is on top.
"""

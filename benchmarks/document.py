"""Writes docs/benchmarks.md: the figures, and the words around them."""

from collections.abc import Callable, Iterator, Sequence

from benchmarks.engines import STORES
from benchmarks.figures import Cell, Figures, Measured, lines_of, lines_of_link, place
from benchmarks.measure import HEAD, Line, Spread
from benchmarks.scenario import EVENTS, SETS
from benchmarks.trials import TRIALS
from benchmarks.variants import OURS, VARIANTS


def document(measured: Measured) -> str:
    """Return docs/benchmarks.md: the findings on its first page, the tables behind."""
    figures = measured.ways
    lines = lines_of(figures)
    parts = [HEADER, findings(figures)]
    if missed := [f"- {line.what}: {reason_for(line, figures)}\n" for line in lines if not line.reached]:
        parts.append(f"## Where a bar is missed\n\n{''.join(missed)}")
    parts += ["## Bars\n", markdown([HEAD, *(line.cells() for line in lines)])]
    parts.append(f"## The ways to build\n\n{ways()}{''.join(not_measured(figures))}")
    for name, store in figures.pairs():
        parts += section(figures, name, store)
    for rate, slow in measured.slow.items():
        parts += section_of_link(slow, rate)
    parts += tried(measured.trials)
    machines = {record.where for some in (figures, measured.trials, *measured.slow.values()) for record in some.records}
    where = "".join(f"- {machine}\n" for machine in sorted(machines))
    return "\n".join([*parts, HOW, f"## Where\n\n{where}"])


def ways() -> str:
    """Return what is compared."""
    return "".join(f"- **{variant.title}** (`{variant.name}`): {variant.what}\n" for variant in VARIANTS)


def findings(figures: Figures) -> str:
    """Return what the figures say about a package that is added, each event beside its best rival, and the repeats."""
    said = []
    for name, store in figures.pairs():
        ours, best = figures.cell(name, store, OURS.name, "added"), figures.rival(name, store, "added")
        if ours and best:
            mine, theirs = ours.seconds.median, best[1].seconds.median
            said.append(
                f"- {name.capitalize()} set, {store} store: one package added takes ours {mine:.2f} s; of the"
                f" {len(figures.variants(name, store, 'added')) - 1} other ways measured, the fastest takes"
                f" {theirs:.2f} s ({best[0].title}).\n"
            )
    repeats = f"Repeats of each figure: at least {figures.repeats()}. One with fewer than 5 is a first look.\n"
    return f"{''.join(said)}\n{markdown(list(rivals(figures)))}\n{repeats}"


def rivals(figures: Figures) -> Iterator[Sequence[str]]:
    """Yield a table of what each event takes ours, the fastest of the others, and the classic order."""
    yield ("Seconds", "Ours", "The best of the others", "Classic order")
    for name, store in figures.pairs():
        for event in EVENTS if store == "containerd" else ():
            cells = (figures.cell(name, store, variant, event.name) for variant in (OURS.name, "classic"))
            ours, classic = (f"{cell.seconds.median:.2f}" if cell else "-" for cell in cells)
            if event.name in SHOWN and (best := figures.rival(name, store, event.name)):
                rival = f"{best[1].seconds.median:.2f} ({best[0].title})"
                yield (f"{event.title} ({name})", f"**{ours}**", rival, classic)


def not_measured(figures: Figures) -> Iterator[str]:
    """Yield a line for every set and store in which not all ways to build were measured."""
    for name in SETS:
        for store in STORES:
            measured = figures.variants(name, store)
            if lacking := [variant.title for variant in VARIANTS if variant not in measured]:
                which = "any way to build" if not measured else "; ".join(lacking)
                yield f"- Not measured with the {name} set and the {store} store: {which}.\n"


def section(figures: Figures, name: str, store: str) -> Iterator[str]:
    """Yield the paragraphs about one set of packages in one image store."""
    yield f"## {name.capitalize()} set, {store} image store\n\n{SET_NOTES[name]}\n"
    yield f"![Every event](benchmarks/events-{name}-{store}.svg)\n"
    if store == "containerd" and figures.variants(name, store, "added"):
        yield f"![A package added: seconds](benchmarks/added-{name}.svg)\n"
        yield f"![A package added: megabytes pushed](benchmarks/pushed-{name}.svg)\n"
    yield f"{CELL}\n\n{markdown(grid_of(figures, name, store, all_figures))}"
    table = markdown(grid_of(figures, name, store, spread_of))
    yield f"<details><summary>Repeats, lowest and highest seconds, requests to the package index, megabytes pulled (layers of the image)</summary>\n\n{table}\n</details>\n"
    yield f"{IMAGE}\n\n{markdown(list(images(figures, name, store)))}"


def images(figures: Figures, name: str, store: str) -> Iterator[Sequence[str]]:
    """Yield a table of the image that each variant makes."""
    yield ("", *IMAGE_HEAD)
    for variant in figures.variants(name, store, "empty"):
        if cell := figures.cell(name, store, variant.name, "empty"):
            yield (variant.title, *image_of(cell))


def image_of(cell: Cell) -> tuple[str, ...]:
    """Return the size of an image, its layers, that of its cache, and how long a container of it takes to answer."""
    size, layers = (cell.median(value) for value in (lambda one: sum(one.layers), lambda one: len(one.layers)))
    first = Spread.of([record.first_answer for record in cell.records])
    cache = cell.median(lambda one: one.cache)
    return f"{size / 1e6:.1f}", f"{layers:.0f}", megabytes(cache), first.seconds()


def section_of_link(figures: Figures, rate: float) -> Iterator[str]:
    """Yield the paragraphs about a link to the package index of some bytes a second."""
    yield f"## A package index at {rate / 1e6:g} MB/s\n\n{LINK}\n"
    yield markdown([HEAD, *(line.cells() for line in lines_of_link(figures))])
    for name, store in figures.pairs():
        yield where_measured(figures, name, store)
        yield markdown(grid_of(figures, name, store, seconds_and_wheels))


def where_measured(figures: Figures, name: str, store: str) -> str:
    """Return the line above a table that is not one of all ways to build."""
    return f"{name.capitalize()} set, {store} image store; repeats of each figure: at least {figures.repeats()}.\n"


def tried(figures: Figures) -> Iterator[str]:
    """Yield the paragraphs about changes to our own image: what they are, and what they cost where they were measured."""
    yield f"## What was tried\n\n{TRIED}\n\n{verdicts()}"
    for name, store in figures.pairs():
        yield where_measured(figures, name, store)
        yield markdown(list(trials_of(figures, name, store)))


def trials_of(figures: Figures, name: str, store: str) -> Iterator[Sequence[str]]:
    """Yield a table of what our own image costs, and each change to it."""
    yield ("", "Empty builder, s", "Package added, s", "MB pushed", *IMAGE_HEAD)
    for variant in (OURS, *TRIALS):
        empty, added = (figures.cell(name, store, variant.name, event) for event in ("empty", "added"))
        if empty and added:
            cells = (f"{empty.seconds.median:.2f}", f"{added.seconds.median:.2f}", megabytes(added.pushed))
            yield (variant.title, *cells, *image_of(empty))


def verdicts() -> str:
    """Return what was tried, and why it was kept or not."""
    return "".join(f"- **{variant.title}**: {variant.what} {VERDICTS[variant.name]}\n" for variant in TRIALS)


def reason_for(line: Line, figures: Figures) -> str:
    """Return why a bar is missed, as far as the figures tell."""
    what = line.what
    name, store = next((pair for pair in figures.pairs() if place(*pair) in what), ("", ""))

    def seconds(variant: str, event: str) -> float:
        cell = figures.cell(name, store, variant, event)
        return cell.seconds.median if cell else 0.0

    nothing, best = seconds("ours", "nothing"), figures.rival(name, store, what.split()[1])
    if what.startswith("Package") and "time" in what and nothing:
        left = (
            f"the bar leaves {line.bar * best[1].seconds.median:.2f} s, of which " if best and "rival" in what else ""
        )
        return (
            f"{left}a build in which nothing changes takes {nothing:.2f} s. The step that installs, and its layer,"
            f" take {seconds('ours', what.split()[1]) - nothing:.2f} s more, however many packages there are."
        )
    if what.startswith("Code changed") and "time" in what:
        return f"the difference is {seconds('ours', 'code') - nothing:.2f} s."
    if what.startswith("Base image changed") and store == "overlay2":
        return (
            "this image store also keeps when the folders were touched that a step binds its files into, so that a layer"
            " which is built again is another one. That of containerd does not."
        )
    if what.startswith("Empty builder"):
        pulled = seconds("ours", "cached-code")
        least = f" With a registry cache, when nothing is installed, ours takes {pulled:.2f} s." if pulled else ""
        cells = [figures.cell(name, store, way, "empty") for way in ("ours", "classic")]
        wheels = [f"{cell.fetched / 1e6:.0f} MB" for cell in cells if cell]
        fastest = figures.rival(name, store, "empty")
        if "rival" in what and fastest and fastest[0].name == "uv":
            return (
                "uv in one layer compiles no bytecode, which makes each first start slower, and unpacks one layer; ours"
                f" installs, compiles and unpacks each large package in a step of its own.{least}"
            )
        return (
            f"the base image comes first for all, and ours fetches {wheels[0]} of wheels, uv among them,"
            f" the classic order {wheels[-1]}.{least}"
        )
    return "not explained yet."


def all_figures(cell: Cell) -> str:
    """Return seconds, megabytes fetched and megabytes pushed."""
    return f"{seconds_and_wheels(cell)}<br>{megabytes(cell.pushed)}"


def seconds_and_wheels(cell: Cell) -> str:
    """Return seconds and megabytes fetched."""
    return f"**{cell.seconds.median:.2f}**<br>{megabytes(cell.fetched)}"


def spread_of(cell: Cell) -> str:
    """Return the rest."""
    seconds = f"{cell.seconds.low:.2f}..{cell.seconds.high:.2f}"
    layers = cell.median(lambda record: record.pulled_layers)
    pulled = f"{megabytes(cell.pulled)} ({layers:.0f})"
    return f"{len(cell.records)}<br>{seconds}<br>{cell.requests:.0f}<br>{pulled}"


def megabytes(size: float) -> str:
    """Return bytes as megabytes, with two digits that count."""
    return f"{size / 1e6:.2f}" if size < 1e7 else f"{size / 1e6:.0f}"


def grid_of(figures: Figures, name: str, store: str, show_cell: Callable[[Cell], str]) -> list[list[str]]:
    """Return a table of variants by events."""
    events = [event for event in EVENTS if figures.variants(name, store, event.name)]
    rows = [["", *(event.title for event in events)]]
    for variant in figures.variants(name, store):
        cells = [figures.cell(name, store, variant.name, event.name) for event in events]
        rows.append([variant.title, *(show_cell(cell) if cell else "-" for cell in cells)])
    return rows


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows, the first of them the heads, as a table of Markdown."""
    ruled = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(row)} |\n" for row in ruled)


HEADER = """\
# What each kind of change costs

Seconds, bytes of wheels from the package index and bytes pushed, for the image that this template generates and for ten
ways in which images of Python services are built today. Written by `make bench ARGS=--write`; `make bench` measures
on your machine. What two years of upgrades and a fleet of services cost is in [another document](life.md).
"""
CELL = "Each cell: **seconds** of the build, megabytes of wheels fetched, megabytes pushed. A dash: not measured."
IMAGE_HEAD = ("Image, MB", "Layers", "Cache beside it, MB", "First answer")
SHOWN = ("empty", "code", "added", "bumped", "upgraded")
"""The events that the README tells of."""
IMAGE = "The image after the first build, compressed, what a registry cache of it holds besides, and the time from `docker run` to the first answer of `/readyz`:"
LINK = """\
Only the package index is slow here, not the registry: these figures show what the bytes fetched cost. uv, more bytes than all the packages of the service set, is fetched once by a builder that starts
empty. Each cell: **seconds** of the build, megabytes of wheels fetched."""
TRIED = "Changes to our own image, measured with `--variants ours` and their names, which start with `trial-`."
SET_NOTES = {"service": "The packages of a generated service.", "heavy": "The same, with numpy and pandas."}
VERDICTS = {
    "trial-no-bytecode": "Not kept: every start compiles these modules again.",
    "trial-start-bytecode": "Not kept: the image grows past its bar of 1.02.",
    "trial-all-bytecode": "Not kept: a larger image for modules that few services import.",
    "trial-pip": "Not kept: faster only for an empty builder with a slow link to the package index.",
    "trial-uv-sync": "Not kept: it takes longer, and writes the bytecode of everything anew.",
    "trial-zstd": "Not kept: whether Docker 23, the oldest engine that we name, can pull them could not be tried.",
}
HOW = """\
## How

- "Classic order" is what most Dockerfiles do; "the best rival" is the fastest of all other ways at that event. "Ours" is
  the image of this template.
- Every variant installs the same lock from the same package index, on the same base image. After every build the image
  has to hold exactly the locked packages; all have to give the same answer at `/readyz`.
- Installers come from the package index too, with pip's cache: no other registry is taken for granted.
- In each repeat, every variant goes through all events on a new, empty engine: the first build fills it, the next ones
  find it warm. Builders that "start empty" are further new engines. Variants take turns at every event, shuffled anew for each repeat. Figures are medians over the repeats.
  Before every build that is timed the disk is synced, and half a second passes.
- Seconds are those of `docker buildx build` until the image is in the engine's store. Bytes fetched are those of wheels,
  counted at a package index on the same machine that sends the cache headers of the public one; bytes pushed and pulled at a
  registry on the same machine. A build for which that index had to ask the real one is not counted, but repeated.
- The older lock has, for every package, the newest version below today's that fits the others.
- "Base image" gives all variants a base image with one more layer. "README, test" changes two files that the
  service does not need.
- Each event changes the state at the start and is undone; what it left in the builder's caches stays. "Package added"
  adds one that "Two requirement files" keeps in its upper layer, the bumped and the removed ones are in the lower.
- As at the public index, a page is asked for again after ten minutes. How often a warm builder asks thus depends on how
  many variants take turns: requests, unlike bytes of wheels, are not to be compared between runs.
- While one variant builds, the engines of the others are there and idle.
- "Cache" is a registry cache, written after the first build: of all stages (`mode=max`) for the others, as their
  people recommend, of the image alone (`mode=min`) for ours. Builders are the engine's own, which
  unpack what they build and so pull every layer of it. A builder in a container that pushes straight to a registry
  need not; that was not measured.
- It takes Linux, Docker on the same machine that may run privileged containers, and some hours. A slow link to the
  package index is `--rate`; such figures have a table of their own.
"""

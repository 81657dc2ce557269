"""Writes docs/benchmarks.md: the figures, and the words around them."""

from collections.abc import Callable, Iterator, Sequence

from benchmarks.figures import Cell, Figures, lines_of, place
from benchmarks.measure import HEAD
from benchmarks.scenario import EVENTS, SHARES
from benchmarks.trials import TRIALS
from benchmarks.variants import OURS, VARIANTS


def document(figures: Figures) -> str:
    """Return docs/benchmarks.md."""
    lines = lines_of(figures)
    variants = "".join(f"- **{variant.title}** (`{variant.name}`): {variant.what}\n" for variant in VARIANTS)
    parts = [HEADER, summary(figures), f"## The ways to build\n\n{variants}", HOW]
    parts += ["## Bars\n", markdown([HEAD, *(line.cells() for line in lines)])]
    if missed := [f"- {line.what}: {reason_for(line.what, figures)}\n" for line in lines if not line.reached]:
        parts.append(f"### Where a bar is missed\n\n{''.join(missed)}")
    for name, store in figures.pairs():
        parts += section(figures, name, store)
    parts += [
        part
        for name, store in figures.pairs()
        for part in (*deltas(figures, name, store), *tried(figures, name, store))
    ]
    if not any(record.variant == trial.name for record in figures.records for trial in TRIALS):
        parts.append(f"## What was tried\n\n{TRIED}\n\n{verdicts()}")
    where = "".join(f"- {machine}\n" for machine in sorted({record.where for record in figures.records}))
    return "\n".join([*parts, f"## Where\n\n{where}"])


def summary(figures: Figures) -> str:
    """Return in words what the figures say about a package that is added, and how often they were repeated."""
    said = []
    for name, store in figures.pairs():
        found = {
            variant: cell.seconds.median
            for variant in figures.variants(name, store)
            if (cell := figures.cell(name, store, variant.name, "added"))
        }
        others = sorted((seconds, variant.title) for variant, seconds in found.items() if variant != OURS)
        if OURS in found and others:
            best, worst = others[0], others[-1]
            said.append(
                f"- {name.capitalize()} set, {store} store: one package added takes ours {found[OURS]:.2f} s, the best of the"
                f" others {best[0]:.2f} s ({best[1]}), the slowest {worst[0]:.2f} s ({worst[1]}).\n"
            )
    return f"{''.join(said)}\nRepeats of each figure: at least {figures.repeats()}. One with fewer than 5 is a first look.\n"


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


def deltas(figures: Figures, name: str, store: str) -> Iterator[str]:
    """Yield the paragraph about when a new baseline pays."""
    none, fresh = (figures.cell(name, store, OURS.name, event) for event in ("added", "upgraded"))
    rows: list[Sequence[str]] = [
        (
            "Upgraded since the baseline",
            "Seconds",
            "MB pushed",
            "A new baseline costs less after, by seconds",
            "by bytes",
        )
    ]
    for share in SHARES:
        if none and fresh and (cell := figures.cell(name, store, OURS.name, share)):
            more = (cell.seconds.median - none.seconds.median, cell.pushed - none.pushed)
            after = [
                f"{cost / extra:.0f} changes" if extra > cost / 1000 else "never"
                for cost, extra in zip((fresh.seconds.median, fresh.pushed), more, strict=True)
            ]
            part = f"one package in {SHARES[share]}" if SHARES[share] > 1 else "all packages"
            rows.append((part, f"{cell.seconds.median:.2f}", megabytes(cell.pushed), *after))
    if len(rows) > 1:
        yield f"## When a new baseline pays ({name}, {store})\n\n{DELTA}\n\n{markdown(rows)}"


def tried(figures: Figures, name: str, store: str) -> Iterator[str]:
    """Yield the paragraph about changes to our own image."""
    rows: list[Sequence[str]] = [
        ("", "Empty builder, s", "First answer, s", "Image, MB", "One package added, s", "MB pushed")
    ]
    for variant in (OURS, *TRIALS):
        empty, added = (figures.cell(name, store, variant.name, event) for event in ("empty", "added"))
        if empty and added:
            image = empty.median(lambda record: sum(record.layers))
            cells = (empty.seconds.median, empty.median(lambda record: record.first_answer))
            rows.append(
                (
                    variant.title,
                    *(f"{cell:.2f}" for cell in cells),
                    megabytes(image),
                    f"{added.seconds.median:.2f}",
                    megabytes(added.pushed),
                )
            )
    if len(rows) > 2:
        yield f"## What was tried ({name}, {store})\n\n{markdown(rows)}\n{verdicts()}"


def verdicts() -> str:
    """Return what was tried, and why it was not kept."""
    return "".join(f"- **{variant.title}**: {variant.what} {VERDICTS[variant.name]}\n" for variant in TRIALS)


def reason_for(what: str, figures: Figures) -> str:
    """Return why a bar is missed, as far as the figures tell."""
    name, store = next((pair for pair in figures.pairs() if place(*pair) in what), ("", ""))

    def seconds(variant: str, event: str) -> float:
        cell = figures.cell(name, store, variant, event)
        return cell.seconds.median if cell else 0.0

    nothing, classic = seconds("ours", "nothing"), seconds("classic", "added")
    if what.startswith("Package") and "fast" in what and nothing:
        return (
            f"a build in which nothing changes takes ours {nothing:.2f} s, {classic / nothing:.0f} times less than the classic"
            " order takes for the package. Ours adds what Docker needs to start a step, and to store a layer; the more packages there are, the larger the factor."
        )
    if what.startswith("Code changed") and "time" in what:
        return f"the difference is {seconds('ours', 'code') - nothing:.2f} s."
    if what.startswith("Empty builder"):
        others = [
            variant for variant in figures.variants(name, store, "empty") if variant.name not in ("ours", "classic")
        ]
        best = min(((seconds(variant.name, "empty"), variant.title) for variant in others), default=None)
        rest = f" The fastest of the others ({best[1]}) takes {best[0]:.2f} s." if best else ""
        return f"all wait for the same base image first, which is a good part of the time.{rest}"
    return "not explained yet."


def all_figures(cell: Cell) -> str:
    """Return seconds, megabytes fetched and megabytes pushed."""
    return f"**{cell.seconds.median:.2f}**<br>{megabytes(cell.fetched)}<br>{megabytes(cell.pushed)}"


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
    events = [event for event in EVENTS if figures.variants(name, store, event.name) and not event.delta]
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

Seconds, bytes from the package index and bytes pushed, for the image that this template generates and for ten
ways in which images of Python services are built today. Written by `make bench ARGS=--write`; `make bench` measures
on your machine.
"""
CELL = "Each cell: **seconds** of the build, megabytes of wheels fetched, megabytes pushed. A dash: not measured."
DELTA = (
    "What a package added costs while a part of the others has been upgraded since the baseline was taken; `make lock` "
    'suggests a new one when half of the packages differ. A new baseline costs what "all upgraded" costs, once.'
)
TRIED = (
    "Changes to our own image; these figures do not have them, `--variants ours trial-zstd` and its like measure them."
)
SET_NOTES = {"service": "The packages of a generated service.", "heavy": "The same, with numpy and pandas."}
VERDICTS = {
    "trial-no-bytecode": "Not kept: every start would compile these modules again.",
    "trial-all-bytecode": "Not kept: a larger image for modules that few services import.",
    "trial-zstd": "Not kept: the layers of the base image, most of the bytes, stay as they are.",
}
HOW = """\
## How

- "Classic order" is what most Dockerfiles do; most bars compare with it. "Ours" is the image of this template.
- Every variant installs the same lock from the same package index, on the same base image. After every build the image
  has to hold exactly the locked packages; all have to give the same answer at `/readyz`.
- Installers come from the package index too, with pip's cache: no other registry is taken for granted.
- In each repeat, every variant goes through all events on a new, empty engine: the first build fills it, the next ones
  find it warm. Each event changes the state at the start and is undone. Builders that "start empty" are further new
  engines. Variants take turns at every event, shuffled anew for each repeat. Figures are medians over the repeats.
  Before every build that is timed the disk is synced, and half a second passes.
- Seconds are those of `docker buildx build` until the image is in the engine's store. Bytes fetched are counted at
  a package index on the same machine that sends the cache headers of the public one; bytes pushed and pulled at a
  registry on the same machine. A build for which that index had to ask the real one is not counted, but repeated.
- The older lock has, for every package, the newest version below today's that fits the others.
- "Base image" gives all variants a base image with one more layer. "README, test" changes two files that the
  service does not need.
- "Cache" is a registry cache with `mode=max`, written after the first build. Builders are the engine's own, which
  unpack what they build and so pull every layer of it. A builder in a container that pushes straight to a registry
  need not; that was not measured.
- It takes Linux, Docker on the same machine that may run privileged containers, and some hours. A slow link to the
  package index is `--rate`; such figures are kept apart.
"""

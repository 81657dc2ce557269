"""Writes docs/benchmarks.md: the figures, and the words around them."""

from collections.abc import Callable, Iterator, Sequence

from benchmarks.figures import Cell, Figures, lines_of
from benchmarks.measure import HEAD
from benchmarks.scenario import EVENTS, SHARES
from benchmarks.trials import TRIALS
from benchmarks.variants import OURS, VARIANTS


def document(figures: Figures) -> str:
    """Return docs/benchmarks.md."""
    lines = lines_of(figures)
    repeats = f"Repeats of each figure: at least {figures.repeats()}. One with fewer than 5 is a first look.\n"
    parts = [HEADER, repeats, "## Bars\n", markdown([HEAD, *(line.cells() for line in lines)])]
    if missed := [f"- {line.what}: {reason_for(line.what)}\n" for line in lines if not line.reached]:
        parts.append(f"### Where a bar is missed\n\n{''.join(missed)}")
    for name, store in figures.pairs():
        parts += section(figures, name, store)
    parts += [
        part
        for name, store in figures.pairs()
        for part in (*deltas(figures, name, store), *tried(figures, name, store))
    ]
    variants = "".join(f"- **{variant.title}** (`{variant.name}`): {variant.what}\n" for variant in VARIANTS)
    where = "".join(f"- {place}\n" for place in sorted({record.where for record in figures.records}))
    return "\n".join([*parts, f"## The ways to build\n\n{variants}", HOW, f"## Where\n\n{where}"])


def section(figures: Figures, name: str, store: str) -> Iterator[str]:
    """Yield the paragraphs about one set of packages in one image store."""
    yield f"## {name.capitalize()} set, {store} image store\n\n{SET_NOTES[name]}\n"
    yield f"![Every event](benchmarks/events-{name}-{store}.svg)\n"
    if store == "containerd":
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
                f"{cost / extra:.1f} changes" if extra > 0 else "never"
                for cost, extra in zip((fresh.seconds.median, fresh.pushed), more, strict=True)
            ]
            rows.append(
                (f"one package in {SHARES[share]}", f"{cell.seconds.median:.2f}", megabytes(cell.pushed), *after)
            )
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
        notes = "".join(f"- **{variant.title}**: {variant.what} {VERDICTS[variant.name]}\n" for variant in TRIALS)
        yield f"## What was tried ({name}, {store})\n\n{markdown(rows)}\n{notes}"


def reason_for(what: str) -> str:
    """Return why a bar is missed, as far as it is known."""
    return next((reason for start, reason in REASONS.items() if what.startswith(start)), "new, and not explained yet.")


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
ways in which images of Python services are built today. Written by `python -m benchmarks --write`; `make bench`
measures on your machine.
"""
CELL = "Each cell: **seconds** of the build, megabytes of wheels fetched, megabytes pushed. A dash: not measured."
DELTA = (
    "What a package added costs while a part of the others has been upgraded since the baseline was taken; `make lock` "
    'suggests a new one when a quarter of the packages differs. A new baseline costs what "all upgraded" costs, once.'
)
SET_NOTES = {"service": "The packages of a generated service.", "heavy": "The same, with numpy and pandas."}
REASONS = {
    "One package": "a build in which nothing changes costs the engine a good part of what ours takes, and the classic"
    " build of a set this small is short. The more packages there are, the larger the factor: see the heavy set.",
    "Code changed, against": "the difference is less than a tenth of a second, about what repeats differ by.",
    "Empty builder": "both wait for the same base image first. Ours then fetches uv, whose wheel is larger than all"
    " packages of the service together, installs it with a pip that has no bytecode in the base image, and compiles"
    " what it installs. The more there is to install, the less this weighs: see the heavy set.",
}
VERDICTS = {
    "trial-no-bytecode": "Not kept: every start compiles these modules again.",
    "trial-all-bytecode": "Not kept: a larger image for modules that few services import.",
    "trial-zstd": "Not kept: it gains little on layers of this size, those of the base image stay as they are, and"
    " engines before Docker 23 with the overlay2 store cannot pull it.",
}
HOW = """\
## How

- Every variant installs the same lock from the same package index, on the same base image; the image must hold
  exactly these versions, and all must give the same answer at `/readyz`.
- In each repeat, every variant goes through all events on a new, empty engine: the first build fills it, the next ones
  find it warm. Each event changes the state at the start and is undone. Builders that "start empty" are further new engines.
- Variants take turns at every event, in another order in each repeat. Figures are medians over the repeats.
- Seconds are those of `docker buildx build` until the image is in the engine's store. Bytes fetched are counted at
  a package index on the same machine that sends the cache headers of the public one; bytes pushed and pulled at a
  registry on the same machine. On a slow link (`--rate`), what fetches less wins by more.
- The older lock has, for every package, the newest version below today's that fits the others.
- "Base image" gives all variants a base image with one more layer. "README, test" changes two files that the
  service does not need.
- "Cache" is a registry cache with `mode=max`, written after the first build. Builders are the engine's own, which
  unpack what they build and so pull every layer of it. A builder in a container that pushes straight to a registry
  need not; that was not measured.
"""

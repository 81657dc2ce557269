"""Shows the records: tables on the terminal, docs/benchmarks.md with its plots, the short version in README.md."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import plots
from benchmarks.document import document, grid_of, markdown, rivals, trials_of
from benchmarks.figures import Figures, Measured, lines_of
from benchmarks.measure import HEAD, Spread
from benchmarks.results import Record
from benchmarks.variants import OURS

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "benchmarks.md"
PICTURES = ROOT / "docs" / "benchmarks"
README = ROOT / "README.md"
MARKERS = ("<!-- benchmark -->", "<!-- /benchmark -->")


def show(measured: Measured) -> None:
    """Print what there is."""
    for rate, figures in {0.0: measured.ways, **measured.slow}.items():
        limit = f" with a package index at {rate / 1e6:g} MB/s" if rate else ""
        for name, store in figures.pairs():
            print(f"\n{name}, {store}: seconds of a build{limit}\n")
            print(table(grid_of(figures, name, store, lambda cell: f"{cell.seconds.median:.2f}")))
    for name, store in measured.trials.pairs():
        print(f"\n{name}, {store}: changes to our own image\n")
        print(table(list(trials_of(measured.trials, name, store))))
    print(f"\n{table([HEAD, *(line.cells() for line in lines_of(measured.ways))])}")


def write(measured: Measured) -> None:
    """Write the document, its plots, and the short version between the markers of README.md."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures(measured.ways):
        replace(PICTURES / name, picture)
    replace(DOCUMENT, document(measured))
    if README.exists():
        replace(README, with_short_version(README.read_text(encoding="utf-8"), measured.ways))


def replace(path: Path, text: str) -> None:
    """Write a file as a whole or not at all, and say so."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8", newline="\n")
    new.replace(path)
    print(f"wrote {path.relative_to(ROOT)}")


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows, the first of them the heads, for a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def pictures(figures: Figures) -> list[tuple[str, str]]:
    """Return the names and contents of the plots, in the order of the document."""
    drawn = []
    for name, store in figures.pairs():
        added = bool(figures.variants(name, store, "added"))
        rows = grid_of(figures, name, store, lambda cell: str(cell.seconds.median))
        values = [(row[0], [None if value == "-" else float(value) for value in row[1:]]) for row in rows[1:]]
        title, note = (
            f"Seconds of a build: {name}, {store}",
            "Median; a stronger colour is slower, on a logarithmic scale",
        )
        drawn.append((f"events-{name}-{store}.svg", plots.grid(title, note, rows[0][1:], values)))
        if store == "containerd" and added:
            drawn.append(
                (
                    f"added-{name}.svg",
                    plots.bars(
                        f"One package added ({name})",
                        "Seconds of a build",
                        bars_of(figures, name, store, lambda one: one.seconds),
                    ),
                )
            )
            drawn.append(
                (
                    f"pushed-{name}.svg",
                    plots.bars(
                        f"One package added ({name})",
                        "Megabytes pushed to the registry",
                        bars_of(figures, name, store, lambda one: one.pushed / 1e6),
                    ),
                )
            )
    return drawn


def bars_of(figures: Figures, name: str, store: str, value: Callable[[Record], float]) -> list[plots.Bar]:
    """Return a bar for each variant: what a package added costs."""
    bars = []
    for variant in figures.variants(name, store, "added"):
        cell = figures.cell(name, store, variant.name, "added")
        assert cell
        spread = Spread.of([value(record) for record in cell.records])
        bars.append(plots.Bar(variant.title, *spread, ours=variant == OURS))
    return bars


def with_short_version(readme: str, figures: Figures) -> str:
    """Return the README with the figures between its markers; without markers they come last."""
    plot = "![Seconds until the image is built, after one package was added](docs/benchmarks/added-service.svg)"
    block = f"{MARKERS[0]}\n{plot}\n\n{WORDS}\n\n{markdown(list(rivals(figures)))}{MARKERS[1]}"
    if not all(marker in readme for marker in MARKERS):
        return f"{readme.rstrip()}\n\n{block}\n"
    return re.sub(f"{MARKERS[0]}.*?{MARKERS[1]}", lambda _: block, readme, count=1, flags=re.DOTALL)


WORDS = """\
The classic order copies the lock, installs it, and copies the code; an empty builder has nothing to reuse. "Service" is
the set of packages of every service, "heavy" has numpy and pandas too. The other ways to build, what we want to reach
and how it was measured is in [all figures](docs/benchmarks.md), what two years of weekly upgrades and a fleet of
services cost in [the life of an image](docs/life.md); `make bench` measures them on your machine."""

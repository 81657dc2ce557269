"""Shows the figures: a table on the terminal, docs/benchmarks.md, and the short version in README.md."""

import datetime
import os
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import images
from benchmarks.measure import Line

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"
MARKERS = ("<!-- benchmark -->", "<!-- /benchmark -->")
HEAD = ("What", "Measured: median (lowest..highest)", "Ratio", "Bar", "Verdict")


def table(lines: Sequence[Line]) -> str:
    """Return the figures for a terminal."""
    rows = [HEAD, *(line.cells() for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows, the first of them the heads, as a table of Markdown."""
    ruled = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(row)} |\n" for row in ruled)


def write(lines: Sequence[Line], repeats: int) -> None:
    """Write the document, and the short version between the markers of README.md."""
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(document(lines, repeats), encoding="utf-8", newline="\n")
    print(f"wrote {DOCUMENT.relative_to(ROOT)}")
    if not README.exists():
        print("README.md is not here: the short version was not written")
        return
    README.write_text(with_short_version(README.read_text(encoding="utf-8"), lines), encoding="utf-8", newline="\n")
    print(f"wrote {README.name}")


def with_short_version(readme: str, lines: Sequence[Line]) -> str:
    """Return the README with the figures between its markers; without markers they come last."""
    rows = [("What", "Ratio", "Bar"), *((line.what, line.cells()[2], line.cells()[3]) for line in lines)]
    link = "Measured by `make bench`; [all figures and how](docs/benchmarks.md)."
    block = f"{MARKERS[0]}\n{markdown(rows)}\n{link}\n{MARKERS[1]}"
    if not all(marker in readme for marker in MARKERS):
        return f"{readme.rstrip()}\n\n{block}\n"
    return re.sub(f"{MARKERS[0]}.*?{MARKERS[1]}", lambda _: block, readme, count=1, flags=re.DOTALL)


def document(lines: Sequence[Line], repeats: int) -> str:
    """Return docs/benchmarks.md."""
    facts = {
        "Date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "Machine": machine(),
        "Python of the commands": platform.python_version(),
        **images.versions(),
    }
    how = "".join(f"- {fact}: {value}\n" for fact, value in facts.items())
    return f"""\
# What rendering, locking and building cost

Written by `python -m benchmarks --write`; `make bench` shows the same on your machine.

{markdown([HEAD, *(line.cells() for line in lines)])}
## Where and when

{how}
## How

- Ratios of medians in one run, variants interleaved, {repeats} repeats; seconds depend on the machine, ratios less so.
- A package index on the same machine answers every tool alike, with the cache headers of the public index.
  The link of the machine plays no part; on a slow one, what fetches less wins by more.
- Rendering: the `cookiecutter` command as a process, against a template of one file.
- Locking: `tools/lock.py compile` with the lock tools installed, pip's and pip-tools' caches empty each time.
- Images: a generated service with its own packages (service), and with {" and ".join(images.SETS["heavy"])} on top (heavy).
  "Classic" is `benchmarks/variants/classic.Dockerfile`: the same base image and lock, installed by pip in one layer.
  Every repeat adds another small package, so that nothing can have its wheel or its layer already; all
  variants were built before, are then started, have the package and give the same answer at `/readyz`.
- A layer's size is that of its compressed blob; a wheel's, what the index sent.
- Two cold builds: `--no-cache`, nothing in the cache mounts, `SOURCE_DATE_EPOCH` set and `rewrite-timestamp=true`.
"""


def machine() -> str:
    """Return the processor, the number of cores this run may use, the memory and the system."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if sys.platform == "linux" else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = model[1] if model else platform.processor()
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}"

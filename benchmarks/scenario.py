"""What happens to the service between two builds: the packages, and the events.

Every set of packages has two locks. The service starts with the older one, in which each package has the
newest version below today's that fits the others; "bumped" takes one package, "upgraded" all of them, to
today's lock. All variants get the same text.
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.commands import ROOT
from benchmarks.index import Index
from benchmarks.measure import BenchmarkError, run

SETS: dict[str, list[str]] = {"service": [], "heavy": ["numpy", "pandas"]}
"""What is installed beside the packages of the generated service."""

PYTHON: str = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["python_version"][0]
ADDED, BUMPED, REMOVED = "tabulate", "typing-extensions", "sortedcontainers"
"""Pure-Python packages that need no others. The service starts with the last two; the wheel of the bumped one
has the median size among those of the service."""


class Locks(NamedTuple):
    """The locks of one set: the older one with changes, and today's."""

    start: str
    added: str
    bumped: str
    removed: str
    upgraded: str


class Event(NamedTuple):
    """Something that happens to the service, and what one has to build afterwards."""

    name: str
    title: str
    """For the head of a table's column."""
    lock: str = "start"
    """A field of `Locks`."""
    baseline: str = "start"
    """What ours has as its baseline then."""
    edits: tuple[str, ...] = ()
    """Files that get another line, as globs relative to the project."""
    base: str = "today"
    """The base image: today's or the next."""
    fresh: bool = False
    """Whether the builder starts empty."""
    cached: bool = False
    """Whether it may ask the registry for the layers of the start."""


CODE, README, TEST = "*/about.py", "README.md", "tests/test_openapi.py"
EVENTS = (
    Event("empty", "empty builder", fresh=True),
    Event("nothing", "nothing changed"),
    Event("code", "code changed", edits=(CODE,)),
    Event("docs", "README, test", edits=(README, TEST)),
    Event("added", "package added", lock="added"),
    Event("bumped", "package bumped", lock="bumped"),
    Event("removed", "package removed", lock="removed"),
    Event("upgraded", "all upgraded", lock="upgraded", baseline="upgraded"),
    Event("base", "base image", base="next"),
    Event("cached-code", "empty, cache: code", edits=(CODE,), fresh=True, cached=True),
    Event("cached-added", "empty, cache: added", lock="added", fresh=True, cached=True),
)
"""In the order in which they are measured."""

START = EVENTS[0]
"""Fills the builder that the next events find warm."""


def blocks_of(lock: str) -> dict[str, str]:
    """Return the lines of each package in a lock, by name."""
    blocks = re.findall(r"^[a-z0-9][^\n]*\n(?: +--hash[^\n]*\n)+", lock, re.MULTILINE)
    return {re.split(r"[=\[]", block)[0]: block for block in blocks}


def resolve(wanted: str, constraints: Iterable[str], index_url: str, file: Path) -> str:
    """Return the hashed lock of requirements under constraints; an existing `file`, where it is kept, is its seed.

    Raises:
        BenchmarkError: there is none.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    asked, bounds = file.with_suffix(".in"), file.with_suffix(".constraints")
    asked.write_text(wanted, encoding="utf-8")
    bounds.write_text("".join(f"{bound}\n" for bound in constraints), encoding="utf-8")
    run(
        sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config", "--no-header", "--no-annotate",
        "--generate-hashes", "--only-binary", ":all:", "--python-version", PYTHON, "--python-platform", "linux",
        "--default-index", index_url, "--constraint", bounds, "--output-file", file, asked, env={"UV_FIND_LINKS": ""},
    )  # fmt: skip
    return file.read_text(encoding="utf-8")


def locks_of(name: str, project: Path, index: Index) -> Locks:
    """Resolve the locks of a set, and leave them in the project's folder for the next run.

    Raises:
        BenchmarkError: a resolution failed, or today's release of a package is its first.
    """
    asked = (project / "requirements" / "prod.in").read_text(encoding="utf-8")
    wanted = asked + "".join(f"{package}\n" for package in (*SETS[name], REMOVED, ADDED))
    work = project.parent / f"locks-{name}"
    today = blocks_of((project / "requirements" / "prod.txt").read_text(encoding="utf-8"))
    pins = {package: block.split()[0] for package, block in today.items()}
    new = blocks_of(resolve(wanted, pins.values(), index.url, work / "new.txt"))
    older = {
        package: block.split()[0].replace("==", "<")
        for package, block in new.items()
        if package not in (ADDED, REMOVED)
    }
    old = blocks_of(resolve(wanted, older.values(), index.url, work / "old.txt"))
    if same := [package for package in older if old.get(package) == new[package]]:
        raise BenchmarkError(f"{name}: no older version of {', '.join(same)}")
    start = {package: block for package, block in old.items() if package != ADDED}
    return Locks(
        *(
            "".join(content[package] for package in sorted(content))
            for content in (
                start,
                {**start, ADDED: old[ADDED]},
                {**start, BUMPED: new[BUMPED]},
                {package: block for package, block in start.items() if package != REMOVED},
                {package: block for package, block in new.items() if package != ADDED},
            )
        )
    )


def edit(event: Event, project: Path) -> dict[Path, str]:
    """Edit the files that an event edits; return the text of each as it was, to undo it. Raises BenchmarkError."""
    before = {}
    for pattern in event.edits:
        path = next(iter(project.glob(pattern)), None)
        if path is None:
            raise BenchmarkError(f"the service has no {pattern}")
        before[path] = path.read_text(encoding="utf-8")
        path.write_text(before[path] + f"# {event.name}\n", encoding="utf-8")
    return before

"""What happens to the service between two builds: the packages, and the events.

Every set of packages has two locks. The service starts with the older one, in which each package has the
newest version below today's that fits the others; "bumped" takes one package, "upgraded" all of them, to
today's lock. All variants get the same text.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.index import Index
from benchmarks.measure import BenchmarkError, run

SETS: dict[str, list[str]] = {"service": [], "heavy": ["numpy", "pandas"]}
"""What is installed beside the packages of the generated service."""

PYTHON = "3.14"
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
    eighth: str
    quarter: str
    half: str
    whole: str
    """The last four: a package added, when that share of the others has been upgraded since the baseline."""


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
    delta: bool = False
    """Whether it asks what a delta costs: nothing but our own image has one."""


SHARES = {"eighth": 8, "quarter": 4, "half": 2, "whole": 1}
CODE, README, TEST = "*/about.py", "README.md", "tests/test_pages.py"
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
    *(Event(share, f"{share} upgraded, one added", lock=share, delta=True) for share in SHARES),
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


def locks_of(name: str, project: Path, index: Index) -> Locks:
    """Resolve the locks of a set, and leave them in the project's folder for the next run.

    Raises:
        BenchmarkError: a resolution failed, or today's release of a package is its first.
    """
    wanted = (project / "requirements" / "prod.in").read_text(encoding="utf-8") + "\n".join(SETS[name]) + "\n"
    work = project.parent / f"locks-{name}"
    work.mkdir(exist_ok=True)

    def resolve(step: str, constraints: str) -> str:
        (work / "wanted.in").write_text(f"{wanted}{REMOVED}\n{ADDED}\n", encoding="utf-8")
        (work / "constraints.txt").write_text(constraints, encoding="utf-8")
        run(
            sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config", "--no-header", "--no-annotate",
            "--generate-hashes", "--only-binary", ":all:", "--python-version", PYTHON, "--python-platform", "linux",
            "--default-index", index.url, "--constraint", work / "constraints.txt",
            "--output-file", work / f"{step}.txt", work / "wanted.in", env={"UV_FIND_LINKS": ""},
        )  # fmt: skip
        return (work / f"{step}.txt").read_text(encoding="utf-8")

    today = blocks_of((project / "requirements" / "prod.txt").read_text(encoding="utf-8"))
    pins = {package: block.split()[0] for package, block in today.items()}
    new = blocks_of(resolve("new", "".join(f"{pin}\n" for pin in pins.values())))
    older = {
        package: block.split()[0].replace("==", "<")
        for package, block in new.items()
        if package not in (ADDED, REMOVED)
    }
    old = blocks_of(resolve("old", "".join(f"{bound}\n" for bound in older.values())))
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
                *({**start, ADDED: old[ADDED], **every(step, new, start)} for step in SHARES.values()),
            )
        )
    )


def every(step: int, new: dict[str, str], start: dict[str, str]) -> dict[str, str]:
    """Return every n-th package of the start in its newer version. One that is no longer needed has none."""
    return {package: new[package] for package in sorted(start.keys() & new.keys())[step - 1 :: step]}


def apply(event: Event, locks: Locks, project: Path, prepare: Callable[[str, str], None]) -> dict[Path, str]:
    """Make an event happen; return the text of the edited files as it was, to undo it.

    Args:
        prepare: writes what a variant installs from, given the lock and the baseline.
    """
    prepare(getattr(locks, event.lock), getattr(locks, event.baseline))
    before = {}
    for pattern in event.edits:
        path = next(iter(project.glob(pattern)), None)
        if path is None:
            raise BenchmarkError(f"the service has no {pattern}")
        before[path] = path.read_text(encoding="utf-8")
        path.write_text(before[path] + f"# {event.name}\n", encoding="utf-8")
    return before

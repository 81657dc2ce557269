"""The locks that a service would have had in each week of two years: resolved once, and kept."""

import json
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from benchmarks.commands import ROOT, render
from benchmarks.index import configured_upstream
from benchmarks.life_index import Pages
from benchmarks.measure import BenchmarkError, run

PYTHON = "3.13"
"""With 3.14 the locks go back 60 weeks: markupsafe, which flask needs, had no wheel for it before."""

WEEKS = 104
NO_SOLUTION = " ended with 1:"  # uv ends with 2 when something else went wrong
OPTIONS = {"database": "postgresql", "background_jobs": "celery", "error_tracking": "sentry"}
CLIENTS = ("boto3", "httpx")
SCIENCE = ("numpy", "pandas", "scikit-learn")


class Wheel(NamedTuple):
    """What a lock installs of a package."""

    version: str
    size: int  # bytes


Lock = Mapping[str, Wheel]


class Kind(NamedTuple):
    """A service: the answers it was generated with, and the packages that its people added."""

    answers: Mapping[str, str]
    added: Sequence[str]


KINDS = {
    "service": Kind({}, ()),
    "options": Kind(OPTIONS, CLIENTS),
    "heavy": Kind(OPTIONS, (*CLIENTS, *SCIENCE)),
}


class History:
    """The weekly locks of one kind of service, in a file that each new one is added to.

    Args:
        path: where they are kept; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wanted = ""
        """The requirements that are resolved."""
        self.newest = ""
        """The day of the newest lock."""
        self.stopped = ""
        """The newest day on which there was no solution; none before it was tried."""
        self.weeks: dict[str, dict[str, Wheel]] = {}
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            self.wanted, self.newest, self.stopped = kept["wanted"], kept["newest"], kept["stopped"]
            self.weeks = {
                day: {name: Wheel(*wheel) for name, wheel in lock.items()} for day, lock in kept["weeks"].items()
            }

    def locks(self) -> list[Lock]:
        """Return the locks, the oldest first."""
        return [self.weeks[day] for day in sorted(self.weeks)]

    def missing(self) -> list[str]:
        """Return the days that are still to be resolved, the newest first."""
        newest = date.fromisoformat(self.newest)
        days = [(newest - timedelta(weeks=week)).isoformat() for week in range(WEEKS + 1)]
        return [day for day in days if day not in self.weeks and day > self.stopped]

    def save(self) -> None:
        """Write the file as a whole."""
        kept = {"wanted": self.wanted, "newest": self.newest, "stopped": self.stopped, "weeks": self.weeks}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(kept), encoding="utf-8")
        new.replace(self.path)


def monday() -> str:
    """Return the day on which this week began, in UTC."""
    today = datetime.now(UTC).date()
    return (today - timedelta(days=today.weekday())).isoformat()


def resolve_all(folder: Path) -> None:
    """Resolve what the folder does not have yet, up to this Monday. Raises BenchmarkError.

    Locks that are there stay, with the Monday that was the newest then, until the requirements change.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind in KINDS.items():
        render(ROOT, folder / "rendered", project_name="Bench", python_version=PYTHON, **kind.answers)
        asked = (folder / "rendered" / "bench" / "requirements" / "prod.in").read_text(encoding="utf-8")
        wanted = f"# For Python {PYTHON}\n{asked}" + "".join(f"{package}\n" for package in kind.added)
        history = History(folder / f"{name}.json")
        if history.wanted != wanted:
            history.wanted, history.newest, history.stopped, history.weeks = wanted, monday(), "", {}
        if missing := history.missing():
            with Pages(configured_upstream(), folder / f"pages-{history.newest}") as pages:
                extend(history, missing, folder, pages.url, name)


def extend(history: History, missing: Sequence[str], folder: Path, index: str, name: str) -> None:
    """Resolve week after week, back from the newest, until the oldest or one in which there was no solution."""
    (folder / "wanted.in").write_text(history.wanted, encoding="utf-8")
    for day in missing:
        print(f"benchmarks: {name}, the lock of {day}", file=sys.stderr, flush=True)
        try:
            history.weeks[day] = resolve(day, folder, index)
        except BenchmarkError as error:
            if NO_SOLUTION not in str(error):
                raise
            history.stopped = day
        history.save()
        if history.stopped:
            return


def resolve(day: str, folder: Path, index: str) -> dict[str, Wheel]:
    """Return the lock that `wanted.in` had at the beginning of a day. Raises BenchmarkError when there is none."""
    run(
        sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--upgrade", "--no-config", "--no-header",
        "--only-binary", ":all:", "--python", sys.executable, "--python-version", PYTHON, "--python-platform", "linux",
        "--exclude-newer", f"{day}T00:00:00Z", "--default-index", index, "--cache-dir", folder / "uv",
        "--format", "pylock.toml", "--output-file", folder / "pylock.toml", folder / "wanted.in",
        env={"UV_FIND_LINKS": "", "UV_INDEX": "", "UV_EXTRA_INDEX_URL": ""},
    )  # fmt: skip
    return lock_of((folder / "pylock.toml").read_text(encoding="utf-8"), PYTHON)


def lock_of(pylock: str, python: str) -> dict[str, Wheel]:
    """Return the wheels that a pylock.toml for Linux on x86-64 installs there."""
    lock = {}
    for package in tomllib.loads(pylock)["packages"]:
        best = max(package["wheels"], key=lambda wheel: fitness(wheel["url"].rpartition("/")[2], python))
        lock[package["name"]] = Wheel(package["version"], best["size"])
    return lock


def fitness(wheel: str, python: str) -> tuple[bool, int]:
    """Return a key by which an installer prefers one wheel of a release to another; all have to fit the machine.

    One for this very Python comes before one for many; then the one for the newest C library, and last one for any.
    """
    abi, platform = wheel.removesuffix(".whl").split("-")[-2:]
    glibc = [int(minor) for minor in re.findall(r"manylinux_2_(\d+)_", platform)]
    older = [{"1": 5, "2010": 12, "2014": 17}[name] for name in re.findall(r"manylinux(1|2010|2014)_", platform)]
    return abi == f"cp{python.replace('.', '')}", max(glibc + older, default=0)

"""Looks at many services at once: which release each has, what an update would do, what is old or has grown.

    layercake fleet FOLDER                     the repositories in a folder; nothing in them is changed
    layercake fleet LIST --json                those that a file names, a path or URL on each line, as JSON
    layercake fleet LIST --update              and a branch with the update, where it is clean, in each
    layercake fleet LIST --pull-requests       and a pull or merge request for it, by gh or glab
    layercake fleet LIST --resume FILE         keeps what is known in FILE, and goes on from there

Each repository is cloned into a folder that does not stay, and the update is really made there. The record of a repository
names the template whose code runs: look at repositories that you trust. Ends with 1 when one could not be looked at.
"""

import argparse
import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from layercake.loading import anew
from layercake.record import ELSEWHERE, FILE, without_secrets
from layercake.releases import Release, Releases, UpdateError, git, text
from layercake.update import read_record

Row = dict[str, Any]
COLUMNS = ("repository", "release", "update", "files", "locked", "behind", "changed", "pushes_mb", "request")
OPENED = "already exists"
"""What gh and glab say of a request that is open."""


class Template(NamedTuple):
    """The template of a service, at the release to update to."""

    mirror: Path
    newest: Release
    release_of: Callable[[str], Release]
    layers: ModuleType
    """Which package is in which layer, as that release decides it."""


class Fleet:
    """What is shared by all repositories that are looked at.

    Args:
        work: a folder for what does not stay.
        to: the release to update to; None for the newest.
        update: whether branches are pushed.
        requests: whether pull or merge requests are opened.
    """

    def __init__(self, work: Path, to: str | None, *, update: bool, requests: bool) -> None:
        self.work, self.to, self.update, self.requests = work, to, update or requests, requests
        self._lock = threading.Lock()
        self._templates: dict[tuple[str, str | None], Template] = {}

    def template(self, url: str, directory: str | None) -> Template:
        """Return a template, which is fetched once. Raises UpdateError."""
        with self._lock:
            if (url, directory) not in self._templates:
                folder = self.work / f"template-{len(list(self.work.iterdir()))}"
                folder.mkdir()
                releases = Releases(url, directory, folder)
                newest = releases.release(self.to or releases.newest())

                def release_of(commit: str) -> Release:
                    with self._lock:
                        return releases.release(commit)

                with anew(newest.folder / "{{cookiecutter.project_slug}}" / "tools", "layers", "pins"):
                    layers = importlib.import_module("layers")
                self._templates[url, directory] = Template(releases.clone, newest, release_of, layers)
            return self._templates[url, directory]

    def look(self, place: str) -> Row:
        """Return what is to be said of a repository. Whatever is wrong with it is in the row."""
        row: Row = {"repository": place}
        clone = place
        try:
            with tempfile.TemporaryDirectory(dir=self.work) as folder:
                clone = str(Path(folder, "service"))
                self._look(place, Path(clone), row)
        except (UpdateError, OSError, ValueError, LookupError, TypeError) as error:
            said = " ".join(str(error).replace(clone, place).split()) or type(error).__name__
            row |= {"update": "broken", "error": without_secrets(said)}
        return row

    def _look(self, place: str, clone: Path, row: Row) -> None:
        git(self.work, "clone", "--quiet", "--", place, clone)
        record = read_record(clone)
        template = self.template(record["template"], record.get("directory"))
        row |= {"release": template.release_of(record["commit"]).name, "to": template.newest.name}
        row |= locks(clone, template)
        told = updated(clone, template, record["template"], self.to, row)
        if self.update and row["update"] == "clean":
            self._push(place, clone, template.newest.name, told, record, row)

    def _push(self, place: str, clone: Path, name: str, told: str, record: Row, row: Row) -> None:
        """Push a branch, unless there is one, which somebody may have worked on, and open a request."""
        branch, title = f"template-{name}", f"Update the template to {name}"
        row["branch"] = branch
        if self.requests and os.path.isdir(place):
            git(clone, "remote", "set-url", "origin", text(git(Path(place), "remote", "get-url", "origin")))
        git(clone, "commit", "--quiet", "--message", title)
        if not git(clone, "ls-remote", "--heads", "origin", branch):
            git(clone, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        if self.requests:
            url = text(git(clone, "remote", "get-url", "origin"))
            on_gitlab = record["context"]["cookiecutter"].get("ci") == "gitlab" or "gitlab" in url
            row["request"] = request(clone, branch, title, told, on_gitlab=on_gitlab)


def updated(clone: Path, template: Template, url: str, to: str | None, row: Row) -> str:
    """Update a clone and put into the row how that went; return what the update told."""
    settings = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    settings |= {"PYTHONPATH": str(Path(__file__).resolve().parent.parent), "GIT_CONFIG_COUNT": "1"}
    settings |= {"GIT_CONFIG_KEY_0": f"url.{template.mirror}.insteadOf", "GIT_CONFIG_VALUE_0": url}
    command = [
        sys.executable,
        "-P",
        "-m",
        "layercake",
        "update",
        "--no-lock",
        "--no-test",
        *(["--to", to] if to else []),
    ]
    result = subprocess.run(
        command, cwd=clone, env=settings, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", check=False
    )
    conflicts = text(git(clone, "diff", "--name-only", "--diff-filter=U")).splitlines()
    changed = [path for path in text(git(clone, "diff", "--cached", "--name-only")).splitlines() if path != FILE]
    if result.returncode and not conflicts:
        said = (result.stderr or result.stdout).strip().splitlines() or ["it said nothing"]
        raise UpdateError(said[-1].removeprefix("update: ").rstrip("."))
    row["update"] = "conflicts" if conflicts else "clean" if changed else "nothing"
    row["files"] = conflicts or changed
    return result.stdout


def locks(clone: Path, template: Template) -> Row:
    """Return how old the locks of a service are, and how much is installed on top of its layers; nothing without any.

    `behind` counts the pins that are older than those the release ships; `changed` is the share of the small packages,
    by bytes, that is not in the layers they share; `overgrown` says that `make rebaseline` pays.
    """
    prod, folder = clone / "requirements" / "prod.txt", clone / "requirements" / "layers"
    if not prod.exists():
        return {}
    layers = template.layers
    lock = layers.parse(prod.read_text(encoding="utf-8"), "prod.txt")
    row: Row = {"locked": text(git(clone, "log", "-1", "--format=%cs", "--", "requirements/prod.txt"))}
    python = json.loads((clone / FILE).read_text(encoding="utf-8"))["context"]["cookiecutter"]["python_version"]
    shipped = template.newest.folder / "locks" / f"{python}.txt"
    if shipped.exists():
        row["behind"] = len(layers.newer(lock, layers.parse(shipped.read_text(encoding="utf-8"), shipped.name)))
    if not folder.is_dir():
        return row
    there = {path.stem: layers.parse(path.read_text(encoding="utf-8"), path.name) for path in folder.glob("*.lock")}
    own = {name for name in there if name not in layers.SHARED}
    below = {name: pin for pins in there.values() for name, pin in pins.items()}
    sizes = layers.Sizes.read((folder / "sizes.json").read_text(encoding="utf-8"))
    shared = layers.without(below, own)
    row["changed"] = round(layers.share_changed(layers.without(lock, own), shared, sizes), 3)
    row["overgrown"] = row["changed"] > layers.SHARE
    row["pushes_mb"] = round(sum(sizes.of(pin) for name, pin in lock.items() if below.get(name) != pin) / 1e6, 1)
    return row


def request(clone: Path, branch: str, title: str, body: str, *, on_gitlab: bool) -> str:
    """Open a pull or merge request, unless there is one; return its address, or that it is open."""
    if on_gitlab:
        command = ["glab", "mr", "create", "--source-branch", branch, "--title", title, "--description", body, "--yes"]
    else:
        command = ["gh", "pr", "create", "--head", branch, "--title", title, "--body", body]
    try:
        result = subprocess.run(
            command, cwd=clone, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise UpdateError(
            f"{command[0]} is needed for requests; install it and log in. The branch is pushed"
        ) from error
    if result.returncode and OPENED not in result.stderr:
        raise UpdateError(f"{command[0]} failed: {result.stderr.strip()[-200:]}. The branch is pushed")
    urls = [word for word in (result.stdout + result.stderr).split() if word.startswith("https://")]
    return urls[-1] if urls else "open"


def places(given: str) -> list[str]:
    """Return the repositories in a folder, or those that a file names."""
    path = Path(given)
    if path.is_dir():
        return sorted(str(folder.resolve()) for folder in path.iterdir() if (folder / ".git").exists())
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    lines = [line.partition(" #")[0].strip() for line in lines]
    return [line for line in lines if line and not line.startswith("#")]


def known(file: Path | None, goal: str) -> dict[str, Row]:
    """Return what a run before has found out, without what was broken and may be mended, or has not come to the goal.

    Args:
        goal: what a clean row has to have: a branch, a request, or nothing.
    """
    rows: dict[str, Row] = {}
    if file and file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, LookupError, TypeError):  # the last line of a run that was killed
                row = json.loads(line)
                rows[row["repository"]] = row
    return {
        name: row
        for name, row in rows.items()
        if row.get("update", "broken") != "broken" and (row["update"] != "clean" or not goal or goal in row)
    }


def table(rows: Sequence[Row]) -> str:
    """Return rows as text in columns, with a line for each that is broken below."""

    def cell(row: Row, column: str) -> str:
        value = row.get(column)
        if column == "repository":
            return str(value).rstrip("/").rpartition("/")[2]
        if column == "changed" and value is not None:
            return f"{value:.0%}{' !' * row['overgrown']}"
        if isinstance(value, list):
            return ", ".join(value) if row["update"] == "conflicts" else str(len(value))
        return "" if value is None else str(value)

    shown = [column for column in COLUMNS if any(row.get(column) is not None for row in rows) or column == "update"]
    cells = [shown, *([cell(row, column) for column in shown] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]
    lines += [f"{row['repository']}: {row['error']}." for row in rows if "error" in row]
    kinds = [row["update"] for row in rows]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted({*kinds}))
    return "\n".join([*lines, f"{len(rows)} repositories: {counts}" if rows else "There is no repository."])


def main(arguments: Sequence[str]) -> int:
    """Look at a fleet; return the exit status."""
    parser = argparse.ArgumentParser(
        "layercake fleet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("repositories", metavar="LIST|FOLDER")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at once")
    parser.add_argument("--to", metavar="REF", help="a release of the template; the newest if not given")
    parser.add_argument("--update", action="store_true", help="push a branch to each where the update is clean")
    parser.add_argument("--pull-requests", action="store_true", help="the same, and open a request")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="what is known from before, and is kept")
    options = parser.parse_args(arguments)
    os.environ.setdefault("GIT_TERMINAL_PROMPT", "0")  # a host that asks for a password is broken, and stops nothing
    try:
        wanted = places(options.repositories)
        rows = known(options.resume, "request" if options.pull_requests else "branch" if options.update else "")
    except OSError as error:
        print(
            f"fleet: {error.filename} cannot be read ({error.strerror}); name a folder, or a file of repositories.",
            file=sys.stderr,
        )
        return 2
    with tempfile.TemporaryDirectory(prefix="layercake-fleet-") as work, contextlib.ExitStack() as stack:
        fleet = Fleet(Path(work), options.to, update=options.update, requests=options.pull_requests)
        kept = stack.enter_context(options.resume.open("a", encoding="utf-8")) if options.resume else None
        pool = ThreadPoolExecutor(max(options.jobs or 1, 1))
        stack.callback(pool.shutdown, cancel_futures=True)
        waiting = [pool.submit(fleet.look, place) for place in wanted if place not in rows]
        for number, done in enumerate(as_completed(waiting), 1):
            row = done.result()
            rows[row["repository"]] = row
            if kept:
                print(json.dumps(row), file=kept, flush=True)
            print(f"fleet: {number} of {len(waiting)}: {row['repository']}: {row['update']}", file=sys.stderr)
    found = [rows[place] for place in wanted]
    print(json.dumps(found, indent=2) if options.json else table(found))
    return 1 if any(row["update"] == "broken" for row in found) else 0

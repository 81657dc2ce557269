"""The releases of the template, in a clone of its repository: what they ask, render, tell and rename."""

import contextlib
import functools
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from layercake.loading import anew
from layercake.record import ELSEWHERE, without_secrets

Answers = Mapping[str, str]
Files = dict[str, tuple[str, bytes]]
"""Git's mode and the content of each file, by its path in the project."""
VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)")


class UpdateError(RuntimeError):
    """Why there is no update, in one line that also says what to do."""


def git(
    folder: Path,
    *arguments: str | Path,
    data: bytes = b"",
    good: Collection[int] = (0,),
    env: Mapping[str, str] | None = None,
) -> bytes:
    """Return what a git command prints in a folder.

    Raises:
        UpdateError: with git's last words, when its exit status is not a good one.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE} | {**(env or {})}
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, input=data, capture_output=True, check=False
        )
    except FileNotFoundError as error:
        if not folder.is_dir():
            raise UpdateError(f"there is no folder {folder}") from error
        raise UpdateError("git is needed, and is not here; install it") from error
    if result.returncode not in good:
        said = result.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        words = (str(word) for word in arguments if not str(word).startswith("-") and "=" not in str(word))
        command = next(words, str(arguments[0]))
        raise UpdateError(f"git {command} failed in {folder}: {without_secrets(said[-1])}")
    return result.stdout


def text(output: bytes) -> str:
    """Return what git printed, without white space around it."""
    return output.decode(errors="replace").strip()


class Release(NamedTuple):
    """A commit of the template."""

    name: str
    """What people call it: v1.1.0, or the commit's first characters."""
    commit: str
    folder: Path
    """Where its files are."""

    @property
    def questions(self) -> dict[str, Any]:
        """What it asks, and the default or the choices."""
        asked = json.loads((self.folder / "cookiecutter.json").read_text(encoding="utf-8"))
        return {name: default for name, default in asked.items() if not name.startswith("_")}

    @property
    def prompts(self) -> dict[str, Any]:
        """How it asks people."""
        found: dict[str, Any] = json.loads((self.folder / "cookiecutter.json").read_text(encoding="utf-8"))[
            "__prompts__"
        ]
        return found

    @property
    def plain(self) -> dict[str, str]:
        """The answers that leave a project as it is, of the questions that bring something."""
        with anew(self.folder, "layercake"), contextlib.suppress(ImportError):
            options = importlib.import_module("layercake.options").OPTIONS
            return {name: option.plain for name, option in options.items()}
        return {}

    @property
    def changelog(self) -> str:
        """What it tells."""
        file = self.folder / "CHANGELOG.md"
        return file.read_text(encoding="utf-8") if file.exists() else ""

    @property
    def migrations(self) -> dict[str, Path]:
        """Its migrations by release, the oldest first."""
        found = (self.folder / "layercake" / "migrations").glob("v*.toml")
        return {path.stem: path for path in sorted(found, key=lambda path: [*map(int, re.findall(r"\d+", path.stem))])}

    def render(self, answers: Answers, kept: Collection[str], work: Path) -> Files:
        """Return the files of a project, and with them the record of all answers.

        Args:
            kept: the answers that were given to an older release; no rule for new names refuses them.
            work: a folder for what does not stay.
        """
        work.mkdir()
        config = work / "config.yaml"
        config.write_text(
            f"cookiecutters_dir: {json.dumps(f'{work}/c')}\nreplay_dir: {json.dumps(f'{work}/r')}\n", "utf-8"
        )
        # The first releases removed the files of other answers in a hook; the later ones need none.
        hooks = "no" if (self.folder / "layercake" / "files.py").exists() else "yes"
        command = [
            sys.executable,
            "-m",
            "cookiecutter",
            "--no-input",
            "--config-file",
            str(config),
            "--accept-hooks",
            hooks,
        ]
        command += [
            "--output-dir",
            str(work / "out"),
            str(self.folder),
            *(f"{name}={answer}" for name, answer in answers.items()),
        ]
        env = os.environ | {"LAYERCAKE_LOCK": "skip", "LAYERCAKE_KEPT": " ".join(kept), "COLUMNS": "9999"}
        result = subprocess.run(
            command,
            cwd=work,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if result.returncode:
            said = result.stdout.decode(errors="replace").strip().splitlines() or ["it said nothing"]
            words = " ".join(" ".join(said[-1:] if said[0].startswith("Traceback") else said).split()).rstrip(".")
            raise UpdateError(f"release {self.name} cannot be rendered with these answers: {words}")
        (project,) = (work / "out").iterdir()
        return {
            path.relative_to(project).as_posix(): content(path) for path in sorted(project.rglob("*")) if path.is_file()
        }


def content(path: Path) -> tuple[str, bytes]:
    """Return git's mode and the content of a file."""
    return "100755" if path.stat().st_mode & 0o100 else "100644", path.read_bytes()


class Releases:
    """A clone of the template's repository, in a folder that does not stay.

    Args:
        url: what the record names.
        directory: where the template is in its repository.
    """

    def __init__(self, url: str, directory: str | None, work: Path) -> None:
        url = os.path.abspath(url) if os.path.isdir(url) else url
        self.url, self.directory, self.work = url, directory or ".", work
        self.clone = work / "template.git"
        try:
            git(work, "clone", "--quiet", "--bare", "--", url, self.clone)
        except UpdateError as error:
            raise UpdateError(f"the template is not to be had from {without_secrets(url)}; {error}") from error

    def newest(self) -> str:
        """Return the newest release, or the default branch where nothing was released."""
        tags = filter(VERSION.fullmatch, text(git(self.clone, "tag", "--list", "v*")).split())
        return max(tags, key=lambda tag: [*map(int, re.findall(r"\d+", tag))], default="HEAD")

    @functools.cache  # noqa: B019 - both live as long as the command
    def release(self, ref: str) -> Release:
        """Return a release by tag, branch or commit. Raises UpdateError when the repository has none of that name."""
        commit = self.commit_of(ref)
        folder = self.work / f"release-{commit}"
        if not folder.exists():
            git(self.clone, "worktree", "add", "--quiet", "--detach", folder, commit)
        if not (folder / self.directory / "cookiecutter.json").is_file():
            raise UpdateError(f"{without_secrets(self.url)} has no template in {self.directory} at {ref}")
        tags = filter(VERSION.fullmatch, text(git(self.clone, "tag", "--points-at", commit)).split())
        return Release(next(tags, commit[:10]), commit, folder / self.directory)

    def commit_of(self, ref: str) -> str:
        """Return the commit of a tag, a branch or a commit; one that no branch has is asked for by its name."""
        try:
            return text(git(self.clone, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"))
        except UpdateError:
            try:
                git(self.clone, "fetch", "--quiet", "origin", ref)
                return text(git(self.clone, "rev-parse", "FETCH_HEAD"))
            except UpdateError as error:
                raise UpdateError(f"{without_secrets(self.url)} has no {ref}") from error

    def is_behind(self, old: str, new: str) -> bool:
        """Return whether the history of one commit holds another."""
        try:
            git(self.clone, "merge-base", "--is-ancestor", old, new)
        except UpdateError:
            return False
        return True


class Entry(NamedTuple):
    """An entry of the changelog."""

    heading: str
    text: str

    @property
    def is_break(self) -> bool:
        """Whether people have to do something."""
        return bool(re.match(r"\W*breaking", self.text, re.IGNORECASE))


def entries(changelog: str) -> Iterator[Entry]:
    """Yield the entries of a changelog, each in one line."""
    for section in re.split(r"(?m)^## ", changelog)[1:]:
        heading, _, body = section.partition("\n")
        for found in re.findall(r"(?m)^[-*] (.+(?:\n[ \t]+.+)*)", body):
            yield Entry(heading.strip(), " ".join(found.split()))


def news(old: str, new: str) -> list[Entry]:
    """Return what one changelog tells and an older one does not, breaks first."""
    known = {entry.text for entry in entries(old)}
    return sorted((entry for entry in entries(new) if entry.text not in known), key=lambda entry: not entry.is_break)

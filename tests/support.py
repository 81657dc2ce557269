"""What the tests share: the template's facts, a rendered project, and things that are made once a run."""

import ast
import fcntl
import functools
import hashlib
import html
import itertools
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from _pytest.mark.structures import ParameterSet
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
SCAFFOLD = ROOT / "{{cookiecutter.project_slug}}"
ANSWERS: dict[str, str | list[str]] = {
    name: default
    for name, default in json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8")).items()
    if not name.startswith("_")
}
CHOICES: dict[str, list[str]] = {name: values for name, values in ANSWERS.items() if isinstance(values, list)}
LARGE = {"flask-swagger-ui", "pydantic-core"}
"""What a service with the default answers has in layers of their own."""
WITHOUT_SETUP = ("make", "--old-file", ".venv/installed")
"""`make` in a project whose virtual environment a test has put there."""
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"  # the Python that runs the tests

# Free text that breaks what does not quote. It obeys every rule of the answers.
NASTY = {
    "project_name": "\"Café\" \\ 'Zoë' 🚀 $HOME #1: 100% {x} <b>*b*</b> & שלום",
    "description": "a: b # c \\n \"q\" 'q' `code` ${PATH} %s {0} [x](y) | <!-- 日本語 " + "x" * 120,
    "author_name": 'O\'Brien "Ö" <x> \\ שלום 🎂, $USER & #',
}


def one_of(values: Iterable[str], *kept: str) -> list[str | ParameterSet]:
    """Return the values of a parameter: every run of the tests has those that are kept, a thorough one the others too."""
    return [value if value in kept else pytest.param(value, marks=pytest.mark.thorough) for value in values]


Case = dict[str, str]  # one answer, or kind of text, for each factor


class Project(NamedTuple):
    """A rendered project on disk."""

    path: Path

    def read(self, name: str) -> str:
        """Return the text of one of its files."""
        return (self.path / name).read_text(encoding="utf-8")

    def documents(self) -> str:
        """Return its README, and what that leads to, in this order."""
        readme = self.read("README.md")
        return "\n".join([readme, *map(self.read, dict.fromkeys(re.findall(r"\]\((docs/[\w-]+\.md)\)", readme)))])

    def run(
        self, *command: str | Path, check: bool = True, timeout: float = 600, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside it; with `check`, a failure shows the command's output.

        Repeated when the engine, while it unpacks one image, collects a snapshot of another that is removed: a race
        of the containerd image store (https://github.com/ddev/ddev/issues/8136), seen with builds side by side. So it
        is when the engine, on a busy machine, has waited too long for a part of itself.
        """
        for _ in range(3):
            result = subprocess.run(
                command, cwd=self.path, env={**os.environ, **env}, text=True, errors="replace", timeout=timeout,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
            if not re.search(
                r"parent snapshot \S+ does not exist|failed to solve: (not found|DeadlineExceeded)", result.stdout
            ):
                break
        assert not check or result.returncode == 0, f"{command} ended with {result.returncode}:\n{result.stdout}"
        return result

    def files(self) -> Iterator[Path]:
        """Yield every file that was rendered, relative to the project."""
        for path in sorted(self.path.rglob("*")):
            if path.is_file():
                yield path.relative_to(self.path)


def read_back(project: Project) -> dict[str, str]:
    """Return the answers in free text, which Python, TOML and Markdown agree about."""
    (about,) = project.path.glob("*/about.py")
    constants = {
        ast.unparse(node.targets[0]): ast.literal_eval(node.value)
        for node in ast.parse(about.read_bytes()).body
        if isinstance(node, ast.Assign)
    }
    facts = tomllib.loads(project.read("pyproject.toml"))["project"]
    heading = re.search(r"<h1>(.*)</h1>", MarkdownIt("commonmark").render(project.read("README.md")))
    assert heading
    found = {
        ("project_name", constants["NAME"]),
        ("project_name", html.unescape(heading[1])),
        ("description", constants["DESCRIPTION"]),
        ("description", facts["description"]),
        ("author_name", facts["authors"][0]["name"]),
        ("author_email", facts["authors"][0]["email"]),
        ("project_slug", facts["name"]),
        ("package_name", about.parent.name),
    }
    answers = dict(found)
    assert len(answers) == len(found), found
    return answers


class Person(NamedTuple):
    """Somebody with an empty home folder who generates into a working folder beside it."""

    root: Path

    @property
    def work(self) -> Path:
        """The folder that commands run in."""
        return self.root / "work"

    def environment(self, **env: str) -> dict[str, str]:
        """Return the environment of the person's commands."""
        own = {"HOME": str(self.root / "home"), "TMPDIR": str(self.root / "tmp"), "GIT_CONFIG_NOSYSTEM": "1"}
        return {**os.environ, **own, **env}

    def run(self, *command: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command; what it prints, on both streams, is in `stdout`."""
        return subprocess.run(
            command, cwd=self.work, env=self.environment(**env), text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=600,
        )  # fmt: skip

    def cookiecutter(self, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the real `cookiecutter` command on this template."""
        return self.run(tool("cookiecutter"), ROOT, *arguments, **env)

    def everything(self) -> list[Path]:
        """Return each file and folder that the person has."""
        return sorted(self.root.rglob("*"))


class Template(NamedTuple):
    """A copy of this template, uncommitted changes included, in a git repository of its own."""

    path: Path

    @property
    def url(self) -> str:
        """What stands for gh:organisation/template."""
        return f"git+file://{self.path}"

    @classmethod
    def at(cls, path: Path) -> "Template":
        """Make one in a folder, with a first commit."""
        copy = cls(path)
        for name in git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")[:-1]:
            if (ROOT / name).is_file():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, path / name)
        git(path, "init", "--quiet")
        copy.commit("version 1")
        return copy

    def made(self, project: Project) -> None:
        """Let a project record that it was made from the last commit here."""
        record = project.path / ".cruft.json"
        recorded = json.loads(record.read_text(encoding="utf-8"))
        recorded |= {"template": str(self.path), "commit": git(self.path, "rev-parse", "HEAD").strip()}
        record.write_text(json.dumps(recorded), encoding="utf-8")

    def commit(self, message: str) -> None:
        """Commit everything that is there."""
        git(self.path, "add", "--all")
        git(self.path, "commit", "--quiet", "--message", message)


# What a shell does for a command: it owns the terminal, survives Ctrl-C, and stays until it is told to go.
SHELL = """
import signal, subprocess, sys
signal.signal(signal.SIGINT, lambda *_: None)
code = subprocess.call(sys.argv[1:])
sys.stdin.read()
sys.exit(code)
"""


class Terminal:
    """A command in a terminal of its own, where people type answers and Ctrl-C."""

    def __init__(self, person: Person, *command: str | Path, **env: str) -> None:
        spawn = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
        self.seen = ""
        self._read = 0  # how much of it was waited for
        self.process = subprocess.Popen(
            [sys.executable, "-c", spawn, sys.executable, "-c", SHELL, *map(str, command)], cwd=person.work, stdin=subprocess.PIPE,
            env=person.environment(TERM="dumb", COLUMNS="200", **env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def wait_for(self, text: str, timeout: float = 120) -> None:
        """Read until the command has printed a text, after the one that was waited for before."""
        assert self.process.stdout
        deadline = time.monotonic() + timeout
        while (found := self.seen.find(text, self._read)) < 0:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert data, f"{text!r} did not come; what came is:\n{self.seen}"
            self.seen += data.decode(errors="replace")
        self._read = found + len(text)

    def type(self, keys: str) -> None:
        """Press keys; \\n is Enter, \\x03 is Ctrl-C."""
        assert self.process.stdin
        self.process.stdin.write(keys.encode())
        self.process.stdin.flush()

    def end(self, timeout: float = 300) -> int:
        """Close the terminal when the command has ended; return how it did."""
        self.type("\x04")
        self.seen += self.process.communicate(timeout=timeout)[0].decode(errors="replace")
        return self.process.returncode


def git(folder: Path, *arguments: str | Path) -> str:
    """Run git as somebody with a name; return what it prints."""
    command = ["git", "-c", "user.name=team", "-c", "user.email=team@example.com", *arguments]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def go_on(project: Path, template: Template) -> None:
    """Commit a project as a team does, and then a second version of the template, which ends the Makefile otherwise."""
    git(project, "init", "-q")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "our service")
    with (template.path / SCAFFOLD.name / "Makefile").open("a", encoding="utf-8") as makefile:
        makefile.write("\n# The last line.\n")
    template.commit("version 2")


def tool(name: str) -> str:
    """Return the path of a command of the template's own virtual environment."""
    return str(Path(sys.executable).with_name(name))


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def pairs(case: Mapping[str, str]) -> set[tuple[tuple[str, str], ...]]:
    """Return every two of the choices that are made together in a case."""
    return set(itertools.combinations(sorted(case.items()), 2))


def pairwise(factors: Mapping[str, Iterable[str]], whole: Iterable[str] = ()) -> list[Case]:
    """Return few cases in which every two choices meet: always the one that adds the most pairs.

    Args:
        factors: the choices of each factor.
        whole: the factors of which every combination must be there, not just every pair.
    """
    candidates = [dict(zip(factors, choices, strict=True)) for choices in itertools.product(*factors.values())]
    ways = [(case, pairs(case), tuple(case[name] for name in whole)) for case in candidates]
    missing = set().union(*(met for _, met, _ in ways))
    combinations = {combination for *_, combination in ways}
    cases = []
    while missing or combinations:
        fresh = [way for way in ways if way[2] in combinations] or ways
        best, met, combination = max(fresh, key=lambda way: len(way[1] & missing)) if missing else fresh[0]
        cases.append(best)
        combinations.discard(combination)
        missing -= met
    return cases


@functools.cache
def interpreter(version: str) -> str | None:
    """Return a Python of that version on this machine: a command on PATH that works, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    candidates = [sys.executable, f"python{version}", *sorted(pyenv.glob(f"{version}.*/bin/python{version}"))]
    for candidate in map(str, candidates):
        probe = "import sys, ensurepip; print('%d.%d' % sys.version_info[:2])"
        if shutil.which(candidate):
            result = subprocess.run([candidate, "-I", "-c", probe], capture_output=True, text=True, check=False)
            if result.returncode == 0 and result.stdout.strip() == version:
                return candidate
    return None


@functools.cache
def engine() -> str:
    """Return "" when a Docker engine with buildx answers, else why not."""
    for command in (["docker", "version"], ["docker", "buildx", "version"]):
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"no Docker engine: {error}"
        if result.returncode:
            return f"no Docker engine: {result.stderr.strip().splitlines()[-1]}"
    return ""


@functools.cache
def has_image(version: str) -> bool:
    """Return whether the engine can build on python:VERSION-slim."""
    return can_get(f"python:{version}-slim")


@functools.cache
def can_get(image: str) -> bool:
    """Return whether the engine has an image, or pulls it."""
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0:
        return True
    return subprocess.run(["docker", "pull", "--quiet", image], capture_output=True, check=False).returncode == 0


def once(place: Path, make: Callable[[Path], None]) -> Path:
    """Return a folder that the first test worker to come fills with `make`, and the others then find."""
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            new = place.with_suffix(".new")
            shutil.rmtree(new, ignore_errors=True)
            make(new)
            new.rename(place)
    return place


def installed(project: Project, shared: Path, python: str = sys.executable) -> Path:
    """Give a project the .venv that `make setup` would make, one for all with these pins; return it."""
    locks = ("requirements/prod.txt", "requirements/dev.txt")
    pins = sorted({pin for lock in locks for pin in re.findall(r"(?m)^[\w.-]+==\S+", project.read(lock))})
    uv = [sys.executable, "-m", "uv"]

    def make(venv: Path) -> None:
        project.run(*uv, "venv", "--quiet", "--relocatable", "--python", python, venv)
        project.run(*uv, "pip", "sync", "--quiet", "--python", venv / "bin" / "python", "--require-hashes", *locks)

    key = hashlib.sha256("\n".join([python, *pins]).encode()).hexdigest()[:12]
    venv = once(shared / f"service-{key}", make)
    (project.path / ".venv").symlink_to(venv)
    return venv

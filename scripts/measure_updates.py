"""Measures updates: services that a team has edited go through releases of the template, each in three ways.

    python -m scripts.measure_updates            prints the table
    python -m scripts.measure_updates --write    puts it into docs/updates.md

The releases are points of this repository's history, then made-up ones: STEPS says what each does, and which fixes it
brings. tests/test_history.py asserts over the same what nobody may lose.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from layercake.merging import Project as Merging
from layercake.merging import skipped, without_locks
from layercake.record import FILE
from layercake.releases import Releases, git, text
from scripts import put as put_into

ROOT = Path(__file__).resolve().parent.parent
POINTS = ("8afbe6b", "1618a1f", "796dd05", "689b1dc", "49187e7", "01eb8ba")
"""Commits of the history: options, service, layers, files by answer, guard of the template, one registry of servers."""
SCAFFOLD, PACKAGE = "{{cookiecutter.project_slug}}", "{{cookiecutter.package_name}}"
SERVICES = {
    "plain": {"ci": "none"},
    "sqlite": {"database": "sqlite", "ci": "github", "license": "MIT"},
    "jobs": {"background_jobs": "celery", "ci": "gitlab", "dependency_manager": "uv"},
    "whole": {"database": "postgresql", "background_jobs": "celery", "error_tracking": "sentry"},
    "renamed": {"database": "postgresql", "package_name": "orders", "dependency_manager": "poetry"},
}
SAMPLES = (
    "resources/greetings.py",
    "api/greetings.py",
    "greetings.py",
    "resources/notes.py",
    "notes.py",
    "api/notes.py",
)
MOVED = ("core/errors.py", "errors.py", "core/jobs.py", "jobs.py", "core/logging.py", "logging.py", "logs.py")
STEPS: dict[str, tuple[int, ...]] = {
    "a file is renamed": (1,),
    "one is deleted": (2,),
    "a question is added": (3,),
    "the Dockerfile is changed": (4, 5),
    "a default is changed": (6, 7),
    "files that teams moved are fixed": (8, 9),
    "one that teams edited is renamed, and fixed": (10,),
    "one that teams edited is deleted, another is new": (11,),
}
"""The made-up releases, and the fixes that each brings; the second is to a sample that the team has deleted."""
FORMER = {"shop/core/openapi.py": "shop/core/description.py"}
"""What a made-up release renames after teams have edited it: an edit that stays in the old place has no effect."""
ME = ("-c", "user.name=team", "-c", "user.email=team@example.com")


class Outcome(NamedTuple):
    """What an update has left."""

    conflicts: int
    rejects: int
    said: str


def run(folder: Path, *command: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a command in a folder, whatever it ends with."""
    env = os.environ | {"LAYERCAKE_LOCK": "skip", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command,
        cwd=folder,
        env=env,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def write_releases(template: Path) -> list[str]:
    """Make a clone of this repository with the made-up releases; return every release, the oldest first."""
    git(ROOT, "clone", "--quiet", "--no-local", ROOT, template)
    scaffold, package = template / SCAFFOLD, template / SCAFFOLD / PACKAGE
    steps = []

    def release(name: str) -> None:
        git(template, *ME, "commit", "--quiet", "--all", "--allow-empty", "--message", name)
        steps.append(text(git(template, "rev-parse", "HEAD")))

    def put(path: Path, line: str, at_start: bool = False) -> None:
        before = path.read_text(encoding="utf-8")
        path.write_text(f"{line}\n{before}" if at_start else f"{before.rstrip()}\n{line}\n", encoding="utf-8")

    release("now")
    git(template, "mv", f"{SCAFFOLD}/{PACKAGE}/core/errors.py", f"{SCAFFOLD}/{PACKAGE}/core/problems.py")
    put(package / "core" / "problems.py", "# FIX 1")
    release("a file is renamed")
    git(template, "rm", "--quiet", f"{SCAFFOLD}/renovate.json", f"{SCAFFOLD}/tests/core/test_errors.py")
    put(package / "resources" / "greetings.py", "# FIX 2")
    release("one is deleted")
    questions = json.loads((template / "cookiecutter.json").read_text(encoding="utf-8"))
    questions = {"project_name": questions.pop("project_name"), "flavour": ["plain", "sweet"], **questions}
    (template / "cookiecutter.json").write_text(json.dumps(questions, indent=2), encoding="utf-8")
    options = template / "layercake" / "options.py"
    put(options, 'OPTIONS["flavour"] = Option(what="", plain="plain", words="")')
    put(template / "layercake" / "files.py", 'FILES["flavour"] = {"SWEET.md": ["plain", "sweet"]}')
    (scaffold / "SWEET.md").write_text("# FIX 3, {{ cookiecutter.flavour }}\n", encoding="utf-8")
    git(template, "add", "--all")
    release("a question is added")
    put(scaffold / "Dockerfile", "# FIX 4")
    put(scaffold / "Dockerfile", "# FIX 5", at_start=True)
    release("the Dockerfile is changed")
    questions["license"] = ["MIT", "Proprietary", *questions["license"][2:]]
    (template / "cookiecutter.json").write_text(json.dumps(questions, indent=2), encoding="utf-8")
    put(scaffold / "Makefile", "# FIX 6")
    put(package / "core" / "problems.py", "# FIX 7", at_start=True)
    release("a default is changed")
    put(package / "core" / "health.py", "# FIX 8")
    put(package / "core" / "docs.py", "# FIX 9", at_start=True)
    release("files that teams moved are fixed")
    git(template, "mv", f"{SCAFFOLD}/{PACKAGE}/core/openapi.py", f"{SCAFFOLD}/{PACKAGE}/core/description.py")
    put(package / "core" / "description.py", "# FIX 10", at_start=True)
    release("one that teams edited is renamed, and fixed")
    git(template, "rm", "--quiet", f"{SCAFFOLD}/{PACKAGE}/core/tracing.py")
    (package / "core" / "spans.py").write_text("# FIX 11\n", encoding="utf-8")
    git(template, "add", "--all")
    release("one that teams edited is deleted, another is new")
    return [text(git(template, "rev-parse", point)) for point in POINTS] + steps


def make(template: Path, commit: str, answers: dict[str, str], project: Path, work: Path) -> None:
    """Make a service at a release, with a record, and edit it as a team does: each edit has a mark of its own."""
    work.mkdir(parents=True)
    release = Releases(str(template), None, work).release(commit)
    asked = {"project_name": "Shop", "python_version": "3.11", **answers}
    files = release.render(asked, (), work / "made")
    for path, (_, content) in files.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_bytes(content)
    record = {
        "template": str(template),
        "commit": commit,
        "checkout": None,
        "context": {"cookiecutter": asked},
        "directory": None,
    }
    (project / FILE).write_text(json.dumps(record), encoding="utf-8")
    save(project, "our service", "init")
    package = project / "shop"
    if (made := asked.get("package_name", "shop")) != "shop":
        (project / made).rename(package)
        for file in filter(Path.is_file, project.rglob("*")):
            if ".git" not in file.parts and file.name != FILE:
                file.write_bytes(re.sub(rf"\b{made}\b".encode(), b"shop", file.read_bytes()))
        save(project, "another name for the package")
        if ours(project, commit, work, "--set=package_name=shop").conflicts:
            raise RuntimeError("the new name of the package is in conflict")
        save(project, "the record says so")
    for sample in map(Path, SAMPLES):
        for file in (package / sample, project / "tests" / sample.parent / f"test_{sample.name}"):
            file.unlink(missing_ok=True)
    (package / "inner").mkdir()
    (package / "inner" / "__init__.py").write_text('"""TEAM 1."""\n', encoding="utf-8")
    for name in [name for name in MOVED if (package / name).exists()][:2]:
        moved = (package / name).rename(package / "inner" / Path(name).name)
        moved.write_text(f"{moved.read_text(encoding='utf-8')}\n# TEAM moved {moved.name}\n", encoding="utf-8")
    lines = {
        "Dockerfile": "FROM base AS system\n",
        "Makefile": ".DEFAULT_GOAL := help\n",
        ".env.example": "",
        "compose.yaml": "services:\n",
        ".gitlab-ci.yml": "",
        ".github/workflows/ci.yml": "",
        "requirements/prod.in": "",
        "pyproject.toml": "[tool.mypy]\n",
    }
    for name, after in lines.items():
        if (project / name).exists():
            before = (project / name).read_text(encoding="utf-8")
            line = f"# TEAM in {name}\n"
            (project / name).write_text(
                before.replace(after, after + line, 1) if after in before and after else before + line, "utf-8"
            )
    (package / "inner" / "own.py").write_text("# TEAM wrote this\nVALUE = 1\n", encoding="utf-8")
    if (package / "migrations" / "versions").exists():
        (package / "migrations" / "versions" / "0002_ours.py").write_text(
            "# TEAM wrote a migration\n", encoding="utf-8"
        )
    save(project, "what a team does")


def work_on(project: Path) -> None:
    """Edit a service that has come to the last point of the history: move two files, one with an edit, and edit two."""
    package = project / "shop"
    for name, folder in (("health", "inner"), ("docs", "inner"), ("openapi", "core"), ("tracing", "core")):
        before = (package / "core" / f"{name}.py").rename(package / folder / f"{name}.py")
        if name != "health":
            before.write_text(f"{before.read_text(encoding='utf-8')}\n# TEAM later in {name}\n", encoding="utf-8")
    save(project, "what a team does later")


def save(project: Path, message: str, *first: str) -> None:
    """Commit everything."""
    if first:
        git(project, *first, "--quiet")
    git(project, "add", "--all")
    git(project, *ME, "commit", "--quiet", "--allow-empty", "--message", message)


def ours(project: Path, commit: str, work: Path, *given: str) -> Outcome:
    """Update by `layercake update`."""
    command = ("-m", "layercake", "update", "--no-lock", "--no-test", "--to", commit, *given)
    result = run(project, sys.executable, *command)
    if result.returncode == 2:
        raise RuntimeError(result.stdout)
    return left(project, result.stdout)


def cruft(project: Path, commit: str, work: Path) -> Outcome:
    """Update by `cruft update`."""
    command = Path(sys.executable).with_name("cruft")
    result = run(project, command, "update", "--skip-apply-ask", "--checkout", commit)
    if result.returncode:
        result.stdout += " CRUFT FAILED"
    return left(project, result.stdout)


def copiers(project: Path, commit: str, work: Path) -> Outcome:
    """Update as copier does: render both releases, merge path by path with `git merge-file`, leave deleted files deleted."""
    work.mkdir(parents=True)
    record = json.loads((project / FILE).read_text(encoding="utf-8"))
    releases = Releases(record["template"], None, work)
    answers = record["context"]["cookiecutter"]
    old, new = (
        releases.release(ref).render(answers, answers, work / name)
        for ref, name in ((record["commit"], "old"), (commit, "new"))
    )
    here = Merging.at(project).entries("HEAD:")
    locks = [*skipped(old), *skipped(new)]
    old, new = (without_locks(files, here, old, locks) for files in (old, new))
    conflicts = 0
    for path in sorted(old.keys() | new.keys()):
        place, before, after = project / path, old.get(path), new.get(path)
        if path == FILE or before == after:
            continue
        if after is None:
            if place.exists() and before and place.read_bytes() == before[1]:
                place.unlink()
        elif before is None and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(after[1])
        elif place.exists():
            for name, file in (("base", before), ("theirs", after)):
                (work / name).write_bytes(file[1] if file else b"")
            conflicts += bool(
                run(project, "git", "merge-file", "--quiet", place, work / "base", work / "theirs").returncode
            )
    (project / FILE).write_text(json.dumps({**record, "commit": commit}), encoding="utf-8")
    return Outcome(conflicts, 0, "")


WAYS: dict[str, Callable[[Path, str, Path], Outcome]] = {"ours": ours, "cruft": cruft, "copier's way": copiers}


def left(project: Path, said: str) -> Outcome:
    """Return what an update has left."""
    unmerged = {line.partition("\t")[2] for line in git(project, "ls-files", "--unmerged").decode().splitlines()}
    return Outcome(len(unmerged), len(list(project.rglob("*.rej"))), said)


def resolve(project: Path) -> None:
    """Keep both sides of each conflict, throw rejected parts away, and commit."""
    for path in project.rglob("*"):
        if path.suffix == ".rej":
            path.unlink()
        elif path.is_file() and ".git" not in path.parts and b"<<<<<<< " in (content := path.read_bytes()):
            path.write_bytes(
                re.sub(rb"(?m)^(?:<<<<<<< .*|=======|>>>>>>> .*)\n|^\|\|\|\|\|\|\| [\s\S]*?(?=^=======$)", b"", content)
            )
    save(project, "updated")


def marks(project: Path, word: str) -> set[str]:
    """Return the marks that are somewhere in the files of a project, but in none that the template has renamed."""
    left = [f":!{old}" for old, new in FORMER.items() if (project / new).exists()]
    found = run(project, "git", "grep", "--untracked", "-hoE", f'{word} [^"*]+', "--", ".", *left).stdout
    return set(found.splitlines())


def fixes(number: int) -> tuple[int, ...]:
    """Return the fixes that an update brings; the first is from the first point of the history to the second."""
    return [(), *STEPS.values()][max(number - len(POINTS), 0)]


def fixed(project: Path) -> set[int]:
    """Return the fixes that are somewhere in what a project has committed."""
    found = run(project, "git", "grep", "-h", "FIX ", "HEAD", "--").stdout
    return {int(number) for number in re.findall(r"FIX (\d+)", found)}


def main() -> int:
    """Measure, and print or write the table."""
    with tempfile.TemporaryDirectory(prefix="updates-") as folder:
        work = Path(folder)
        releases = write_releases(work / "template")

        def life(name: str, way: str) -> list[tuple[int, int, int, int]]:
            project, rows = work / f"{name}-{way.split(chr(39))[0]}", []
            make(work / "template", releases[0], SERVICES[name], project, work / f"make-{project.name}")
            for number, commit in enumerate(releases[1:], 1):
                edits = marks(project, "TEAM")
                outcome = WAYS[way](project, commit, work / f"{project.name}-{number}")
                resolve(project)
                due = {*fixes(number)} - {2}
                lost = len(edits - marks(project, "TEAM")), len(due - fixed(project))
                rows.append((outcome.conflicts, outcome.rejects, *lost))
                if number == len(POINTS):
                    work_on(project)
            return rows

        with ThreadPoolExecutor(os.cpu_count()) as both:
            runs = {(name, way): both.submit(life, name, way) for way in WAYS for name in SERVICES}
            found = {key: each.result() for key, each in runs.items()}
    titles = [f"{old} to {new}" for old, new in pairwise(POINTS)] + [
        f"{POINTS[-1]} to now",
        *STEPS,
    ]
    table = [
        "| step | " + " | ".join(f"{way}: conflicts, .rej, edits lost, fixes lost" for way in WAYS) + " |",
        "|---" * (len(WAYS) + 1) + "|",
    ]
    for number, title in enumerate(titles):
        cells = [
            ", ".join(str(sum(found[name, way][number][kind] for name in SERVICES)) for kind in range(4))
            for way in WAYS
        ]
        table.append(f"| {title} | " + " | ".join(cells) + " |")
    print("\n".join(table))
    if "--write" in sys.argv:
        put_into(ROOT / "docs" / "updates.md", "updates", "\n".join(table) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Fails when a commit renders other projects than an older one, and CHANGELOG.md has no new entry for it.

    python -m scripts.check_changelog origin/main

Projects of different answers are rendered at both, in folders that do not stay. Where they came from is no part of the comparison.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from layercake import releases

ROOT = Path(__file__).resolve().parent.parent
PROJECTS = (
    {"dependency_manager": "pip-tools", "ci": "github", "deployment": "kubernetes"},
    {"dependency_manager": "uv", "ci": "gitlab", "database": "postgresql", "background_jobs": "celery"},
    {"dependency_manager": "poetry", "ci": "none", "database": "sqlite", "error_tracking": "sentry"},
    {"dependency_manager": "pipenv", "deployment": "compose"},
)
"""Together they have every file that there is."""


class ChangelogError(RuntimeError):
    """Why the changelog will not do, in one line that also says what to do."""


def main() -> int:
    if len(sys.argv) != 2:
        print("check_changelog: name the commit to compare with: python -m scripts.check_changelog origin/main")
        return 2
    try:
        check(ROOT, sys.argv[1], "HEAD")
    except ChangelogError as error:
        print(f"check_changelog: {error}.", file=sys.stderr)
        return 1
    return 0


def check(repository: Path, base: str, commit: str) -> None:
    """Raise ChangelogError when a commit renders something else than its base, and has no new entry."""
    old, new = (git(repository, "show", f"{name}:CHANGELOG.md") for name in (base, commit))
    if len({git(repository, "rev-parse", f"{name}^{{commit}}") for name in (base, commit)}) == 1:
        return
    if {*section(new, "Unreleased").splitlines()} - {*old.splitlines()}:
        return
    with tempfile.TemporaryDirectory() as folder:
        for number, answers in enumerate(PROJECTS):
            before, after = (render(repository, name, answers, Path(folder, str(number))) for name in (base, commit))
            changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
            if changed:
                raise ChangelogError(
                    f"generated projects change ({', '.join(changed[:3])}{', ...' * (len(changed) > 3)}); "
                    "say so in CHANGELOG.md, in a new line under Unreleased"
                )


def section(changelog: str, name: str) -> str:
    """Return what stands under a heading, like Unreleased or 1.0.0; "" when there is none."""
    found = re.search(rf"(?ms)^## {re.escape(name)}(?: .*?)?\n(.*?)(?=^## |\Z)", changelog)
    return found[1].strip() if found else ""


def render(repository: Path, commit: str, answers: dict[str, str], work: Path) -> dict[str, bytes]:
    """Return the files of a project that is made at a commit."""
    template = work.parent / git(repository, "rev-parse", f"{commit}^{{commit}}").strip()
    if not template.exists():
        template.mkdir()
        archive = subprocess.run(["git", "archive", commit], cwd=repository, check=True, stdout=subprocess.PIPE).stdout
        subprocess.run(["tar", "--extract"], cwd=template, input=archive, check=True)
    output = work / template.name
    output.mkdir(parents=True)
    config = work.parent / "config.yaml"
    config.write_text(f"cookiecutters_dir: '{work.parent}/c'\nreplay_dir: '{work.parent}/r'\n", encoding="utf-8")
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "--config-file", str(config), "-o", str(output)]
    command += [str(template), *(f"{name}={answer}" for name, answer in answers.items())]
    environment = {**os.environ, "LAYERCAKE_LOCK": "skip"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ChangelogError(f"{commit} cannot be rendered: {result.stderr.strip()[-300:]}; mend it first")
    (project,) = output.iterdir()
    paths = (path for path in project.rglob("*") if path.is_file() and path.name != ".cruft.json")
    return {path.relative_to(project).as_posix(): path.read_bytes() for path in paths}


def git(repository: Path, *arguments: str) -> str:
    """Return what a git command prints. Raises ChangelogError with its last words."""
    try:
        return releases.git(repository, *arguments).decode()
    except releases.UpdateError as error:
        raise ChangelogError(f"{str(error).rstrip('.')}; is the history here? git fetch --unshallow") from error


if __name__ == "__main__":
    sys.exit(main())

"""Measures an update of a fleet, and writes the table of docs/fleet.md: python -m scripts.measure_fleet

Services with different answers are made from a copy of the template, each a git repository. Teams edit some of them; the
template gets a second release. Then `layercake fleet --update` looks at all, and updates
all that it can. Times are wall-clock, of this machine.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from scripts import put
from scripts.check_changelog import ROOT

ANSWERS: tuple[dict[str, str], ...] = (
    {},
    {"database": "postgresql", "ci": "gitlab"},
    {"database": "sqlite", "dependency_manager": "uv"},
    {"background_jobs": "celery", "ci": "none"},
    {"database": "postgresql", "background_jobs": "celery", "error_tracking": "sentry", "dependency_manager": "poetry"},
)
NAME = {f"GIT_{who}_{what}": "team" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
ENVIRONMENT = {**os.environ, **NAME, "LAYERCAKE_LOCK": "skip", "PYTHONPATH": str(ROOT)}
SCAFFOLD = "{{cookiecutter.project_slug}}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = measured(Path(folder), options.services)
    put(ROOT / "docs" / "fleet.md", "fleet", text)
    print(text)
    return 0


def measured(work: Path, services: int) -> str:
    """Return the table."""
    template, fleet = work / "template", work / "fleet"
    for name in run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")[:-1]:
        if (ROOT / name).is_file():
            (template / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, template / name)
    commit(template, "v1", tag="v1.0.0")
    fleet.mkdir()
    rows: list[tuple[str, float, dict[str, int]]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = time.monotonic()
        list(pool.map(lambda number: make(template, work, fleet, number), range(services)))
        rows.append(("made and committed", time.monotonic() - started, {"made": services}))
    release(template)
    started = time.monotonic()
    command = [sys.executable, "-P", "-m", "layercake", "fleet", "--json", "--update", str(fleet)]
    result = subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=False)
    found: list[dict[str, Any]] = json.loads(result.stdout)
    for row in found:
        if "error" in row:
            print(row["repository"], row["error"], file=sys.stderr)
    outcome = dict(Counter(row["update"] for row in found))
    rows.append(("looked at, and updated on a branch where clean", time.monotonic() - started, outcome))
    text = f"{services} services on {os.cpu_count()} processors:\n\n| | seconds | for each | outcome |\n|---|---|---|---|\n"
    for what, seconds, outcome in rows:
        shown = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.items()))
        text += f"| {what} | {seconds:.0f} | {seconds / services:.2f} | {shown} |\n"
    return text


def make(template: Path, work: Path, fleet: Path, number: int) -> None:
    """Make a service, and edit it as its team does: every tenth where the template is going to change, too."""
    config = work / f"config-{number}.yaml"
    config.write_text(f"cookiecutters_dir: '{work}/c'\nreplay_dir: '{work}/r-{number}'\n", encoding="utf-8")
    answers = {"project_name": f"Service {number}", **ANSWERS[number % len(ANSWERS)]}
    given = [f"{name}={answer}" for name, answer in answers.items()]
    command = ["cookiecutter", "--no-input", "--config-file", str(config), "-o", str(fleet), str(template), *given]
    run(sys.executable, "-m", *command)
    project = fleet / f"service-{number}"
    commit(project, "made")
    package = project / f"service_{number}"
    if number % 10 == 0:
        append(project / "Makefile", "\n# Ours.\n")
    if number % 10 == 1:
        (package / "core" / "logs.py").rename(package / "journal.py")
    if number % 10 == 2:
        append(package / "core" / "logs.py", "\n\nOURS = True\n")
    append(package / "about.py", "\n# Ours.\n")
    if number % 10 == 3:
        (project / "tests" / "core" / "test_proxies.py").unlink()
    commit(project, "our work")


def release(template: Path) -> None:
    """Make a second release: files change, one is new, and one is gone."""
    scaffold = template / SCAFFOLD
    append(scaffold / "Makefile", "\n# Theirs.\n")
    logs = scaffold / "{{cookiecutter.package_name}}" / "core" / "logs.py"
    logs.write_text(f'"""Better."""\n{logs.read_text(encoding="utf-8").partition(chr(10))[2]}', encoding="utf-8")
    (scaffold / "SECURITY.md").write_text("# Security\n", encoding="utf-8")
    (scaffold / "tests" / "core" / "test_proxies.py").unlink()
    commit(template, "v1.1", tag="v1.1.0")


def append(file: Path, text: str) -> None:
    """Add a text to a file."""
    with file.open("a", encoding="utf-8") as opened:
        opened.write(text)


def commit(folder: Path, message: str, tag: str = "") -> None:
    """Commit everything in a folder, which becomes a repository."""
    if not (folder / ".git").exists():
        run("git", "init", "--quiet", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    run("git", "commit", "--quiet", "--message", message, cwd=folder)
    if tag:
        run("git", "tag", tag, cwd=folder)


def run(*command: str, cwd: Path | None = None) -> str:
    """Return what a command prints; end with its words when it fails."""
    result = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"measure_fleet: {' '.join(command[:3])} failed: {result.stderr.strip()[-300:]}")
    return result.stdout


if __name__ == "__main__":
    sys.exit(main())

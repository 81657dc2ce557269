"""Removes the files of other answers, compiles the locks of the new project, and says what to type next."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ANSWERS = json.loads("{{ cookiecutter | embed }}")

PACKAGE = ANSWERS["package_name"]

# Files and folders that exist for some answers only: question -> path -> answers.
FILES = {
    "ci": {".github/workflows/ci.yml": ["github"], ".gitlab-ci.yml": ["gitlab"]},
    "database": {
        f"{PACKAGE}/database.py": ["sqlite", "postgresql"],
        f"{PACKAGE}/migrations": ["sqlite", "postgresql"],
        f"{PACKAGE}/models.py": ["sqlite", "postgresql"],
        f"{PACKAGE}/notes.py": ["sqlite", "postgresql"],
        "tests/test_database.py": ["sqlite", "postgresql"],
        "tests/test_notes.py": ["sqlite", "postgresql"],
    },
    "dependency_manager": {
        "Pipfile": ["pipenv"],
        "requirements/dev.in": ["pip-tools"],
        "requirements/prod.in": ["pip-tools"],
    },
    "background_jobs": {
        f"{PACKAGE}/jobs.py": ["celery"],
        f"{PACKAGE}/postcards.py": ["celery"],
        f"{PACKAGE}/worker.py": ["celery"],
        "tests/test_jobs.py": ["celery"],
        "tests/test_postcards.py": ["celery"],
        "tests/sample_jobs.py": ["celery"],
    },
    "error_tracking": {f"{PACKAGE}/sentry.py": ["sentry"], "tests/test_sentry.py": ["sentry"]},
}


def main() -> int:
    """Return 1 when the locks could not be compiled, unless LAYERCAKE_LOCK is auto or skip; else 0."""
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is for tools/lock.py, which needs a moment to clean up
    remove_files_of_other_answers()
    mode = os.environ.get("LAYERCAKE_LOCK") or "auto"
    actions = ["compile"]
    # Layers that are older than the lock are somebody's, whose project was generated over.
    if {*pins("layers/baseline.lock")} <= {*pins("prod.txt")} and not Path("requirements/layers/service.lock").exists():
        actions += ["rebaseline"]
        lock("skip", "rebaseline")  # the shipped locks have layers too, however it goes on
    if lock(mode, *actions) and mode not in ("auto", "skip"):
        print(f"LAYERCAKE_LOCK={mode}: the locks could not be compiled, so this is a failure.", file=sys.stderr)
        return 1
    print(f"\nYour service is ready. Next:\n\n  cd {ANSWERS['project_slug']}\n  make setup test\n  make run\n")
    return 0


def lock(mode: str, *actions: str) -> int:
    """Run tools/lock.py; return its exit status."""
    return subprocess.call([sys.executable, "tools/lock.py", *actions], env=os.environ | {"LAYERCAKE_LOCK": mode})


def remove_files_of_other_answers() -> None:
    """Remove what FILES has for the answers that were not given, and the folders that are then empty."""
    for question, files in FILES.items():
        for path in (Path(name) for name, answers in files.items() if ANSWERS[question] not in answers):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            with contextlib.suppress(OSError):  # there is more in the folder
                os.removedirs(path.parent)


def pins(name: str) -> list[str]:
    """Return the lines of a lock that pin something."""
    lines = Path("requirements", name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


if __name__ == "__main__":
    sys.exit(main())

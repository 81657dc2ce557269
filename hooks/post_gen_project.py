"""Removes the folders of other answers, moves the shipped locks to the newest releases, and says what to type next."""

import contextlib
import datetime
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

PROJECT = json.loads("{{ cookiecutter | facts | embed }}")
STALE = 30  # days


def main() -> int:
    """Return 1 when the locks could not be compiled, unless LAYERCAKE_LOCK is auto or skip; else 0."""
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is for tools/lock.py, which needs a moment to clean up
    remove_folders_of_other_answers()
    mode = os.environ.get("LAYERCAKE_LOCK") or "auto"
    age = (datetime.date.today() - datetime.date.fromisoformat(PROJECT["locked"])).days
    # Shipped pins that are young were tested together; after that, a new service starts with the newest.
    actions = ["upgrade" if age > STALE and mode != "skip" else "compile"]
    # Layers that are older than the lock are somebody's, whose project was generated over.
    if {*pins("layers/baseline.lock")} <= {*pins("prod.txt")} and not Path("requirements/layers/service.lock").exists():
        actions += ["rebaseline"]
        lock("skip", "rebaseline")  # the shipped locks have layers too, however it goes on
    failed = lock("require" if mode == "auto" else mode, *actions)
    if failed and mode not in ("auto", "skip"):
        print(f"LAYERCAKE_LOCK={mode}: the locks could not be compiled, so this is a failure.", file=sys.stderr)
        return 1
    if failed or mode == "skip":
        warning = "WARNING: " if failed else ""
        kept = f"the locks are those that the template ships, {age} days old"
        print(f"{warning}{kept}: `make upgrade` moves them to the newest releases.")
    print(f"\nYour service is ready. Next{first_steps()}\n")
    return 0


def first_steps() -> str:
    """Return what to type on this machine, to work with Python, else in Docker."""
    python = PROJECT["python"]
    right = f"import ensurepip, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != {python!r})"
    enter = f":\n\n  cd {Path.cwd().name}\n  "
    if works("git", "--version") and not works("git", "rev-parse", "--is-inside-work-tree"):
        enter += "git init\n  "
    in_docker = f"{enter}make up"
    if PROJECT["servers"]:
        enter += f"docker compose up --detach --wait {' '.join(PROJECT['servers'])}\n  "
    if any(works(name, "-c", right) for name in (f"python{python}", "python3", "python")):
        return f"{enter}make setup test\n  make run"
    if works(sys.executable, "-c", right):
        return f"{enter}make setup test PYTHON={shlex.quote(sys.executable)}\n  make run"
    if works("docker", "compose", "version") and works("docker", "version"):
        return f" (there is no Python {python} here, so in Docker){in_docker}"
    return f", install Python {python} or Docker; then{enter}make setup test\n  make run, or all in Docker: make up"


def works(*command: str) -> bool:
    """Return whether a command exists and succeeds."""
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def lock(mode: str, *actions: str) -> int:
    """Run tools/lock.py; return its exit status."""
    return subprocess.call([sys.executable, "tools/lock.py", *actions], env=os.environ | {"LAYERCAKE_LOCK": mode})


def remove_folders_of_other_answers() -> None:
    """Remove the folders that only other answers fill: cookiecutter makes them, and nothing is written into them."""
    for folder in PROJECT["folders"]:
        with contextlib.suppress(OSError):  # somebody keeps something there
            os.rmdir(folder)


def pins(name: str) -> list[str]:
    """Return the lines of a lock that pin something."""
    lines = Path("requirements", name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


if __name__ == "__main__":
    sys.exit(main())

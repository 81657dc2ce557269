"""Brings .venv to what the locks list by what differs from the last time: make setup. The Python of .venv runs it.

What people have put there themselves stays. Standard library only.
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import manager
from pins import LockError, Pin, name_of, parse, render

PROJECT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements/prod.txt", "requirements/dev.txt")
INSTALLED = Path(sys.prefix) / "installed"
"""Holds the pins of the last time. Older than what it is made from when it has to be made again."""


def main() -> int:
    try:
        have = parse(INSTALLED.read_text(encoding="utf-8"), str(INSTALLED)) if INSTALLED.exists() else {}
        want = {name: pin for lock in LOCKS for name, pin in parse(read(lock), lock).items()}
        install(have, want)
        stale = unlike_lock(want)
        INSTALLED.write_text(render(want.values()), encoding="utf-8")
        if stale:
            print(f"setup: WARNING: {LOCKS[0]} and {LOCKS[1]} are stale: {stale}; run `make lock`.", file=sys.stderr)
            os.utime(INSTALLED, (0, 0))
    except (LockError, OSError, ValueError) as error:
        print(f"setup: {error}.", file=sys.stderr)
        return 1
    return 0


def install(have: dict[str, Pin], want: dict[str, Pin]) -> None:
    """Install and remove what differs. Raises LockError."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:  # uv makes such a .venv
        subprocess.run([sys.executable, "-m", "ensurepip"], stdout=subprocess.DEVNULL, check=False)
    changed = [pin for name, pin in have.items() if want.get(name) != pin and name != "pip"]  # which does the rest
    gone = [pin.name for pin in changed if pin.name not in want or want[pin.name].origin == pin.origin]  # other files
    new = sum(have.get(name) != pin for name, pin in want.items())
    print(f"setup: {new} packages to install, {len(gone)} to remove", file=sys.stderr)
    wheels = ["--find-links", "requirements/wheels"] if (PROJECT / "requirements/wheels").exists() else []
    files = [part for lock in LOCKS for part in ("--requirement", lock)]
    commands = [[*pip, "uninstall", "--quiet", "--yes", *gone]] if gone else []
    commands += [[*pip, "install", "--quiet", "--no-deps", "--require-hashes", *wheels, *files]]
    for command in commands:
        if subprocess.run(command, cwd=PROJECT, check=False).returncode:
            raise LockError("the packages could not be installed, see above")


def unlike_lock(pins: dict[str, Pin]) -> str:
    """Return how the locks differ from what the service asks for, as far as that can be seen at a glance; else ""."""
    asked = [line for lines in manager.asked(read, read_toml) for line in lines]
    named = [line for line in asked if re.match(r"[\w.-]+ *([@=<>!~[(]|$)", line) and ";" not in line]
    if missing := [name for name in map(name_of, named) if name not in pins]:
        return f"{manager.ASKED} asks for {missing[0]}"
    native = manager.versions(read(manager.LOCK)) if manager.LOCK and (PROJECT / manager.LOCK).exists() else []
    versions = {(name, f"=={version}") for name, version in native}
    names = {name for name, _ in native} if manager.KNOWS_ONE_PLATFORM else {*pins}  # others need more than that one
    other = [pin for pin in pins.values() if pin.name in names and (pin.name, pin.origin) not in versions]
    other = [pin for pin in other if native and pin.origin.startswith("==")]
    return f"{manager.LOCK} does not have {other[0]}" if other else ""


def read(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")


def read_toml(text: str, file: str) -> dict[str, Any]:
    """Return what a TOML file says. Raises ValueError."""
    return tomllib.loads(text)


if __name__ == "__main__":
    sys.exit(main())

"""uv: pyproject.toml says what the service asks for, uv.lock pins it, requirements/*.txt are exported from there.

tools/lock.py imports this file; it also runs it, in a copy of the project and with the Python that has uv.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME = "uv"
MODULE = "uv"
MANIFESTS = ("pyproject.toml",)
ASKED = "pyproject.toml"  # where people write what the service needs
LOCK = "uv.lock"
STALE = "run `uv lock`"  # what uv says of a lock that does not fit
NOT_INSTALLED = ""  # of requirements/tools.txt
KNOWS_ONE_PLATFORM = False  # whether it locks for the machine it runs on

HEADER = "# What uv.lock pins, for Python {}.{} on Linux. Written by: make lock\n"


def environment(python: str) -> dict[str, str]:
    """Return what its commands need to know."""
    return {"UV_PYTHON": python, "UV_PYTHON_DOWNLOADS": "never"}


def index(read: Callable[[str], str], read_toml: Callable[[str, str], dict[str, Any]]) -> dict[str, str]:
    """Return the settings with which uv asks the package index that the manifest names; uv reads that itself."""
    return {}


def asked(read: Callable[[str], str], read_toml: Callable[[str, str], dict[str, Any]]) -> list[list[str]]:
    """Return what is asked for, as requirements: one list for each resolution."""
    from pins import name_of, normalised

    facts = read_toml(read("pyproject.toml"), "pyproject.toml")
    groups = [facts["project"].get("dependencies", []), facts.get("dependency-groups", {}).get("dev", [])]
    elsewhere = {*map(normalised, facts.get("tool", {}).get("uv", {}).get("sources", {}))}  # these uv alone can find
    asked = [requirement for group in groups for requirement in group if isinstance(requirement, str)]
    return [[requirement for requirement in asked if name_of(requirement) not in elsewhere]]


def versions(text: str) -> list[tuple[str, str]]:
    """Return name and version of each package that a uv.lock has."""
    return re.findall(r'(?m)^name = "(.+)"\nversion = "(.+)"$', text)


def lock(run: Callable[..., None], work: Path, action: str, pins: list[str], moves: dict[str, str]) -> None:
    """Bring uv.lock and requirements/ below `work` up to date; for a check, only what is exported."""
    if action == "check":
        run("checking uv.lock", "-m", "uv", "lock", "--check")
    else:
        if not (work / LOCK).exists():
            (work / LOCK).write_text(seed(pins), encoding="utf-8")
        upgrade = [option for pin in moves.items() for option in ("--upgrade-package", "==".join(pin))]
        upgrade = ["--upgrade"] if action == "upgrade" else upgrade
        run("resolving pyproject.toml", "-m", "uv", "lock", *upgrade)
        text = (work / LOCK).read_text(encoding="utf-8")  # says which releases were left out: it would be stale at once
        text = re.sub(r"(?m)^\[options\]\n\n", "", re.sub(r"(?m)^exclude-newer.*\n", "", text))
        (work / LOCK).write_text(text, encoding="utf-8")
    export = ["-m", "uv", "export", "--frozen", "--no-emit-project", "--no-annotate", "--no-header"]
    for name, group in (("prod", ["--no-default-groups"]), ("dev", ["--only-group", "dev"])):
        run(f"exporting {name}.txt", *export, *group, "--output-file", f"requirements/{name}.txt")
    run("leaving out what is for other platforms", __file__)


def seed(pins: list[str]) -> str:
    """Return a uv.lock that knows no more than versions: uv prefers them, and fills in the rest."""
    text = 'version = 1\nrequires-python = ">=3"\n'
    for name, version in (pin.split("==") for pin in pins):
        source = 'source = { registry = "https://index.invalid/simple" }'
        text += f'\n[[package]]\nname = "{name}"\nversion = "{version}"\n{source}\n'
    return text


def settle(exported: str) -> str:
    """Return exported requirements as they are for Linux and this Python, on any processor."""
    from newest import marker_in_lock

    text = HEADER.format(*sys.version_info)
    for block in re.findall(r"(?m)^\S.*(?:\n .*)*", exported):
        requirement, *hashes = re.split(r" \\\n +", block)
        pin, _, marker = requirement.partition(" ; ")
        if wheel := re.fullmatch(r"[^:]*/([^/-]+)-([^/-]+)-[^/]+\.whl", pin):  # a file of this project
            pin = f"{wheel[1].replace('_', '-')}=={wheel[2]}"
        if (kept := marker_in_lock(marker)) is not None:
            text += " \\\n    ".join([re.sub(r"\[.*\]", "", pin) + kept, *sorted(hashes)]) + "\n"
    return text


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    for path in (Path("requirements/prod.txt"), Path("requirements/dev.txt")):
        path.write_text(settle(path.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")

"""Poetry: pyproject.toml says what the service asks for, poetry.lock pins it, requirements/*.txt are made from there.

tools/lock.py imports this file; it also runs it, in a copy of the project and with the Python that has Poetry.
"""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

NAME = "Poetry"
MODULE = "poetry"
MANIFESTS = ("pyproject.toml",)
ASKED = "pyproject.toml"  # where people write what the service needs
LOCK = "poetry.lock"
STALE = "changed significantly"  # what Poetry says of a lock that does not fit
NOT_INSTALLED = ""  # of requirements/tools.txt
KNOWS_ONE_PLATFORM = False  # whether it locks for the machine it runs on

HEADER = "# What poetry.lock pins, for Python {}.{} on Linux. Written by: make lock\n"


def environment(python: str) -> dict[str, str]:
    """Return what its commands need to know."""
    return {"POETRY_VIRTUALENVS_CREATE": "false"}


def index(read: Callable[[str], str], read_toml: Callable[[str, str], dict[str, Any]]) -> dict[str, str]:
    """Return the settings with which uv asks the package index that the manifest names."""
    facts = read_toml(read("pyproject.toml"), "pyproject.toml")
    settings: dict[str, str] = {}
    for source in facts.get("tool", {}).get("poetry", {}).get("source", []):
        name = re.sub(r"\W", "_", source["name"]).upper()
        login = [os.environ.get(f"POETRY_HTTP_BASIC_{name}_{part}", "") for part in ("USERNAME", "PASSWORD")]
        prefix = ":".join(quote(part, safe="") for part in login) + "@" if any(login) else ""
        kind = {"primary": "UV_DEFAULT_INDEX", "supplemental": "UV_INDEX"}.get(source.get("priority", "primary"))
        kind = "UV_INDEX" if kind in settings else kind
        if kind and "url" in source:
            url = source["url"].replace("://", f"://{prefix}", 1)
            settings[kind] = f"{settings.get(kind, '')} {url}".strip()
    return settings


def asked(read: Callable[[str], str], read_toml: Callable[[str, str], dict[str, Any]]) -> list[list[str]]:
    """Return what is asked for, as requirements: one list for each resolution."""
    facts = read_toml(read("pyproject.toml"), "pyproject.toml")
    groups = [facts["project"].get("dependencies", []), facts.get("dependency-groups", {}).get("dev", [])]
    return [[requirement for group in groups for requirement in group if isinstance(requirement, str)]]


def versions(text: str) -> list[tuple[str, str]]:
    """Return name and version of each package that a poetry.lock has."""
    return re.findall(r'(?m)^name = "(.+)"\nversion = "(.+)"$', text)


def lock(run: Callable[..., None], work: Path, action: str, pins: list[str], moves: dict[str, str]) -> None:
    """Bring poetry.lock and requirements/ below `work` up to date; for a check, only requirements/."""
    if action == "check":
        manifest = work / "pyproject.toml"  # Poetry would miss the README in this copy of the project
        manifest.write_text(re.sub(r"(?m)^readme = .*\n", "", manifest.read_text(encoding="utf-8")), encoding="utf-8")
        run("checking poetry.lock", "-m", "poetry", "check", "--lock")
    else:
        if pins and not (work / LOCK).exists():
            (work / LOCK).write_text(seed(pins), encoding="utf-8")
        if moves:
            (work / LOCK).write_text(moved((work / LOCK).read_text(encoding="utf-8"), moves), encoding="utf-8")
        regenerate = ["--regenerate"] if action == "upgrade" else []
        run("resolving pyproject.toml", "-m", "poetry", "lock", "--no-interaction", "--no-ansi", *regenerate)
    run("writing requirements/*.txt", __file__)


def seed(pins: list[str]) -> str:
    """Return a poetry.lock that knows no more than versions: Poetry prefers them, and fills in the rest."""
    text = ""
    for name, version in (pin.split("==") for pin in pins):
        text += f'[[package]]\nname = "{name}"\nversion = "{version}"\ndescription = ""\noptional = false\n'
        text += 'python-versions = "*"\ngroups = ["main"]\nfiles = []\n\n'
    return text + '[metadata]\nlock-version = "2.1"\npython-versions = "*"\ncontent-hash = ""\n'


def moved(text: str, moves: dict[str, str]) -> str:
    """Return a poetry.lock with other versions of some packages, of which it knows no more than that."""
    first, *blocks = re.split(r"(?m)^(?=\[\[package\]\]|\[metadata\])", text)
    names = tuple(f'[[package]]\nname = "{name}"\n' for name in moves)
    new = seed([f"{name}=={version}" for name, version in sorted(moves.items())]).partition("[metadata]")[0]
    return first + new + "".join(block for block in blocks if not block.startswith(names))


def requirements(packages: list[dict[str, Any]], group: str) -> str:
    """Return the packages of a group as they are for Linux and this Python, on any processor."""
    from newest import marker_in_lock

    text = HEADER.format(*sys.version_info)
    for package in sorted(packages, key=lambda package: str(package["name"])):
        marker = package.get("markers", "")
        marker = marker.get(group, "") if isinstance(marker, dict) else marker
        kept = marker_in_lock(marker) if group in package["groups"] else None
        if kept is not None:
            hashes = sorted(f"--hash={file['hash']}" for file in package["files"])
            source = package.get("source", {})
            origin = f" @ {source['url']}" if source.get("type") == "url" else f"=={package['version']}"
            text += " \\\n    ".join([f"{package['name']}{origin}{kept}", *hashes]) + "\n"
    return text


if __name__ == "__main__":
    import tomllib

    sys.path.insert(0, str(Path(__file__).parent))
    locked = tomllib.loads(Path(LOCK).read_text(encoding="utf-8"))["package"]
    for path, group in ((Path("requirements/prod.txt"), "main"), (Path("requirements/dev.txt"), "dev")):
        path.write_text(requirements(locked, group), encoding="utf-8", newline="\n")

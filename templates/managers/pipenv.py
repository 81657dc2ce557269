"""Pipenv: Pipfile says what the service asks for, Pipfile.lock pins it, requirements/*.txt are made from there.

tools/lock.py imports this file; it also runs it, in a copy of the project and with the Python that has Pipenv.
"""

import hashlib
import json
import os
import re
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME = "Pipenv"
MODULE = "pipenv"
MANIFESTS = ("Pipfile",)
ASKED = "Pipfile"  # where people write what the service needs
LOCK = "Pipfile.lock"
STALE = "out-of-date"  # what Pipenv says of a lock that does not fit
NOT_INSTALLED = ""  # of requirements/tools.txt
KNOWS_ONE_PLATFORM = True  # whether it locks for the machine it runs on

HEADER = "# What Pipfile.lock pins, for Python {}.{} on Linux. Written by: make lock\n"


def environment(python: str) -> dict[str, str]:
    """Return what its commands need to know; the tools' own environment saves Pipenv making one."""
    quiet = {"PIPENV_NOSPIN": "1", "PIPENV_VERBOSITY": "-1", "NO_COLOR": "1", "COLUMNS": "999"}
    place = {"VIRTUAL_ENV": str(Path(python).parent.parent), "PIPENV_PIPFILE": "Pipfile"}
    return quiet | place


def index(read: Callable[[str], str], read_toml: Callable[[str, str], dict[str, Any]]) -> dict[str, str]:
    """Return the settings with which uv asks the package index that the manifest names."""
    sources = read_toml(read("Pipfile"), "Pipfile").get("source", [])
    urls = [os.path.expandvars(source["url"]) for source in sources] or [os.environ.get("PIPENV_PYPI_MIRROR", "")]
    unchecked = [
        re.sub(r"^.*?://(?:.*@)?|/.*", "", source["url"]) for source in sources if not source.get("verify_ssl", True)
    ]
    named = {"UV_DEFAULT_INDEX": urls[0], "UV_INDEX": " ".join(urls[1:]), "UV_INSECURE_HOST": " ".join(unchecked)}
    return {name: value for name, value in named.items() if value}


def asked(read: Callable[[str], str], read_toml: Callable[[str, str], dict[str, Any]]) -> list[list[str]]:
    """Return what is asked for, as requirements: one list for each resolution, of which the later ones keep to the first.

    What has no version is left to Pipenv.
    """
    facts = read_toml(read("Pipfile"), "Pipfile")
    found: list[list[str]] = []
    for table in ("packages", "dev-packages"):
        found.append([])
        for name, wanted in facts.get(table, {}).items():
            entry = {"version": wanted} if isinstance(wanted, str) else wanted
            version, extras = entry.get("version", ""), entry.get("extras", [])
            marker = f" ; {entry['markers']}" if "markers" in entry else ""
            if version:
                extra = f"[{','.join(extras)}]" if extras else ""
                found[-1].append(f"{name}{extra}{'' if version == '*' else version}{marker}")
    return found


def versions(text: str) -> list[tuple[str, str]]:
    """Return name and version of each package that a Pipfile.lock has, but for files."""
    locked = json.loads(text)
    found = (*locked["develop"].items(), *locked["default"].items())
    return [(name, entry["version"].removeprefix("==")) for name, entry in found if "version" in entry]


def lock(run: Callable[..., None], work: Path, action: str, pins: list[str], moves: dict[str, str]) -> None:
    """Bring Pipfile.lock and requirements/ below `work` up to date; for a check, only requirements/."""
    if action == "upgrade":
        run("resolving Pipfile", "-m", "pipenv", "lock")
    elif action == "check":
        run("checking Pipfile.lock", "-m", "pipenv", "verify")
    elif moves or not fits(run, work):
        lock_anew(run, work, pins, moves)
    run("writing requirements/*.txt", __file__, action)


def fits(run: Callable[..., None], work: Path) -> bool:
    """Return whether there is a Pipfile.lock, made from this Pipfile."""
    if not (work / LOCK).exists():
        return False
    try:
        run("checking Pipfile.lock", "-m", "pipenv", "verify")
    except RuntimeError:
        return False
    return True


def lock_anew(run: Callable[..., None], work: Path, pins: list[str], moves: dict[str, str]) -> None:
    """Lock with the pins there are, but for `moves`, which `pipenv lock` alone would all move to the newest versions.

    Pipenv resolves every category within the pins of the default one. So the pins take that place, the service's
    own packages become other categories, and what Pipenv makes of these goes back where it belongs.
    """
    from pins import normalised

    manifest, native = work / "Pipfile", work / LOCK
    asked = manifest.read_text(encoding="utf-8")
    if native.exists():
        locked = json.loads(native.read_text(encoding="utf-8"))
        found = [*locked["default"].items(), *locked["develop"].items()]
        pins = [f"{name}{entry['version']}" for name, entry in found if "version" in entry]
    pins = [pin for pin in pins if normalised(pin.split("==")[0]) not in moves]
    pins += [f"{name}=={version}" for name, version in moves.items()]
    renamed = re.sub(r"(?m)^\[packages\b", "[prod", re.sub(r"(?m)^\[dev-packages\b", "[dev", asked))
    kept = "".join(f'"{name}" = "=={version}"\n' for name, version in sorted({tuple(pin.split("==")) for pin in pins}))
    manifest.write_text(f"{renamed}\n[packages]\n{kept}", encoding="utf-8")
    run("resolving Pipfile", "-m", "pipenv", "lock")
    locked = json.loads(native.read_text(encoding="utf-8"))
    prod, dev = locked.pop("prod", {}), locked.pop("dev", {})
    locked |= {"default": prod, "develop": dev | {name: prod[name] for name in prod.keys() & dev.keys()}}
    native.write_text(json.dumps(locked), encoding="utf-8")
    manifest.write_text(asked, encoding="utf-8")
    run("writing Pipfile.lock", "-m", "pipenv", "upgrade")


def requirements(packages: dict[str, dict[str, Any]], before: str) -> str:
    """Return the packages of a category as they are for Linux and this Python, on any processor.

    Args:
        before: what was returned the last time. Pipenv does not keep the hash of what comes by URL: it is that of
            then, else that of what is there now.
    """
    from newest import marker_in_lock
    from pins import parse

    known = {pin.origin: pin.hashes for pin in parse(before, "the last requirements").values()}
    text = HEADER.format(*sys.version_info)
    for name, package in sorted(packages.items()):
        kept = marker_in_lock(package.get("markers", ""))
        if kept is not None:
            file, hashes = package.get("file", ""), package.get("hashes", [])
            wheel = Path(file).name.split("-")  # of a file of this project
            version = package.get("version") or (f"=={wheel[1]}" if wheel[-1].endswith(".whl") else "")
            if "://" in file:
                version = f" @ {file}"
                hashes = hashes or known.get(version) or [hash_of(file)]
            text += (
                " \\\n    ".join([f"{name}{version}{kept}", *(f"--hash={value}" for value in sorted(hashes))]) + "\n"
            )
    return text


def hash_of(url: str) -> str:
    """Return the hash of what is at a URL."""
    with urllib.request.urlopen(url, timeout=60) as response:
        return f"sha256:{hashlib.file_digest(response, 'sha256').hexdigest()}"


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    locked = json.loads(Path(LOCK).read_text(encoding="utf-8"))
    for path, category in ((Path("requirements/prod.txt"), "default"), (Path("requirements/dev.txt"), "develop")):
        before = path.read_text(encoding="utf-8") if path.exists() and sys.argv[1] in ("compile", "bump") else ""
        path.write_text(requirements(locked[category], before), encoding="utf-8", newline="\n")

"""pip-tools: requirements/*.in say what the service asks for, pip-compile pins it in the .txt beside them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from newest import requirements
from pins import blocks

NAME = "pip-tools"
MODULE = "piptools"
MANIFESTS = ("requirements/prod.in", "requirements/dev.in")
ASKED = "requirements/prod.in"  # where people write what the service needs
LOCK = ""  # the artifact is the lock
STALE = ""
NOT_INSTALLED = "uv"  # of requirements/tools.txt: large, and only for images
KNOWS_ONE_PLATFORM = True  # whether it locks for the machine it runs on


def environment(python: str) -> dict[str, str]:
    """Return what its commands need to know."""
    return {"CUSTOM_COMPILE_COMMAND": "make lock"}


def index(read: Callable[[str], str], read_toml: Callable[[str, str], dict[str, Any]]) -> dict[str, str]:
    """Return the settings with which uv asks the package index that the manifest names; it names none."""
    return {}


def asked(read: Callable[[str], str], read_toml: Callable[[str, str], dict[str, Any]]) -> list[list[str]]:
    """Return what is asked for, as requirements: one list for each resolution, of which the later ones keep to the first."""

    def beside(name: str) -> str:
        return read(os.path.join("requirements", name))

    return [requirements(name, beside) for name in ("prod.in", "dev.in")]


def versions(text: str) -> list[tuple[str, str]]:
    """Return names and versions of a lock of its own; the artifact is that."""
    return []


def lock(run: Callable[..., None], work: Path, action: str, pins: list[str], moves: dict[str, str]) -> None:
    """Compile the files in requirements/ below `work`; what is there is the seed whose pins are kept, but for `moves`."""
    for lock in (work / "requirements" / "prod.txt", work / "requirements" / "dev.txt"):
        if moves and lock.exists():
            kept = lock.read_text(encoding="utf-8")
            for lines in [lines for name, lines in blocks(kept).items() if name in moves]:
                kept = kept.replace(lines, "")
            lock.write_text(kept + "".join(f"{name}=={version}\n" for name, version in moves.items()), encoding="utf-8")
    wheels = ["--find-links", "requirements/wheels"] if (work / "requirements" / "wheels").exists() else []
    if action == "check":  # compiling keeps a pin and its hashes even if they do not belong together
        options = ["--dry-run", "--ignore-installed", "--no-deps", "--require-hashes"]
        files = ["-r", "requirements/prod.txt", "-r", "requirements/dev.txt"]
        run("checking the hashes", "-m", "pip", "install", *options, *wheels, *files)
    for name in ["prod", "dev"] if action in ("compile", "bump") else ["tools", "prod", "dev"]:
        options = ["--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-emit-options", "--no-config"]
        options += ["--upgrade"] if action == "upgrade" else []
        files = ["--output-file", f"requirements/{name}.txt", f"requirements/{name}.in"]
        run(f"resolving {name}.in", "-m", "piptools", "compile", *options, *wheels, *files)

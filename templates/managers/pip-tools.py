"""pip-tools: requirements/*.in say what the service asks for, pip-compile pins it in the .txt beside them."""

from collections.abc import Callable
from pathlib import Path

NAME = "pip-tools"
MODULE = "piptools"
MANIFESTS: tuple[str, ...] = ()  # those in requirements/ are at hand anyway
LOCK = ""  # the artifact is the lock
STALE = ""
NOT_INSTALLED = "uv"  # of requirements/tools.txt: large, and only for images
KNOWS_ONE_PLATFORM = True  # whether it locks for the machine it runs on
# What Docker is handed when it locks, and where that is on this machine, the first that is there.
CONFIGURATION: dict[str, tuple[str, ...]] = {}


def environment(python: str) -> dict[str, str]:
    """Return what its commands need to know."""
    return {"CUSTOM_COMPILE_COMMAND": "make lock"}


def lock(run: Callable[..., None], work: Path, action: str, pins: list[str]) -> None:
    """Compile the files in requirements/ below `work`; what is there is the seed whose pins are kept."""
    if action == "check":  # compiling keeps a pin and its hashes even if they do not belong together
        options = ["--dry-run", "--ignore-installed", "--no-deps", "--require-hashes"]
        options += ["--find-links", "requirements/wheels"] if (work / "requirements" / "wheels").exists() else []
        files = ["-r", "requirements/prod.txt", "-r", "requirements/dev.txt"]
        run("checking the hashes", "-m", "pip", "install", *options, *files)
    for name in ["prod", "dev"] if action == "compile" else ["tools", "prod", "dev"]:
        options = ["--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-emit-options", "--no-config"]
        options += ["--upgrade"] if action == "upgrade" else []
        files = ["--output-file", f"requirements/{name}.txt", f"requirements/{name}.in"]
        run(f"resolving {name}.in", "-m", "piptools", "compile", *options, *files)

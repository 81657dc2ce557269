"""What the tests of locking share."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support import Project, contents


def module(path: Path) -> ModuleType:
    """Return a Python file that belongs to no package, imported with the files beside it."""
    for neighbour in path.parent.glob("*.py"):
        sys.modules.pop(neighbour.stem, None)  # that of another project
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(path.parent)
        spec.loader.exec_module(loaded)
    return loaded


def lock(project: Project, *actions: str, check: bool = True, **env: Any) -> subprocess.CompletedProcess[str]:
    """Run tools/lock.py, which must do what it is asked to, unless `env` says otherwise."""
    return project.run(sys.executable, "tools/lock.py", *actions, check=check, **{"LAYERCAKE_LOCK": "require", **env})


def write(project: Project, name: str, text: str) -> None:
    (project.path / "requirements" / name).write_text(text, encoding="utf-8", newline="")


def requirements(project: Project) -> dict[str, bytes]:
    """Return every file that locking may write, by its path below requirements/: hidden ones too, and the Dockerfile."""
    return {**contents(project.path / "requirements"), "../Dockerfile": (project.path / "Dockerfile").read_bytes()}


def pins(project: Project, name: str = "prod.txt") -> set[str]:
    return set(re.findall(r"^[\w.-]+==\S+", project.read(f"requirements/{name}"), re.MULTILINE))


def scratch(project: Project) -> list[str]:
    return [path.name for path in (project.path / ".cache").glob("lock-*")]

"""The ways in which people build Python images today, each as its best users would write it, and ours.

All install the same lock from the same index, on the same base image, and run the same service as the same user.
A variant is a Dockerfile here; what it installs from is made of the lock by `prepare`.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks.measure import run
from benchmarks.variants.locks import pipfile, pipfile_lock, poetry_lock, poetry_project, split

HERE = Path(__file__).resolve().parent
UNKNOWN: Mapping[str, int] = MappingProxyType({})


class Variant(NamedTuple):
    """A way to build the image of the service."""

    name: str
    """File name, tag, and key in results."""
    title: str
    """For the head of a table's row."""
    what: str
    """What it does, and who recommends it."""

    @property
    def dockerfile(self) -> str:
        """Its Dockerfile, relative to a prepared project."""
        return "Dockerfile" if self == OURS else f"{self.name}.Dockerfile"

    @property
    def cache_mode(self) -> str:
        """How much of a build a registry cache holds: what its people recommend. Ours needs no more than its image."""
        return "min" if self == OURS else "max"


OURS = Variant(
    "ours", "Layers (ours)", "Large packages in a layer each, a baseline, and what differs from there: this template."
)  # fmt: skip
VARIANTS: tuple[Variant, ...] = (
    Variant("copy-all", "Copy all", "Copies everything, then installs with pip: the first example of many tutorials."),
    Variant("classic", "Classic order", "Copies the lock, installs, copies the code: Docker's guide to its build cache."),
    Variant("cache-mount", "Classic, cache mount", "The classic order, and pip keeps its cache: Docker's build guides."),
    Variant(
        "split", "Two requirement files", "What rarely changes in a layer below the rest, with pip's cache: blog posts."
    ),
    Variant("poetry", "Poetry", "Installs from poetry.lock before the code comes: Poetry's FAQ, with a cache mount added."),
    Variant("pipenv", "Pipenv", "Syncs to Pipfile.lock, copies the environment: Pipenv's guide, with a cache mount added."),
    Variant("venv-copy", "Multi-stage, venv copied", "Fills a venv in a first stage, with pip's cache, and copies it: blog posts."),
    Variant("uv", "uv, one layer", "The classic order with uv and its cache: uv's guide, the pip interface."),
    Variant(
        "uv-multi-stage", "uv, multi-stage", "Installs and compiles, copies venv and code at once: uv's example project."
    ),
    Variant(
        "pip-sync", "pip-sync on a baseline", "A first layer with an older lock, pip-sync to today's: pip-tools' own command."
    ),
    OURS,
)  # fmt: skip
"""From the simplest to ours."""


def prepare(
    variant: Variant, project: Path, lock: str, baseline: str, index_url: str, sizes: Mapping[str, int] = UNKNOWN
) -> None:
    """Write the Dockerfile of a variant, and what it installs from, into a generated service.

    The same arguments give the same bytes. Several variants may share a project: what belongs to one does not
    enter the builds of the others. A comment in the lock changes nothing for Poetry and Pipenv.

    Args:
        lock: a hashed requirements file.
        baseline: an older one.
        index_url: the simple API, without a slash at its end. For Poetry, the page of every package that this
            process has not seen yet is read there.
        sizes: bytes of wheels by pin, like "flask==3.1.3", for ours.

    Raises:
        BenchmarkError: the lock has a line that is no pin, or the index lacks one of its files.
    """
    if variant == OURS:
        for layer in (project / "requirements" / "layers").glob("*.lock"):
            layer.unlink()
        lay_out(project, "rebaseline", baseline, sizes)
        lay_out(project, "compile", lock, sizes)
        return
    files = sources(variant, lock, baseline, index_url)
    dockerfile, ignored = read(variant.dockerfile), read("dockerignore")
    if "installers.txt" in dockerfile:
        files["installers.txt"] = read("installers.txt")
    own = "".join(f"!{name}\n" for name in files)
    files |= {variant.dockerfile: dockerfile, f"{variant.dockerfile}.dockerignore": ignored + own}
    for name, text in files.items():
        write(project / name, text)


def lay_out(project: Path, action: str, lock: str, sizes: Mapping[str, int]) -> None:
    """Give a generated service a lock, and let its own tools decide what is in which layer of the image.

    Args:
        action: of tools/lock.py, as people would run it for this lock. Nothing is resolved.
    """
    write(project / "requirements" / "prod.txt", lock)
    write(project / "requirements" / "layers" / "sizes.json", json.dumps(dict(sizes)))
    settings = {"LAYERCAKE_LOCK": "skip", "PYTHONDONTWRITEBYTECODE": "1"}
    run(sys.executable, "tools/lock.py", action, cwd=project, env=settings)


def sources(variant: Variant, lock: str, baseline: str, index_url: str) -> dict[str, str]:
    """Return the text of the files that a variant's packages are listed in, by name."""
    match variant.name:
        case "split":
            stable, volatile = split(lock, baseline)
            return {"requirements/stable.txt": stable, "requirements/volatile.txt": volatile}
        case "poetry":
            project, locked = poetry_project(lock, index_url), poetry_lock(lock, index_url)
            return {"poetry/pyproject.toml": project, "poetry/poetry.lock": locked}
        case "pipenv":
            return {"Pipfile": pipfile(lock, index_url), "Pipfile.lock": pipfile_lock(lock, index_url)}
        case "pip-sync":
            return {"requirements/prod.txt": lock, "requirements/baseline.txt": baseline}
        case _:
            return {"requirements/prod.txt": lock}


def settings(index_url: str) -> dict[str, str]:
    """Return the text of the secrets that the variants read their index from, by id.

    The host is trusted because pip caches nothing that comes over plain HTTP from another.
    """
    host = urlsplit(index_url).hostname
    return {
        "pip.conf": f"[global]\nindex-url = {index_url}\ntrusted-host = {host}\n",
        "uv.toml": f'[[index]]\nurl = "{index_url}"\ndefault = true\n',
    }


def read(name: str) -> str:
    """Return the text of a file beside this one."""
    return (HERE / name).read_text(encoding="utf-8")


def write(path: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)

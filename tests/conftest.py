"""Fixtures that every test may use."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_cookies.plugin import Cookies

from tests.locking import lock, write
from tests.package_index import PackageIndex, serving
from tests.support import ANSWERS, HERE, ROOT, Person, Project, Template, engine, once

Bake = Callable[..., Project]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a Docker engine where there is none; with REQUIRE_DOCKER=1 that is a failure."""
    if item.get_closest_marker("docker") and (reason := engine()):
        if os.environ.get("REQUIRE_DOCKER") == "1":
            pytest.fail(f"REQUIRE_DOCKER=1, but there is {reason}", pytrace=False)
        pytest.skip(reason)


def pytest_xdist_auto_num_workers() -> int:
    """Run one test more at once than there are processors: many of them wait for an engine or a server."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what takes long first, so that no processor waits for the last test."""
    marks = ("thorough", "slow", "docker")
    items.sort(key=lambda item: [not item.get_closest_marker(mark) for mark in marks])


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Take back what code under test has made of signals: programs that a later test starts would not end by them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def no_surprises(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render without compiling the locks, unless a test says otherwise; ignore the person's own settings."""
    monkeypatch.setenv("LAYERCAKE_LOCK", "skip")
    for name in (
        "APP_ENV",
        "SECRET_KEY",
        "IMAGE",
        "VERSION",
        "CACHE",
        "PIP_CONF",
        "UV_TOML",
        "PYTHONPATH",
        "VIRTUAL_ENV",
        "MAKEFLAGS",  # of the make that runs the tests
        "MAKELEVEL",
        "MFLAGS",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def bake(cookies: Cookies) -> Bake:
    """Render the template: `bake(license="MIT")` returns the project; a misspelt answer is an error."""

    def bake_project(**answers: str) -> Project:
        unknown = answers.keys() - ANSWERS.keys()
        assert not unknown, f"cookiecutter.json asks for no {', '.join(unknown)}"
        result = cookies.bake(extra_context={"python_version": HERE, **answers}, template=str(ROOT))
        assert result.exception is None, result.exception
        assert result.exit_code == 0
        return Project(result.project_path)

    return bake_project


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody who has never used cookiecutter."""
    for name in ("home", "tmp", "work"):
        (tmp_path / "person" / name).mkdir(parents=True)
    return Person(tmp_path / "person")


@pytest.fixture
def small_disk(person: Person) -> Iterator[Path]:
    """A disk of 3 MB: enough for a project, not for the tools that compile its locks."""
    disk = person.root / "disk"
    disk.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "layercake", disk], capture_output=True, text=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"cannot mount a small disk: {mount.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.fixture
def template(tmp_path: Path) -> Template:
    """The template as a repository that people generate from."""
    return Template.at(tmp_path / "layercake")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all test workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def install_tools(project: Project, shared: Path, manager: str) -> None:
    """Give a project the venvs of its dependency manager and of uv, which are made once a run."""

    def make(new: Path) -> None:
        code = "import lock; lock.CACHE.mkdir(); lock.python_with_uv(lock.find_interpreter()); "
        code += "print(lock.tools_venv(lock.find_interpreter(), lock.current('requirements/tools.txt')), "
        code += "lock.manager.MODULE)"
        python, module = project.run(sys.executable, "-Bc", code, PYTHONPATH="tools").stdout.split()[-2:]
        project.run(python, "-I", "-m", module, "--help")  # leaves the .pyc files
        (project.path / ".cache").rename(new)

    tools = once(shared / f"lock-tools-{manager}", make)
    shutil.copytree(tools, project.path / ".cache", symlinks=True, copy_function=os.link)


@pytest.fixture
def tooled(bake: Bake, shared: Path) -> Project:
    """A project whose lock tools (pip-tools in a venv of its own) are installed already."""
    project = bake()
    install_tools(project, shared, "pip-tools")
    return project


@pytest.fixture(scope="session")
def index() -> Iterator[PackageIndex]:
    with serving() as running:
        yield running


@pytest.fixture
def no_pip_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the person's own package index, so that a test sees what it says."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def small(tooled: Project, index: PackageIndex, no_pip_settings: None, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose requirements are tiny packages from an index with a password, locked already."""
    monkeypatch.setenv("PIP_INDEX_URL", index.url())
    write(tooled, "prod.in", "layer-alpha\nlayer-beta\n")
    write(tooled, "dev.in", "-c prod.txt\nlayer-gamma\n")
    write(tooled, "layers/baseline.names", "layer-alpha\nlayer-beta\n")
    lock(tooled, "compile", "rebaseline")
    return tooled

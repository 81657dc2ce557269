"""`make setup` brings .venv to the locks by what differs: real venvs, real pip, tiny packages."""

import re
import subprocess
import sys

import pytest

from tests.conftest import Bake
from tests.locking import write
from tests.package_index import PackageIndex
from tests.support import CHOICES, Project
from tests.test_newest import pin


def installed(project: Project) -> set[str]:
    """Return the releases of the index's packages that .venv has."""
    folders = (project.path / ".venv").glob("lib/*/site-packages/layer_*.dist-info")
    return {folder.name.removesuffix(".dist-info").replace("_", "-") for folder in folders}


def set_up(project: Project, *, prod: tuple[str, ...] = (), dev: tuple[str, ...] = (), check: bool = True) -> str:
    """Lock these releases of the index's packages, run `make setup`, and return what it says."""
    for name, releases in (("prod.txt", prod), ("dev.txt", dev)):
        write(project, name, "".join(map(pin, releases)))
    return project.run("make", "setup", f"PYTHON={sys.executable}", check=check).stdout


@pytest.fixture
def project(bake: Bake, index: PackageIndex, no_pip_settings: None, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of pip-tools that asks for nothing."""
    monkeypatch.setenv("PIP_INDEX_URL", index.url())
    made = bake()
    for name in ("prod.in", "dev.in"):
        write(made, name, "")
    return made


def test_only_what_differs_is_installed_and_what_people_added_stays(project: Project) -> None:
    set_up(project, prod=("layer-alpha-1.0", "layer-beta-2.0"), dev=("layer-gamma-3.0",))
    assert installed(project) == {"layer-alpha-1.0", "layer-beta-2.0", "layer-gamma-3.0"}
    python = project.path / ".venv/bin/python"
    project.run(str(python), "-m", "pip", "install", "--quiet", "layer-delta", "layer-alpha==1.0")
    beta = next((project.path / ".venv").glob("lib/*/site-packages/layer_beta-2.0.dist-info"))
    before = beta.stat().st_ino
    said = set_up(project, prod=("layer-alpha-1.1", "layer-beta-2.0", "layer-core-2.0"))
    assert "2 packages to install, 1 to remove" in said
    assert installed(project) == {"layer-alpha-1.1", "layer-beta-2.0", "layer-core-2.0", "layer-delta-4.0"}
    assert beta.stat().st_ino == before
    assert "Nothing to be done" in project.run("make", "setup").stdout


def test_other_files_of_one_version_are_installed_anew(project: Project) -> None:
    set_up(project, prod=("layer-alpha-1.0",))
    old = project.path / ".venv/installed"
    old.write_text(re.sub("sha256:...", "sha256:000", old.read_text(encoding="utf-8")), encoding="utf-8")
    assert "1 packages to install, 1 to remove" in set_up(project, prod=("layer-alpha-1.0",))
    assert installed(project) == {"layer-alpha-1.0"}


def test_what_has_failed_is_done_the_next_time(project: Project) -> None:
    set_up(project, prod=("layer-alpha-1.0",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        patch.setenv("PIP_RETRIES", "0")
        patch.setenv("PIP_NO_CACHE_DIR", "1")
        said = set_up(project, prod=("layer-beta-2.0",), check=False)
    assert "setup: the packages could not be installed, see above." in said
    project.run("make", "setup")
    assert installed(project) == {"layer-beta-2.0"}


def test_a_venv_of_uv_without_pip_and_one_whose_python_is_gone_are_used_or_made_anew(project: Project) -> None:
    venv = project.path / ".venv"
    subprocess.run([sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, str(venv)], check=True)
    (venv / "mine").touch()
    set_up(project, prod=("layer-alpha-1.0",))
    assert (venv / "mine").exists()
    (venv / "bin/python").unlink()
    (venv / "bin/python").symlink_to("/nowhere/python")
    set_up(project, prod=("layer-beta-2.0",))
    assert installed(project) == {"layer-beta-2.0"}


ASK = {
    "pip-tools": ("requirements/prod.in", "", "layer-beta\n"),
    "uv": ("pyproject.toml", "dependencies = [", '\n  "layer-beta",'),
    "poetry": ("pyproject.toml", "dependencies = [", '\n  "layer-beta (>=1.0,<2.0)",'),
    "pipenv": ("Pipfile", "[packages]", '\nlayer-beta = "*"'),
}


@pytest.mark.parametrize("manager", CHOICES["dependency_manager"])
def test_stale_locks_are_named_each_time(bake: Bake, manager: str) -> None:
    project = bake(dependency_manager=manager)
    venv = project.path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(sys.executable)  # its pip is not called: everything is there
    code = "import environment, pathlib; environment.INSTALLED = pathlib.Path('.venv/installed'); "
    code += "environment.install = lambda have, want: None; raise SystemExit(environment.main())"

    def run() -> str:
        return project.run(sys.executable, "-Bc", code, PYTHONPATH="tools").stdout

    assert "stale" not in run()
    prod = project.read("requirements/prod.txt")
    if manager in ("pip-tools", "pipenv"):
        write(project, "prod.txt", prod + pin("layer-early-1.0"))  # needed on another machine only
    if manager == "pip-tools":
        asked = project.read("requirements/prod.in")
        write(project, "prod.in", f"{asked}-c limits.txt\nhttps://host.example/model-1-py3-none-any.whl\n./model\n")
    assert "stale" not in run()
    if manager in ("uv", "poetry"):  # what only another group asks for is in no lock
        text = project.read("pyproject.toml").replace(
            "[dependency-groups]\n", '[dependency-groups]\ndocs = ["layer-delta"]\n'
        )
        (project.path / "pyproject.toml").write_text(text, encoding="utf-8")
        assert "layer-delta" in text
        assert "stale" not in run()
    name, after, entry = ASK[manager]
    manifest = project.path / name
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace(after, after + entry, 1) if after else text + entry, encoding="utf-8")
    for _ in range(2):
        assert f"are stale: {manifest.relative_to(project.path)} asks for layer-beta; run `make lock`" in run()
        assert (venv / "installed").stat().st_mtime == 0
    manifest.write_text(text, encoding="utf-8")
    assert "stale" not in run()
    assert (venv / "installed").stat().st_mtime > 0
    lock = {"uv": "uv.lock", "poetry": "poetry.lock", "pipenv": "Pipfile.lock"}.get(manager)
    if lock:  # the manager has locked something itself
        other = '{"default": {"flask": {"version": "==0.1"}}, "develop": {}}'
        other = other if manager == "pipenv" else '[[package]]\nname = "flask"\nversion = "0.1"\n'
        (project.path / lock).write_text(other, encoding="utf-8")
        assert f"are stale: {lock} does not have " in run()

"""The locks that the template ships, how they are cut, and the command that renews them."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jinja2 import Template

from layercake import locks
from tests.conftest import Bake
from tests.locking import module
from tests.support import CHOICES, HERE, ROOT, SCAFFOLD, Project, one_of

PYTHONS = CHOICES["python_version"]
SHIPPED = [*PYTHONS, *(f"tools-{python}" for python in PYTHONS)]
PROCESSORS = ("x86_64", "aarch64")
WHAT_IS_LOCKED = ("database", "background_jobs", "error_tracking")
"""The questions whose answers bring packages."""
ROOTS = {
    name: re.sub("{%.*", "", (SCAFFOLD / "requirements" / name).read_text(encoding="utf-8"))
    for name in ("prod.in", "dev.in", "tools.in")
}
"""What any project asks for."""

LOCK = """\
app==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via
    #   -c requirements/prod.txt
    #   -r requirements/all.in
Color.Am_a==0.4 ; sys_platform == "win32" \\
    --hash=sha256:cc
    # via click
click[extra]==8.0 \\
    --hash=sha256:dd
    # via
    #   app
    #   other
other==2.0 \\
    --hash=sha256:ee
    # via -r requirements/all.in

# The following packages are considered to be unsafe in a requirements file:
setuptools==80.0 \\
    --hash=sha256:ff
    # via other
"""


def shipped(python: str) -> str:
    return (ROOT / "locks" / f"{python}.txt").read_text(encoding="utf-8")


def test_parsing_reads_pins_hashes_and_who_needs_them() -> None:
    pins, via = locks.parse(LOCK)
    assert list(pins) == list(via) == ["app", "color-am-a", "click", "other", "setuptools"]
    assert pins["app"].hashes == ("sha256:aa", "sha256:bb")
    assert via["app"] == frozenset()
    assert via["click"] == {"app", "other"}
    assert str(pins["color-am-a"]) == 'color-am-a==0.4 ; sys_platform == "win32"'
    assert via["other"] == frozenset()
    assert via["setuptools"] == {"other"}


def test_a_cut_follows_who_needs_whom_and_leaves_the_rest() -> None:
    pins = locks.parse(LOCK)
    assert locks.closure(pins, {"app"}) == {"app", "click", "color-am-a"}
    assert locks.closure(pins, {"other"}) == {"other", "click", "color-am-a", "setuptools"}
    with pytest.raises(KeyError, match="absent; run `make locks`"):
        locks.closure(pins, {"app", "absent"})


def test_what_is_rendered_parses_to_the_same_pins() -> None:
    shipped = locks.parse(LOCK)
    text = locks.render(shipped, shipped.pins, roots={"app", "other"}, source="requirements/all.in")
    assert locks.parse(text) == shipped
    assert text.index("other==2.0") < text.index("considered to be unsafe") < text.index("setuptools==80.0")


@pytest.mark.parametrize(
    "line",
    [
        "Flask",
        "flask==3.1",
        "flask[async]>=3 # why",
        'flask; python_version > "3"',
        "flask ~= 3.0",
        "flask @ https://x",
    ],
)
def test_every_spelling_of_a_requirement_has_its_name(line: str) -> None:
    assert locks.names_in(f"# comment\n-c prod.txt\n\n{line}\r\n") == {"flask"}


@pytest.mark.parametrize("python", PYTHONS)
def test_every_python_has_a_lock_that_covers_every_requirements_file(python: str) -> None:
    for shipped_for, names in {"": ("prod.in", "dev.in"), "tools-": ("tools.in",)}.items():
        lock = locks.parse(shipped(f"{shipped_for}{python}"))
        roots = {root for name in names for root in locks.names_in(ROOTS[name])}
        assert roots <= lock.pins.keys()
        assert locks.closure(lock, roots) == lock.pins.keys(), "the lock holds what nothing asks for"


def test_no_lock_is_shipped_for_a_python_that_cannot_be_chosen() -> None:
    assert sorted(path.stem for path in (ROOT / "locks").glob("3.*.txt")) == sorted(PYTHONS)


@pytest.mark.parametrize("path", [*(f"locks/{name}.txt" for name in SHIPPED), "requirements.txt"])
def test_every_shipped_pin_is_exact_and_hashed_and_names_no_place(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    for name, pin in locks.parse(text).pins.items():
        assert re.fullmatch(r"==[\w.+!]+", pin.origin), name
        assert pin.hashes, name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in pin.hashes), name
    assert not re.search(r"://|^-|file:/|(?<= )/", text, re.MULTILINE)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("database", CHOICES["database"])
def test_rendered_locks_are_whole_and_hashed(bake: Bake, python: str, database: str) -> None:
    project = bake(python_version=python, database=database)
    prod, dev, tools = (locks.parse(project.read(f"requirements/{name}.txt")).pins for name in ("prod", "dev", "tools"))
    for name, pins in (("prod", prod), ("dev", dev), ("tools", tools)):
        roots = locks.names_in(project.read(f"requirements/{name}.in"))
        assert (
            locks.closure(locks.parse(shipped(f"tools-{python}" if name == "tools" else python)), roots) == pins.keys()
        )
        assert all(pin.hashes for pin in pins.values())
    for name in prod.keys() & dev.keys():
        assert prod[name] == dev[name], name
    tool = module(project.path / "tools" / "lock.py")
    layers = tool.read_layers()
    assert layers.everything == tool.parse(project.read("requirements/prod.txt"), "prod.txt")
    assert "pydantic-core" in layers.own
    assert "make lock" in project.read("requirements/prod.txt").split("annotated")[0]
    assert f"pip-compile with Python {python}" in project.read("requirements/prod.txt")


@pytest.mark.parametrize("python", PYTHONS)
def test_the_size_of_every_package_that_a_service_can_have_is_known(python: str) -> None:
    lock = locks.parse(shipped(python))
    sizes = json.loads((ROOT / "locks" / "sizes.json").read_text(encoding="utf-8"))
    for name in locks.closure(lock, locks.names_in(ROOTS["prod.in"])):
        assert sizes.get(f"{name}{lock.pins[name].origin}", 0) > 0, name


@pytest.mark.slow
@pytest.mark.parametrize("errors", one_of(CHOICES["error_tracking"], "none"))
@pytest.mark.parametrize("jobs", CHOICES["background_jobs"])
@pytest.mark.parametrize("database", CHOICES["database"])
def test_cut_locks_are_what_pip_compile_writes_byte_for_byte(
    bake: Bake, tooled: Project, database: str, jobs: str, errors: str
) -> None:
    project = bake(database=database, background_jobs=jobs, error_tracking=errors, project_slug="whole")
    (tooled.path / ".cache").rename(project.path / ".cache")
    names = ["requirements/prod.txt", "requirements/dev.txt", "requirements/tools.txt"]
    before = {name: without_what_only_early_releases_need(project.read(name)) for name in names}
    code = "import lock; lock.run_here(lock.tools_venv('', lock.current('requirements/tools.txt')), lock.PROJECT, '')"
    project.run(sys.executable, "-Bc", code, PYTHONPATH="tools")
    assert {name: without_what_only_early_releases_need(project.read(name)) for name in names} == before


def without_what_only_early_releases_need(lock: str) -> str:
    """Return a lock without what Python itself brings from 3.11.3 on: the shipped one is for 3.11.2 as well."""
    return re.sub(r"(?m)^async-timeout==.*\n(?:[ \t].*\n)*", "", lock)


@pytest.mark.slow
@pytest.mark.parametrize("python", one_of(PYTHONS, HERE))
def test_a_shipped_lock_has_what_either_processor_and_any_patch_release_needs(python: str, tmp_path: Path) -> None:
    """uv is told the platform, and asked with the pins of the lock as constraints."""
    everything = locks.read_shipped(python).pins
    (tmp_path / "pins.txt").write_text("".join(f"{pin.name}{pin.origin}\n" for pin in everything.values()), "utf-8")
    corners = [(f"{processor}-unknown-linux-gnu", f"{python}.{patch}") for processor in PROCESSORS for patch in (0, 99)]
    for number, values in enumerate(itertools.product(*(CHOICES[name] for name in WHAT_IS_LOCKED))):
        answers = dict(zip(WHAT_IS_LOCKED, values, strict=True))
        asked = {
            name: Template((SCAFFOLD / "requirements" / name).read_text("utf-8")).render(cookiecutter=answers)
            for name in ("prod.in", "dev.in")
        }
        prod = locks.parse(locks.cut_lock(asked["prod.in"], python, "requirements/prod.in")).pins
        dev = locks.parse(
            locks.cut_lock(asked["dev.in"], python, "requirements/dev.in", constrained_by=asked["prod.in"])
        ).pins
        (tmp_path / "all.in").write_text("\n".join(asked.values()).replace("-c prod.txt", ""), "utf-8")
        platform, release = corners[
            (number + number // 4 + PYTHONS.index(python)) % 4
        ]  # each pair of answers meets three of them
        options = ["--python", sys.executable, "--no-header", "--no-annotate"]
        options += ["--python-platform", platform, "--python-version", release]
        command = [sys.executable, "-m", "uv", "pip", "compile", *options, "--constraints", "pins.txt", "all.in"]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stderr
        needed = {*re.findall(r"(?m)^([a-z0-9-]+==[^\s;]+)", found.stdout)}
        assert len(needed) > 20
        assert needed <= {f"{pin.name}{pin.origin}" for pin in (*prod.values(), *dev.values())}, (
            answers,
            platform,
            release,
        )


def test_modules_of_the_dependencies_are_known() -> None:
    names = (ROOT / "locks" / "import-names.txt").read_text(encoding="utf-8").split()
    assert names == sorted(set(names))
    assert {"flask", "gunicorn", "pydantic", "pydantic_settings", "pythonjsonlogger", "pytest", "werkzeug"} <= set(
        names
    )


def renewed(copy: Path, *, check: bool = True, **env: str) -> tuple[dict[str, bytes], str]:
    """Run `make locks` in a copy of the template; return the files it may write, and what it said."""
    for name in (
        "locks",
        "layercake",
        "scripts",
        SCAFFOLD.name,
        "cookiecutter.json",
        "requirements.in",
        "requirements.txt",
        "tests",
    ):
        if not (copy / name).exists():
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
    result = subprocess.run(
        [sys.executable, "-m", "scripts.renew_locks"], cwd=copy, env={**os.environ, **env},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert (result.returncode == 0) is check, result.stdout
    return {
        path.name: path.read_bytes() for path in (*(copy / "locks").iterdir(), copy / "requirements.txt")
    }, result.stdout


def test_locks_that_cannot_be_renewed_stay_as_they_are(tmp_path: Path) -> None:
    offline = {
        "UV_INDEX_URL": "http://127.0.0.1:9/simple",
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_HTTP_RETRIES": "0",
    }
    (tmp_path / "template").mkdir()
    files, words = renewed(tmp_path / "template", check=False, **offline)
    assert files.keys() == {
        *(f"{name}.txt" for name in SHIPPED),
        "import-names.txt",
        "made-on.txt",
        "sizes.json",
        "requirements.txt",
    }
    assert files == {
        name: (ROOT / ("" if name == "requirements.txt" else "locks") / name).read_bytes() for name in files
    }
    assert "nothing was changed" in words
    assert "Traceback" not in words


@pytest.mark.thorough
def test_renewing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    questions = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    questions["python_version"] = [HERE]  # one is enough to see, and four take long
    (tmp_path / "cookiecutter.json").write_text(json.dumps(questions), encoding="utf-8")
    first, words = renewed(tmp_path)
    second, _ = renewed(tmp_path)
    assert f"locks/{HERE}.txt" in words.splitlines()[-1]
    assert first == second

"""tools/lock.py of a generated project: what it locks, and with which Python."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Bake
from tests.locking import lock, module, pins, requirements, write
from tests.package_index import PASSWORD, USER, WHEELS, PackageIndex
from tests.support import CHOICES, HERE, Project, has_image, interpreter

OTHER = next(version for version in CHOICES["python_version"] if version != HERE)


def path_with(folder: Path, **commands: str | None) -> str:
    """Return a PATH that holds nothing but these commands: name to program, None for a stand-in that fails."""
    folder.mkdir()
    for name, program in commands.items():
        if program is None:
            (folder / name).write_text("#!/bin/sh\necho 'not installed' >&2\nexit 127\n", encoding="utf-8")
            (folder / name).chmod(0o755)
        else:
            (folder / name).write_text(f'#!/bin/sh\nexec "{program}" "$@"\n', encoding="utf-8")
            (folder / name).chmod(0o755)
    return str(folder)


# Modes


def test_an_unknown_mode_is_refused_by_name(bake: Bake) -> None:
    result = lock(bake(), "compile", check=False, LAYERCAKE_LOCK="maybe")
    assert result.returncode == 2
    assert result.stdout == "lock: LAYERCAKE_LOCK is 'maybe'; use auto, skip or require.\n"


def test_check_goes_alone(bake: Bake) -> None:
    result = lock(bake(), "compile", "check", check=False)
    assert result.returncode == 2
    assert "check goes alone" in result.stdout


def test_skip_keeps_the_locks_without_trying(bake: Bake) -> None:
    project = bake()
    write(project, "prod.in", "no-such-package\n")
    before = requirements(project)
    result = lock(project, "compile", "upgrade", LAYERCAKE_LOCK="skip")
    assert result.stdout == ""
    assert requirements(project) == before
    assert not (project.path / ".cache").exists()


def test_rebaseline_copies_the_pins_and_nothing_else_and_needs_no_network(bake: Bake) -> None:
    project = bake()
    before = requirements(project)
    prod = re.sub(r"\b(flask|pydantic-core)==\S+", r"\1==1.2.3", project.read("requirements/prod.txt"))
    write(project, "prod.txt", prod)
    nowhere = "http://127.0.0.1:9/simple"
    assert lock(project, "rebaseline", PIP_INDEX_URL=nowhere, UV_DEFAULT_INDEX=nowhere).stdout == ""
    assert "flask==1.2.3" in pins(project, "layers/baseline.lock")
    assert pins(project, "layers/pydantic-core.lock") == {"pydantic-core==1.2.3"}
    after = requirements(project)
    assert {name for name in after.keys() | before.keys() if after.get(name) != before.get(name)} == {
        "prod.txt", "layers/baseline.lock", "layers/pydantic-core.lock",
    }  # fmt: skip
    assert after["prod.txt"].decode() == prod
    assert "# via" not in project.read("requirements/layers/baseline.lock")


def test_rebaseline_without_a_lock_says_which_file_is_missing(bake: Bake) -> None:
    project = bake()
    (project.path / "requirements" / "prod.txt").unlink()
    result = lock(project, "rebaseline", check=False)
    assert result.returncode == 1
    assert re.fullmatch(r"lock: .*No such file.*requirements/prod\.txt'; every lock is as it was\.\n", result.stdout)


@pytest.mark.parametrize("mode", ["auto", "require"])
def test_without_the_right_python_and_docker_the_locks_stay(bake: Bake, tmp_path: Path, mode: str) -> None:
    project = bake(python_version=OTHER)
    before = requirements(project)
    path = path_with(tmp_path / "bin", **{f"python{OTHER}": None, "python": None, "docker": None})
    result = lock(project, "compile", "rebaseline", check=False, LAYERCAKE_LOCK=mode, PATH=path)
    assert result.returncode == (1 if mode == "require" else 0)
    assert len(result.stdout.splitlines()) == 1
    assert f"neither a Python {OTHER} that can make virtual environments nor Docker" in result.stdout
    assert ("WARNING: the locks stay as they are; run `make lock` later" in result.stdout) is (mode == "auto")
    assert requirements(project) == before


def test_without_the_right_python_and_docker_a_check_fails_even_in_auto(bake: Bake, tmp_path: Path) -> None:
    result = lock(
        bake(python_version=OTHER), "check", check=False, LAYERCAKE_LOCK="auto", PATH=path_with(tmp_path / "bin")
    )
    assert result.returncode == 1


# What is compiled


@pytest.mark.slow
def test_an_edit_changes_only_what_it_asks_for(small: Project) -> None:
    assert pins(small) == {"layer-alpha==1.1", "layer-beta==2.0"}
    assert pins(small, "dev.txt") == {"layer-gamma==3.0", "layer-alpha==1.1"}
    # A newer alpha exists, but nobody asked for it.
    write(small, "prod.in", "layer-alpha<1.1\nlayer-beta\n")
    lock(small, "compile")
    write(small, "prod.in", "layer-alpha\nlayer-gamma\n")
    lock(small, "compile")
    assert pins(small) == {"layer-alpha==1.0", "layer-gamma==3.0"}
    assert pins(small, "dev.txt") == {"layer-gamma==3.0", "layer-alpha==1.0"}
    text = small.read("requirements/prod.txt")
    assert text.startswith(
        f"#\n# This file is autogenerated by pip-compile with Python {HERE}\n# by the following command:\n#\n#    make lock\n"
    )
    assert text.count("--hash=sha256:") == 2
    # An upgrade is what moves it, and tools.txt with it.
    write(small, "tools.in", "layer-beta\n")
    lock(small, "upgrade", "rebaseline")
    assert pins(small) == {"layer-alpha==1.1", "layer-gamma==3.0"}
    assert pins(small, "layers/baseline.lock") == {"layer-alpha==1.1"}
    assert pins(small, "layers/service.lock") == {"layer-gamma==3.0"}
    assert pins(small, "tools.txt") == {"layer-beta==2.0"}


@pytest.mark.slow
def test_a_deleted_lock_is_made_anew(small: Project) -> None:
    before = requirements(small)
    (small.path / "requirements" / "prod.txt").unlink()
    (small.path / "requirements" / "layers" / "baseline.lock").unlink()
    lock(small, "compile")
    assert requirements(small) == before


@pytest.mark.slow
def test_requirements_may_include_and_constrain_each_other(small: Project) -> None:
    write(small, "prod.in", "-r extra.in\n-c limits.txt\n")
    write(small, "extra.in", "layer-alpha\r\nlayer-beta\r\n")
    write(small, "limits.txt", "layer-alpha<1.1\n")
    lock(small, "compile")
    assert pins(small) == {"layer-alpha==1.0", "layer-beta==2.0"}
    assert "# via -r requirements/extra.in" in small.read("requirements/prod.txt")
    assert str(small.path) not in small.read("requirements/prod.txt")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["environment", "extra index", "find-links", "pip.conf"])
def test_a_lock_tells_nothing_of_where_the_packages_came_from(
    small: Project, index: PackageIndex, tmp_path: Path, place: str
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name, data in WHEELS.items():
        (wheels / name).write_bytes(data)
    env: dict[str, Any] = {"PIP_INDEX_URL": index.url()}
    if place == "extra index":
        env = {"PIP_INDEX_URL": index.url("simple/nothing"), "PIP_EXTRA_INDEX_URL": index.url()}
    elif place == "find-links":
        env = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    elif place == "pip.conf":
        conf = tmp_path / "pip.conf"
        conf.write_text(
            f"[global]\nindex-url = {index.url()}\ntrusted-host = 127.0.0.1\nfind-links = {wheels}\nuser = true\n",
            encoding="utf-8",
        )
        env = {"PIP_CONFIG_FILE": str(conf)}
    os.environ.pop("PIP_INDEX_URL")
    write(small, "prod.in", "layer-delta\n")
    write(small, "dev.in", "-c prod.txt\nlayer-gamma\n")
    asked = index.authorised
    result = lock(small, "compile", "rebaseline", **env)
    shared = pins(small, "layers/baseline.lock") | pins(small, "layers/service.lock")
    assert pins(small) == shared == {"layer-alpha==1.0", "layer-delta==4.0"}
    assert index.authorised > asked or place == "find-links"
    for name, data in requirements(small).items():
        if name.endswith((".txt", ".lock", ".json")):
            for trace in (PASSWORD, USER, "127.0.0.1", "://", "find-links", "trusted-host", "index-url", str(tmp_path)):
                assert trace not in data.decode(), name
    assert PASSWORD not in result.stdout


# Checking


@pytest.mark.slow
def test_check_says_what_is_wrong_and_changes_nothing(small: Project) -> None:
    assert lock(small, "check").stdout.endswith("lock: the locks are what the service asks for.\n")
    whole = requirements(small)

    def complaint(name: str, old: str, new: str) -> str:
        text = whole[name].decode()
        assert old in text
        write(small, name, text.replace(old, new))
        before = requirements(small)
        result = lock(small, "check", check=False)
        assert result.returncode == 1
        assert requirements(small) == before
        write(small, name, text)
        return result.stdout.splitlines()[-1]

    assert complaint("prod.in", "layer-beta\n", "") == (
        "lock: requirements/prod.txt is stale: it still has layer-beta==2.0; run `make lock`."
    )
    assert complaint("dev.in", "layer-gamma", "layer-beta") == (
        "lock: requirements/dev.txt is stale: it lacks layer-beta==2.0, still has layer-alpha==1.1, "
        "still has layer-gamma==3.0; run `make lock`."
    )
    assert complaint("prod.txt", "layer-alpha==1.1", "layer-alpha==1.0") == (
        "lock: checking the hashes failed: layer-alpha==1.0 does not match its hashes."
    )
    assert complaint("dev.txt", "layer-gamma==3.0", "layer-gamma==3.1") == (
        "lock: checking the hashes failed: No matching distribution found for layer-gamma==3.1."
    )
    assert complaint("prod.txt", "layer-beta==2.0", "layer-alpha==1.0") == (
        "lock: requirements/prod.txt pins layer-alpha twice; restore it, or delete it and run `make lock`."
    )
    assert complaint("prod.txt", re.findall(r"sha256:\w+", whole["prod.txt"].decode())[-1], "sha256:" + "0" * 64) == (
        "lock: checking the hashes failed: layer-beta==2.0 does not match its hashes."
    )
    assert complaint("tools.in", "pip-tools", "").endswith("; run `make upgrade`.")


@pytest.mark.parametrize("manager", ["pip-tools", "pipenv"])
def test_a_file_for_another_python_is_named(bake: Bake, manager: str) -> None:
    project = bake(dependency_manager=manager)
    tool = module(project.path / "tools" / "lock.py")
    tool.check_python()
    names = ["Dockerfile", "Makefile", "pyproject.toml", *(["Pipfile"] if manager == "pipenv" else [])]
    for name in names:
        text = project.read(name)
        lines = [line for line in text.splitlines() if HERE in line and f"Python {HERE}" not in line]
        assert lines, name
        for line in lines:
            (project.path / name).write_text(text.replace(line, line.replace(HERE, "3.99")), encoding="utf-8")
            with pytest.raises(
                tool.LockError, match=rf"{name} is for Python 3.99, the locks are for {HERE}; .*make update ARGS"
            ):
                tool.check_python()
        (project.path / name).write_text(text, encoding="utf-8")
    others = [
        ("Dockerfile", f"FROM python:{HERE}-slim", "FROM mirror.example/base/python:3.99-slim"),
        ("Dockerfile", f"FROM python:{HERE}-slim", "FROM --platform=linux/amd64 python:3.99-slim"),
        ("Dockerfile", f"FROM python:{HERE}-slim", f"FROM python:3.99-slim@sha256:{'0' * 64}"),
        ("pyproject.toml", f'requires-python = "=={HERE}.*"', 'requires-python = ">=3.99,<4"'),
    ]
    for name, ours, other in others:
        text = project.read(name)
        assert ours in text
        (project.path / name).write_text(text.replace(ours, other), encoding="utf-8")
        with pytest.raises(tool.LockError, match=rf"{name} is for Python 3.99"):
            tool.check_python()
        (project.path / name).write_text(text, encoding="utf-8")
    with (project.path / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("""# tomli>=2; python_version < '3.99'\n""")  # says nothing of the service
    tool.check_python()


@pytest.mark.parametrize("packages", [[], [""], ["click", "a b c!"]])
def test_a_bump_without_names_is_told_how_it_is_called(bake: Bake, packages: list[str]) -> None:
    result = lock(bake(), "bump", "--packages", *packages, check=False)
    assert result.returncode == 2
    assert result.stdout == 'lock: bump moves the packages that are named: make bump PACKAGE="pandas urllib3"\n'


def test_a_bump_that_moves_nothing_says_so(bake: Bake, capsys: pytest.CaptureFixture[str]) -> None:
    tool = module(bake().path / "tools" / "lock.py")
    tool.report_changes(tool.pinned(), ["bump"])
    assert capsys.readouterr().err == "lock: the newest releases that fit are locked already.\n"


def test_enough_bytes_changed_call_for_a_new_baseline(bake: Bake, capsys: pytest.CaptureFixture[str]) -> None:
    project = bake()
    tool = module(project.path / "tools" / "lock.py")
    lines = "".join(f"p{n}==1 ; sys_platform == 'linux' \\\n    --hash=sha256:aa\n" for n in range(8))
    write(project, "layers/baseline.lock", tool.layers.write_shared(tool.parse(lines, "prod.txt")))
    write(project, "layers/sizes.json", json.dumps({f"p{n}==1": 10 for n in range(1, 8)} | {"p0==1": 120}))
    most = re.sub(r"p([1-7])==1", r"p\1==2", lines)
    write(project, "prod.txt", most)
    tool.report_changes({}, [])
    assert capsys.readouterr().err == ""  # seven of eight, 70 bytes of 190
    write(project, "prod.txt", most.replace("p0==1", "q==1"))
    tool.report_changes({}, [])
    assert (
        "100% of the small packages has changed since their layers were made; run `make rebaseline`."
        in capsys.readouterr().err
    )


# The Python that compiles


@pytest.mark.slow
def test_a_tools_venv_whose_python_is_gone_is_made_anew(small: Project) -> None:
    python = next((small.path / ".cache").glob("tools-*/bin/python"))
    python.unlink()
    python.symlink_to("/nowhere/python")
    before = requirements(small)
    assert "making a venv" in lock(small, "compile").stdout
    assert "making a venv" not in lock(small, "compile").stdout
    assert requirements(small) == before


@pytest.mark.slow
def test_it_compiles_when_the_running_python_was_made_by_uv_without_pip(small: Project, tmp_path: Path) -> None:
    shutil.rmtree(small.path / ".cache")
    subprocess.run([sys.executable, "-m", "uv", "venv", str(tmp_path / "bare")], check=True, capture_output=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    assert subprocess.run([python, "-c", "import pip"], capture_output=True, check=False).returncode == 1
    path = path_with(tmp_path / "bin")
    before = requirements(small)
    result = small.run(python, "tools/lock.py", "compile", LAYERCAKE_LOCK="require", PATH=path)
    assert "making a venv" in result.stdout
    assert requirements(small) == before


@pytest.mark.slow
def test_a_python_that_cannot_make_venvs_leaves_it_to_another(small: Project, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "poor")], check=True)
    site = next((tmp_path / "poor").glob("lib/python*/site-packages"))
    (site / "poor.pth").write_text("import sys; sys.modules['ensurepip'] = None\n", encoding="utf-8")
    python = str(tmp_path / "poor" / "bin" / "python")
    alone = path_with(tmp_path / "alone", python3=None)
    result = small.run(python, "tools/lock.py", "compile", check=False, LAYERCAKE_LOCK="require", PATH=alone)
    assert "that can make virtual environments" in result.stdout
    path = path_with(tmp_path / "bin", **{f"python{HERE}": None, "python3": sys.executable})
    small.run(python, "tools/lock.py", "compile", LAYERCAKE_LOCK="require", PATH=path)


@pytest.mark.slow
def test_another_python_on_path_compiles_for_its_version(bake: Bake, tmp_path: Path) -> None:
    found = next((v for v in CHOICES["python_version"] if v != HERE and interpreter(v)), None)
    if found is None:
        pytest.skip("no second Python of the choices is on this machine")
    project = bake(python_version=found)
    before = requirements(project)
    path = path_with(tmp_path / "bin", **{f"python{found}": interpreter(found), "python3": sys.executable})
    result = lock(project, "compile", "rebaseline", PATH=path)
    assert f"making a venv with Python {found}" in result.stdout
    assert requirements(project) == before


@pytest.mark.slow
def test_an_old_python_can_still_ask_another(small: Project, tmp_path: Path) -> None:
    old = interpreter("3.9")
    if old is None:
        pytest.skip("no Python 3.9 is on this machine")
    write(small, "prod.in", "layer-delta\n")
    path = path_with(tmp_path / "bin", **{f"python{HERE}": sys.executable})
    small.run(old, "tools/lock.py", "compile", LAYERCAKE_LOCK="require", PATH=path)
    assert pins(small) == {"layer-alpha==1.0", "layer-delta==4.0"}


@pytest.mark.slow
def test_surroundings_make_no_difference(small: Project, tmp_path: Path) -> None:
    shutil.rmtree(small.path / ".cache")
    project = Project(small.path.rename(tmp_path / "mon projét & ünïcode"))
    rubbish = tmp_path / "rubbish"
    for name in ("pip", "piptools", "click"):
        (rubbish / name).mkdir(parents=True)
        (rubbish / name / "__init__.py").write_text("raise SystemExit('rubbish')\n", encoding="utf-8")
    with (project.path / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write('\n[tool.pip-tools]\ngenerate-hashes = false\nindex-url = "http://127.0.0.1:9/simple"\n')
    write(project, "prod.in", "# for Windows\r\nlayer-alpha\r\nlayer-beta\r\n")
    write(project, "dev.in", "-c prod.txt\r\nlayer-gamma\r\n")
    before = requirements(project)
    for name in ("prod.txt", "dev.txt"):
        write(project, name, "")
        (project.path / "requirements" / name).chmod(0o644)
    limits, conf = tmp_path / "limits.txt", tmp_path / "pip.conf"
    limits.write_text("layer-alpha<1.1\n", encoding="utf-8")
    conf.write_text(f"[global]\ntarget = {tmp_path}/target\nprefix = {tmp_path}/prefix\nno-binary = :all:\n", "utf-8")
    settings: dict[str, Any] = {
        "PIP_CONFIG_FILE": str(conf), "PIP_CONSTRAINT": str(limits), "UV_RESOLUTION": "lowest", "UV_CONSTRAINT": str(limits),
        "UV_NO_BINARY": "1", "UV_OVERRIDE": str(limits), "HOME": "/proc",
        "PIP_USER": "1", "PIP_REQUIRE_VIRTUALENV": "1", "PIP_TARGET": str(tmp_path / "target"), "PIP_DRY_RUN": "1",
        "PIP_PREFIX": str(tmp_path / "prefix"), "PIP_REQUIRE_HASHES": "1", "PIP_QUIET": "3", "PIP_PYTHON": "/nowhere",
        "PYTHONPATH": str(rubbish),
    }  # fmt: skip
    command = ["sh", "-c", 'umask 077 && exec "$0" tools/lock.py compile', sys.executable]
    said = project.run(*command, LAYERCAKE_LOCK="require", **settings).stdout
    assert "the constraints of pip count for no lock; limit versions in requirements/prod.in" in said
    assert requirements(project) == before
    assert {
        stat.S_IMODE((project.path / "requirements" / name).stat().st_mode) for name in ("prod.txt", "dev.txt")
    } == {0o644}
    assert not (tmp_path / "target").exists()
    assert not (tmp_path / "prefix").exists()


# Docker


@pytest.fixture
def docker_only(bake: Bake, tmp_path: Path) -> tuple[Project, str]:
    """A project for a Python that only a base image has, and a PATH without it."""
    docker = shutil.which("docker")
    found = next((v for v in CHOICES["python_version"] if v != HERE and has_image(v)), None)
    assert docker is not None
    assert found is not None, "no base image for another Python than this one"
    return bake(python_version=found), path_with(tmp_path / "bin", docker=docker)


@pytest.mark.docker
@pytest.mark.slow
def test_docker_compiles_when_the_right_python_is_not_here(docker_only: tuple[Project, str]) -> None:
    project, path = docker_only
    write(project, "prod.in", project.read("requirements/prod.in") + "six\n")
    for name in ("prod.txt", "dev.txt"):
        (project.path / "requirements" / name).chmod(0o640)
    byhand = shutil.copytree(project.path, project.path.with_name("by-hand"))
    result = lock(project, "compile", PATH=path)
    assert "compiling in Docker" in result.stdout
    assert any(pin.startswith("six==") for pin in pins(project))
    for name in ("prod.txt", "dev.txt"):
        found = (project.path / "requirements" / name).stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (os.getuid(), 0o640)
    Project(byhand).run("docker", "build", "--target", "lock", "--output", ".", ".")
    for name in ("prod.txt", "dev.txt", "tools.txt"):  # the layers are left to `make lock`
        assert (byhand / "requirements" / name).read_bytes() == (project.path / "requirements" / name).read_bytes()
    assert {path.stat().st_uid for path in (byhand / "requirements").iterdir()} == {os.getuid()}

    write(project, "prod.in", project.read("requirements/prod.in").replace("six\n", ""))
    before = requirements(project)
    result = lock(project, "check", check=False, PATH=path)
    assert result.returncode == 1
    assert re.search(
        r"lock: compiling in Docker failed: requirements/prod.txt is stale: it still has six==\S+; run `make lock`\.$",
        result.stdout,
    )
    assert requirements(project) == before


@pytest.mark.docker
@pytest.mark.slow
def test_two_patch_releases_of_python_make_the_same_lock(bake: Bake, tmp_path: Path) -> None:
    """Of the Pythons that are tested, 3.11 has releases that need another set: redis takes async-timeout below 3.11.3."""
    if not has_image(HERE):
        pytest.skip(f"the engine has no python:{HERE}-slim")
    project = bake(background_jobs="celery", database="postgresql")
    write(project, "prod.in", project.read("requirements/prod.in") + "six\n")
    there = Project(shutil.copytree(project.path, tmp_path / "there"))
    lock(project, "compile")
    there.run("docker", "build", "--target", "lock", "--output", ".", ".")
    for name in ("prod.txt", "dev.txt"):
        assert there.read(f"requirements/{name}") == project.read(f"requirements/{name}")
    if HERE == "3.11":
        assert "async-timeout==" in project.read("requirements/prod.txt")


@pytest.mark.docker
@pytest.mark.slow
def test_docker_asks_the_index_that_pip_asks_here(docker_only: tuple[Project, str], tmp_path: Path) -> None:
    project, path = docker_only
    conf = tmp_path / "pip.conf"
    conf.write_text(f"[global]\nindex-url = http://{USER}:{PASSWORD}@127.0.0.1:9/simple\n", encoding="utf-8")
    before = requirements(project)
    result = lock(project, "compile", check=False, PATH=path, PIP_CONFIG_FILE=str(conf))
    assert result.returncode == 1
    assert "Connection refused" in result.stdout
    assert PASSWORD not in result.stdout
    assert requirements(project) == before

"""Projects of uv, Poetry and Pipenv: real managers lock, add, remove, upgrade, check and are switched."""

import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from pip._internal.models.index import PyPI

from layercake import locks
from tests.conftest import Bake, install_tools
from tests.locking import lock, module, pins, requirements, write
from tests.package_index import PASSWORD, TOKEN, USER, PackageIndex
from tests.support import CHOICES, HERE, ROOT, Person, Project, Template, git, has_image, one_of, tool
from tests.wheels import Wheel

NATIVE = {"uv": "uv.lock", "poetry": "poetry.lock", "pipenv": "Pipfile.lock"}
OLD = {
    "prod.txt": "layer-alpha==1.0 \\\n    --hash=sha256:00\nlayer-beta==2.0 \\\n    --hash=sha256:00\n",
    "dev.txt": "layer-alpha==1.0 \\\n    --hash=sha256:00\nlayer-gamma==3.0 \\\n    --hash=sha256:00\n",
}
"""What was pinned before: a newer alpha exists."""


def manifest(project: Project) -> Path:
    return project.path / ("Pipfile" if (project.path / "Pipfile").exists() else "pyproject.toml")


def ask_for(project: Project, prod: list[str], dev: list[str]) -> None:
    """Let a project ask for these packages and no others, by an edit of its manifest."""
    text = manifest(project).read_text(encoding="utf-8")
    for wanted, array, table in ((prod, "dependencies", "packages"), (dev, "dev", "dev-packages")):
        listed = "".join(f'  "{name}",\n' for name in wanted)
        text = re.sub(rf"(?ms)^{array} = \[.*?^\]", f"{array} = [\n{listed}]", text, count=1)
        split = (re.fullmatch(r"([\w-]+)(.*)", name) for name in wanted)
        entries = "".join(f'{found[1]} = "{found[2] or "*"}"\n' for found in split if found)
        text = re.sub(rf"(?ms)^\[{table}\]\n.*?\n\n", f"[{table}]\n{entries}\n", text, count=1)
    manifest(project).write_text(text, encoding="utf-8")


def name_index(project: Project, url: str) -> None:
    """Name the package index the way that Poetry or Pipenv wants it; for the password there are variables."""
    poetry = f'\n[[tool.poetry.source]]\nname = "index"\nurl = "{url}"\n'
    with_login = url.replace("://", "://${LOGIN}:${SECRET}@")
    pipenv = f'\n[[source]]\nname = "index"\nurl = "{with_login}"\nverify_ssl = false\n'
    with manifest(project).open("a", encoding="utf-8") as file:
        file.write(pipenv if manifest(project).name == "Pipfile" else poetry)


def use_index(
    project: Project, manager: str, index: PackageIndex, monkeypatch: pytest.MonkeyPatch, path: str = "simple"
) -> None:
    """Let a native manager ask an index with a password, each in its own way."""
    if manager != "uv":
        name_index(project, index.url(path).replace(f"{USER}:{PASSWORD}@", ""))
    settings = {
        "UV_DEFAULT_INDEX": index.url(path), "LOGIN": USER, "SECRET": PASSWORD,
        "POETRY_HTTP_BASIC_INDEX_USERNAME": USER, "POETRY_HTTP_BASIC_INDEX_PASSWORD": PASSWORD,
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=NATIVE)
def manager(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def small_native(
    bake: Bake, shared: Path, index: PackageIndex, manager: str, no_pip_settings: None, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A project that asks for tiny packages from an index with a password. It has pins, but no native lock yet."""
    project = bake(dependency_manager=manager)
    install_tools(project, shared, manager)
    ask_for(project, ["layer-alpha", "layer-beta"], ["layer-gamma"])
    write(project, "layers/baseline.names", "layer-alpha\nlayer-beta\n")
    for name, text in OLD.items():
        write(project, name, text)
    use_index(project, manager, index, monkeypatch)
    return project


def everything(project: Project) -> dict[str, bytes]:
    """Return every lock and manifest of a project."""
    found = {str(path): path.read_bytes() for name in NATIVE.values() if (path := project.path / name).exists()}
    return requirements(project) | found | {"manifest": manifest(project).read_bytes()}


def native(project: Project, *arguments: str) -> None:
    """Run a command of the project's dependency manager, as its users do."""
    name = module(project.path / "tools" / "manager.py").MODULE
    site = next((project.path / ".cache").glob(f"tools-*/lib/*/site-packages/{name}"))  # another one has uv alone
    python = site.parents[3] / "bin" / "python"
    settings = {"POETRY_VIRTUALENVS_CREATE": "false", "VIRTUAL_ENV": str(python.parent.parent)}
    project.run("env", *(f"{key}={value}" for key, value in settings.items()), python, "-I", "-m", name, *arguments)


ADD = {
    "uv": ("add", "--no-sync", "layer-delta"),
    "poetry": ("add", "--lock", "layer-delta"),
    "pipenv": ("upgrade", "layer-delta"),
}
REMOVE = {
    "uv": ("remove", "--no-sync", "layer-delta"),
    "poetry": ("remove", "--lock", "layer-delta"),
    "pipenv": ("uninstall", "layer-delta"),
}


MISLEADING: dict[str, Any] = {
    "UV_NO_DEV": "1", "UV_NO_GROUP": "dev", "UV_NO_DEFAULT_GROUPS": "1", "UV_FROZEN": "1", "UV_RESOLUTION": "lowest",
    "UV_PYTHON": "/nowhere", "UV_PROJECT": "/nowhere", "UV_NO_SOURCES": "1", "UV_PROJECT_ENVIRONMENT": "/nowhere",
    "POETRY_VIRTUALENVS_CREATE": "true", "POETRY_VIRTUALENVS_PATH": "/nowhere", "POETRY_INSTALLER_NO_BINARY": ":all:",
    "PIPENV_PIPFILE": "/nowhere/Pipfile", "PIPENV_SKIP_LOCK": "1", "PIPENV_PYTHON": "2.7", "PIPENV_QUIET": "1",
    "PIPENV_CUSTOM_VENV_NAME": "other", "PIP_PREFIX": "/nowhere", "PIP_CONSTRAINT": "/nowhere",
}  # fmt: skip
"""Settings of a person that have nothing to do with where packages come from."""


@pytest.mark.slow
@pytest.mark.parametrize("manager", one_of(NATIVE, "uv"))
def test_packages_come_and_go_and_the_other_pins_stay(small_native: Project, manager: str) -> None:
    project = small_native
    said = lock(project, "compile", "rebaseline", **MISLEADING).stdout
    assert PASSWORD not in said
    assert pins(project) == pins(project, "layers/baseline.lock") == {"layer-alpha==1.0", "layer-beta==2.0"}
    assert pins(project, "dev.txt") == {"layer-alpha==1.0", "layer-gamma==3.0"}
    for name in ("prod.txt", "dev.txt"):
        text = project.read(f"requirements/{name}")
        assert text.startswith(f"# What {NATIVE[manager]} pins, for Python {HERE} on Linux. Written by: make lock\n")
        assert all(
            re.fullmatch(r"\S+ \\\n    --hash=sha256:[0-9a-f]{64}", pin) for pin in text.strip().split("\nl")[1:]
        )
    assert PASSWORD not in project.read(NATIVE[manager])
    before = everything(project)
    lock(project, "compile", "rebaseline")
    assert everything(project) == before

    native(project, *ADD[manager])
    lock(project, "compile")
    assert pins(project) == {"layer-alpha==1.0", "layer-beta==2.0", "layer-delta==4.0"}
    native(project, *REMOVE[manager])
    lock(project, "compile")
    assert pins(project) == {"layer-alpha==1.0", "layer-beta==2.0"}
    assert lock(project, "check").stdout.endswith("lock: the locks are what the service asks for.\n")

    write(project, "tools.in", "uv\n")  # the rest would take long
    lock(project, "upgrade", "rebaseline")
    assert pins(project) == pins(project, "layers/baseline.lock") == {"layer-alpha==1.1", "layer-beta==2.0"}
    assert {pin.split("==")[0] for pin in pins(project, "tools.txt")} == {"uv"}


@pytest.mark.slow
@pytest.mark.parametrize("manager", one_of(NATIVE, "uv"))
def test_check_fails_when_manifest_native_lock_and_artifact_disagree(small_native: Project, manager: str) -> None:
    project, own = small_native, NATIVE[manager]

    def complaint() -> str:
        before = everything(project)
        result = lock(project, "check", check=False)
        assert result.returncode == 1, result.stdout
        assert everything(project) == before
        return result.stdout.splitlines()[-1]

    assert complaint() == f"lock: {own} is missing; run `make lock`."
    lock(project, "compile")
    whole = project.read("requirements/prod.txt")
    write(project, "prod.txt", whole.replace("layer-alpha==1.0", "layer-alpha==1.1"))
    assert complaint() == (
        "lock: requirements/prod.txt is stale: it lacks layer-alpha==1.0, still has layer-alpha==1.1; run `make lock`."
    )
    (project.path / "requirements" / "prod.txt").unlink()
    assert complaint() == (
        "lock: requirements/prod.txt is stale: it lacks layer-alpha==1.0, lacks layer-beta==2.0; run `make lock`."
    )
    write(project, "prod.txt", whole)
    ask_for(project, ["layer-alpha"], ["layer-gamma"])
    assert complaint() == f"lock: {own} is stale: it is not what {manifest(project).name} asks for; run `make lock`."

    # An edit by hand is locked with the pins there are, and one that cannot be leaves everything as it was.
    lock(project, "compile")
    assert pins(project) == {"layer-alpha==1.0"}
    ask_for(project, ["layer-nowhere"], ["layer-gamma"])
    before = everything(project)
    result = lock(project, "compile", check=False)
    assert result.returncode == 1
    assert everything(project) == before
    last = result.stdout.splitlines()[-1]
    assert "layer-nowhere" in last
    assert last.endswith("; every lock is as it was.")


def test_a_native_lock_is_published_with_the_others_or_not_at_all(bake: Bake) -> None:
    project = bake(dependency_manager="uv")
    tool = module(project.path / "tools" / "lock.py")
    (project.path / "uv.lock").write_text("old\n", encoding="utf-8")
    before = everything(project)
    broken = {"requirements/prod.txt": "new==1\n", "uv.lock": "new\n", "no/where/prod.txt": "new==1\n"}
    with pytest.raises(OSError, match="no/where"):
        tool.publish(broken)
    assert everything(project) == before
    tool.publish({"requirements/prod.txt": "new==1\n", "uv.lock": "new\n"})
    assert (project.read("requirements/prod.txt"), project.read("uv.lock")) == ("new==1\n", "new\n")


def test_a_native_lock_with_a_credential_is_refused(bake: Bake, tmp_path: Path) -> None:
    tool = module(bake(dependency_manager="pipenv").path / "tools" / "lock.py")
    path = tmp_path / "Pipfile.lock"
    path.write_text('{"url": "https://${LOGIN}:${SECRET}@index.example/simple"}\n', encoding="utf-8")
    tool.verified(path)
    for login in ("user:word", "${LOGIN}:word", "user:${SECRET}", f"user:{'word' * 50}"):
        path.write_text(f'{{"url": "https://{login}@index.example/simple"}}\n', encoding="utf-8")
        with pytest.raises(tool.LockError, match=r"Pipfile\.lock would hold .* a credential") as refused:
            tool.verified(path)
        assert "word" not in str(refused.value)


@pytest.mark.parametrize(
    ("manager", "variable"),
    [("uv", "UV_DEFAULT_INDEX"), ("poetry", "POETRY_HTTP_BASIC_OURS_PASSWORD"), ("pipenv", "PIPENV_PYPI_MIRROR")],
)
def test_docker_does_not_lock_without_an_index_that_only_this_machine_knows(
    bake: Bake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manager: str, variable: str
) -> None:
    tool = module(bake(dependency_manager=manager).path / "tools" / "lock.py")
    monkeypatch.setenv(variable, "https://user:word@index.example/simple")
    with pytest.raises(tool.LockError, match=rf"not know {variable}; install"):
        tool.run_in_docker(tmp_path, "compile")


def test_what_a_pipfile_cannot_say_is_refused() -> None:
    assert locks.pipfile_entry("flask") == 'flask = "*"'
    assert locks.pipfile_entry("flask[async]>=3,<4") == 'flask = {extras = ["async"], version = ">=3,<4"}'
    for requirement in ("flask; python_version > '3'", "flask @ https://host/flask.whl"):
        with pytest.raises(ValueError, match="into a Pipfile"):
            locks.pipfile_entry(requirement)


def test_a_wheel_in_the_project_is_pinned_like_any_other_package(bake: Bake, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = "requirements/wheels/some_package-1.2.3-py3-none-any.whl"
    pinned = "\nsome-package==1.2.3 \\\n    --hash=sha256:aa\n"
    tools = bake(dependency_manager="uv").path / "tools"
    monkeypatch.syspath_prepend(tools)
    uv = module(tools / "manager.py")
    exported = (
        f"./{wheel} \\\n    --hash=sha256:aa\ncolorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash=sha256:bb\n"
    )
    assert uv.settle(exported) == uv.HEADER.format(*sys.version_info).strip() + pinned
    pipenv = module(bake(dependency_manager="pipenv").path / "tools" / "manager.py")
    locked = {"some-package": {"file": wheel, "hashes": ["sha256:aa"]}}
    locked["colorama"] = {"version": "==0.4.6", "markers": "sys_platform == 'win32'"}
    assert pipenv.requirements(locked, "") == pipenv.HEADER.format(*sys.version_info).strip() + pinned


@pytest.mark.slow
@pytest.mark.parametrize("manager", ["uv"])  # the others ask no index but those of their manifests
def test_a_token_in_the_path_of_an_index_gets_into_no_lock(small_native: Project, index: PackageIndex) -> None:
    project, before = small_native, everything(small_native)
    said = lock(project, "compile", check=False, UV_DEFAULT_INDEX=index.url(f"{TOKEN}/simple")).stdout
    assert "uv.lock would hold a secret of a package index: " in said
    assert "/****/simple" in said
    assert TOKEN not in said
    assert everything(project) == before


OURS = {
    "pip-tools": (r"\A", "ours==1.0\n"),
    "uv": (r"(?m)^dependencies = \[$", '\\g<0>\n  "ours==1.0",'),
    "poetry": (r"(?m)^dependencies = \[$", '\\g<0>\n  "ours==1.0",'),
    "pipenv": (r"(?m)^\[packages\]$", '\\g<0>\nours = {{ file = "requirements/wheels/{}" }}'),
}
"""Where the manifest asks for a wheel of one's own, as the documents of a project say."""


@pytest.mark.slow
@pytest.mark.parametrize("manager", CHOICES["dependency_manager"])
def test_a_wheel_of_the_project_that_was_built_anew_is_locked_anew(
    bake: Bake, shared: Path, index: PackageIndex, manager: str, no_pip_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = bake(dependency_manager=manager)
    install_tools(project, shared, manager)
    file = Wheel("ours", "1.0", {}).file
    asked = project.path / "requirements/prod.in" if manager == "pip-tools" else manifest(project)
    if manager == "pip-tools":
        monkeypatch.setenv("PIP_INDEX_URL", index.url())
        write(project, "prod.in", "layer-alpha\n")
        write(project, "dev.in", "-c prod.txt\n")
    else:
        ask_for(project, ["layer-alpha"], [])
        use_index(project, manager, index, monkeypatch)
    where, line = OURS[manager]
    text = re.sub(where, line.format(file), asked.read_text(encoding="utf-8"), count=1)
    table = {"uv": "[tool.uv.sources]", "poetry": "[tool.poetry.dependencies]"}.get(manager)
    text += f'\n{table}\nours = {{ path = "requirements/wheels/{file}" }}\n' if table else ""
    asked.write_text(text, encoding="utf-8")
    for name in ("prod.txt", "dev.txt"):
        write(project, name, "")
    (project.path / "requirements/wheels").mkdir()
    for number in range(2):
        data = Wheel("ours", "1.0", {"ours.py": f"number = {number}\n".encode()}).pack()
        (project.path / "requirements/wheels" / file).write_bytes(data)
        if number:
            said = lock(project, "check", check=False).stdout
            assert said == f"lock: the locks have another hash than requirements/wheels/{file}; run `make lock`.\n"
        lock(project, "compile")
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert re.search(rf"(?m)^ours==1.0 \\\n +--hash={digest}$", project.read("requirements/prod.txt"))
        assert manager == "pip-tools" or digest in project.read(NATIVE[manager])
    lock(project, "check")


BY_URL = {"uv": ("add", "--no-sync"), "poetry": ("add", "--lock"), "pipenv": ("upgrade",)}


@pytest.mark.slow
def test_a_package_that_comes_by_url_is_locked_with_it(
    small_native: Project, index: PackageIndex, manager: str
) -> None:
    lock(small_native, "compile", "rebaseline")
    url = index.url("open/layer_heavy-5.0-py3-none-any.whl").replace(f"{USER}:{PASSWORD}@", "")
    native(small_native, *BY_URL[manager], url)
    lock(small_native, "compile")
    assert re.search(
        rf"(?m)^layer-heavy ?@ ?{url} \\\n    --hash=sha256:\w+$", small_native.read("requirements/prod.txt")
    )
    assert (small_native.path / "requirements/layers/layer-heavy.lock").exists()
    lock(small_native, "check")


@pytest.mark.slow
def test_where_pip_needs_a_proxy_every_manager_asks_through_it(
    small_native: Project, index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = f"127.0.0.1:{index.server_port}"
    text = manifest(small_native).read_text(encoding="utf-8")
    manifest(small_native).write_text(text.replace(here, "index.example"), encoding="utf-8")
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url().replace(here, "index.example"))
    lock(small_native, "compile", PIP_PROXY=f"http://{here}", NO_PROXY="*")
    assert pins(small_native) == {"layer-alpha==1.0", "layer-beta==2.0"}


# Switching, as docs/managers.md tells it

SIX = """\
six==1.16.0 \\
    --hash=sha256:1e61c37477a1626458e36f7b1d82aa5c9b094fa4802892072e49de9c60c4c926 \\
    --hash=sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254
"""


@pytest.mark.thorough
def test_switching_keeps_every_pin_and_what_people_added(
    person: Person, template: Template, tmp_path: Path, shared: Path
) -> None:
    created = person.run(
        tool("cruft"), "create", template.path, "--no-input", "--extra-context", json.dumps({"python_version": HERE})
    )
    assert created.returncode == 0, created.stdout
    project = Project(person.work / "flask-service")
    git(project.path, "init", "--quiet")
    write(project, "prod.in", project.read("requirements/prod.in") + "six\n")
    write(project, "prod.txt", project.read("requirements/prod.txt") + SIX)  # there are newer ones
    lock(project, "rebaseline", LAYERCAKE_LOCK="skip")
    expected = {name: pins(project, name) for name in ("prod.txt", "dev.txt", "layers/baseline.lock")}
    before = "pip-tools"
    for manager in (*NATIVE, "pip-tools"):
        git(project.path, "add", "--all")
        git(project.path, "commit", "--quiet", "--message", f"with {before}")
        arguments = (f"--set=dependency_manager={manager}", "--no-lock", "--no-test")
        command = (sys.executable, "-m", "layercake", "update", *arguments)
        updated = project.run(*command, check=False, PYTHONPATH=str(ROOT))
        assert updated.returncode < 2, updated.stdout  # 1: a manifest that people have changed is in conflict
        for name in {"pip-tools": ("requirements/prod.in", "requirements/dev.in"), "pipenv": ("Pipfile",)}.get(
            before, ()
        ):
            (project.path / name).unlink(missing_ok=True)
        (project.path / NATIVE.get(before, "nothing")).unlink(missing_ok=True)
        carry_over(project, manager)
        lock(project, "compile", timeout=1200)
        assert {name: pins(project, name) for name in expected} == expected, manager
        assert (project.path / NATIVE.get(manager, "Makefile")).exists()
        before = manager
    lock(project, "check")


def carry_over(project: Project, manager: str) -> None:
    """Write down what people have added in the manifest of the new dependency manager, where it is not there yet."""
    if "<<<<<<<" in project.read("pyproject.toml"):  # where a list that people have added to is to go
        git(project.path, "checkout", "--theirs", "pyproject.toml")
    if manager == "pip-tools":
        write(project, "prod.in", project.read("requirements/prod.in") + "six\n")
        return
    text = manifest(project).read_text(encoding="utf-8")
    if manager == "pipenv":
        text = text.replace("[packages]\n", '[packages]\nsix = "*"\n')
    elif '"six"' not in text:
        text = text.replace("dependencies = [\n", 'dependencies = [\n  "six",\n', 1)
    if manager == "poetry" and "tool.poetry.source" not in text:  # any index, not just one that speaks JSON
        text += '\n[[tool.poetry.source]]\nname = "index"\nurl = "' + PyPI.simple_url + '/"\n'
    manifest(project).write_text(text, encoding="utf-8")


@pytest.mark.docker
@pytest.mark.slow
def test_docker_locks_with_the_manager_of_the_project(bake: Bake, tmp_path: Path) -> None:
    found = next(v for v in CHOICES["python_version"] if v != HERE and has_image(v))
    project = bake(dependency_manager="uv", python_version=found)
    before = {name: pins(project, name) for name in ("prod.txt", "dev.txt")}
    text = (
        manifest(project).read_text(encoding="utf-8").replace("dependencies = [\n", 'dependencies = [\n  "six",\n', 1)
    )
    manifest(project).write_text(text, encoding="utf-8")
    project.run("docker", "build", "--target", "lock", "--output", ".", ".")
    assert {pin.split("==")[0] for pin in pins(project) - before["prod.txt"]} == {"six"}
    assert pins(project, "dev.txt") == before["dev.txt"]
    assert (project.path / "uv.lock").stat().st_uid == os.getuid()
    assert not (project.path / "pip.conf").exists()

"""Every command of the READMEs, carried out as a reader would: the template's and a generated project's."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import Bake
from tests.containers import PYTHON
from tests.support import HERE, Project, Template, tool

pytestmark = pytest.mark.slow

FEW = "-k 'rendering_twice or greeting'"
"""Tests of the template and of a service that stand for all of them: others run the rest."""
SERVES = re.compile(r"make (run|up)$|docker run ")
DOCKER = re.compile(r"make (up|build|smoke|cache-check)$|docker |DOCKER=1$")


def commands(readme: str) -> list[str]:
    """Return the lines of the README's `sh` blocks."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", readme, flags=re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines()]


@contextmanager
def port_8000(shared: Path) -> Iterator[None]:
    """The port that the READMEs name, for one test at a time."""
    with (shared / "port-8000.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def carry_out(project: Project, command: str, shared: Path) -> None:
    """Run a command to its end; one that serves is asked at http://localhost:8000 and then interrupted."""
    if not SERVES.match(command):
        project.run("sh", "-c", command)
        return
    log = project.path.parent / "serving.log"
    with port_8000(shared), log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            ["sh", "-c", command], cwd=project.path, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 180
            while True:
                try:
                    with urllib.request.urlopen("http://localhost:8000/livez", timeout=5) as response:
                        assert b"alive" in response.read()
                    break
                except OSError:
                    assert process.poll() is None, f"{command} ended:\n{log.read_text(encoding='utf-8')}"
                    assert time.monotonic() < deadline, f"{command}:\n{log.read_text(encoding='utf-8')}"
                    time.sleep(0.3)
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=60)


def test_the_readme_of_the_template(template: Template, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = Project(template.path)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    monkeypatch.setenv("PATH", f"{clone.path}/.venv/bin:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHON", sys.executable)
    monkeypatch.setenv("PYTEST_ADDOPTS", FEW)
    monkeypatch.delenv("LAYERCAKE_LOCK")
    place = clone
    for command in commands(clone.read("README.md")):
        if command.startswith(".venv/bin/python -m layercake"):
            place = clone
        if command.startswith("cd "):
            place = Project(place.path / command.removeprefix("cd "))
        elif command == "cookiecutter gh:org/template":
            clone.run("cookiecutter", "--no-input", str(clone.path), f"python_version={HERE}")
        else:
            carry_out(place, command, shared)
    assert place == clone
    assert (clone.path / "flask-service").is_dir()


@pytest.mark.parametrize(
    "needs_docker", [False, pytest.param(True, marks=pytest.mark.docker)], ids=["python", "docker"]
)
def test_the_readme_of_a_project(
    bake: Bake, template: Template, shared: Path, needs_docker: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    slug = f"readme-{uuid4().hex[:8]}"
    project = bake(project_slug=slug, package_name="flask_service", python_version=PYTHON if needs_docker else HERE)
    template.made(project)
    uvx = project.path.parent / "bin" / "uvx"
    uvx.parent.mkdir()
    uvx.symlink_to(tool("uvx"))
    monkeypatch.setenv("PATH", f"{uvx.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("LAYERCAKE_LOCK", "require")
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", slug)
    monkeypatch.setenv("PYTEST_ADDOPTS", FEW)
    for name in ("pip.conf", "uv.toml"):
        (project.path / name).write_text("# yours\n", encoding="utf-8")
    wanted = [line for line in commands(project.documents()) if bool(DOCKER.search(line)) == needs_docker]
    assert len(wanted) >= 5
    try:
        for command in wanted:
            carry_out(project, command, shared)
    finally:
        if needs_docker:
            project.run("docker", "compose", "down", "--rmi", "all", "--timeout", "1", check=False)
            images = project.run("docker", "images", "--quiet", slug).stdout.split()
            project.run("docker", "image", "rm", "--force", *images, check=False)

"""Commands of a generated project agree, on this machine and in Docker."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Bake
from tests.containers import ask, status
from tests.support import Project, once

pytestmark = pytest.mark.slow

UV = (sys.executable, "-m", "uv")


def installed(project: Project, shared: Path) -> Project:
    """Give a project the .venv that `make setup` would make."""

    def make(venv: Path) -> None:
        project.run(*UV, "venv", "--quiet", "--relocatable", "--python", sys.executable, venv)
        locks = ("requirements/prod.txt", "requirements/dev.txt")
        project.run(*UV, "pip", "sync", "--quiet", "--python", venv / "bin" / "python", "--require-hashes", *locks)

    options = re.findall(r"^(?:celery|psycopg|sqlalchemy)==", project.read("requirements/prod.txt"), re.MULTILINE)
    venv = once(shared / "-".join(["commands", *options]), make)
    (project.path / ".venv").symlink_to(venv)
    return project


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(project: Project, port: int, *command: str | Path, **env: str) -> Iterator[str]:
    """Run a command that serves at a port, and yield its address once it answers."""
    log = project.path.parent / "serving.log"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command,
            cwd=project.path,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | env,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    status(f"http://127.0.0.1:{port}/livez")
                    break
                except OSError:
                    assert process.poll() is None, log.read_text(encoding="utf-8")
                    assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def readiness(address: str) -> str:
    """Return what /readyz says, whether it is ready or not."""
    try:
        return ask(f"{address}/readyz")
    except urllib.error.HTTPError as error:
        return error.read().decode()


def test_every_command_reads_the_same_env_file_and_the_environment_wins(
    bake: Bake, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "PORT"):
        monkeypatch.delenv(name, raising=False)
    project = installed(bake(database="sqlite", background_jobs="celery"), shared)
    commands = project.path / ".venv" / "bin"
    port, other = free_port(), free_port()
    make = ("make", "--old-file", ".venv/installed")
    (project.path / ".env").write_text(
        f"APP_ENV=development\nDATABASE_URL='sqlite:///own$.db'\nREDIS_PORT=16379\nPORT={port}\nWEB_THREADS=7\n",
        encoding="utf-8",
    )
    first, *_ = sorted(path.name[:4] for path in project.path.glob("flask_service/migrations/versions/0*"))
    project.run(commands / "alembic", "upgrade", "head")
    assert project.run(commands / "alembic", "current").stdout.count(f"{first} (head)") == 1
    project.run(commands / "flask", "--app", "flask_service", "migrate")
    project.run(*make, "migrate")
    project.run(*make, "openapi")
    assert "localhost:16379/0" in project.run(
        commands / "celery", "--app", "flask_service.worker", "report"
    ).stdout  # fmt: skip
    for command in ((commands / "gunicorn",), (*make, "run")):
        with serving(project, port, *command) as address:
            assert "Not ready: redis." in readiness(address)
    with serving(project, other, *make, "run", PORT=str(other)) as address:
        assert "Not ready: redis." in readiness(address)
    assert [path.name for path in project.path.glob("*.db")] == ["own$.db"]
    project.run(commands / "alembic", "upgrade", "head", DATABASE_URL="sqlite:///other.db")
    assert (project.path / "other.db").exists()


@pytest.mark.skipif(not shutil.which("docker"), reason="no docker command to read compose.yaml with")
def test_containers_of_compose_read_the_env_file(bake: Bake) -> None:
    project = bake(database="postgresql", background_jobs="celery")
    (project.path / ".env").write_text(
        "LOG_LEVEL=DEBUG\nSENTRY='a$b#c'\nAPP_ENV=production\nDATABASE_URL=postgresql://elsewhere/x\n"
        "PORT=8123\nDATABASE_PORT=5499\nREDIS_PORT=6399\n", encoding="utf-8",
    )  # fmt: skip
    found = json.loads(project.run("docker", "compose", "config", "--format", "json").stdout)["services"]
    for name in ("web", "worker"):
        values = found[name]["environment"]
        assert values["LOG_LEVEL"] == "DEBUG"
        assert values["SENTRY"].replace("$$", "$") == "a$b#c"
        assert values["APP_ENV"] == "development"  # as `make run`
        assert values["DATABASE_URL"] == "postgresql://postgres:postgres@database:5432/postgres"
    published = {name: int(entry["published"]) for name in found for entry in found[name].get("ports", [])}
    assert published == {"web": 8123, "database": 5499, "redis": 6399}

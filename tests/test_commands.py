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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import Bake
from tests.containers import PYTHON, ask, status
from tests.support import WITHOUT_SETUP, Project, contents, installed, one_of

pytestmark = pytest.mark.slow

UV = (sys.executable, "-m", "uv")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(project: Project, port: int, *command: str | Path, **env: str) -> Iterator[str]:
    """Run a command that serves at a port, and yield its address once it answers. What it has started ends with it."""
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
            process.terminate()
            process.wait(timeout=60)
            deadline = time.monotonic() + 30
            with suppress(OSError):
                while status(f"http://127.0.0.1:{port}/livez"):
                    assert time.monotonic() < deadline, "it goes on"
                    time.sleep(0.2)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
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
    project = bake(database="sqlite", background_jobs="celery")
    installed(project, shared)
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


STRANGE = """
APP_ENV=development
APP_VERSION=strange
SECRET_KEY=another-key-of-0123456789-abcdefgh
LOG_LEVEL=ERROR
DATABASE_URL=postgresql://strange@127.0.0.1:2/strange
DATABASE_PORT=2
DATABASE_POOL_SIZE=1
DATABASE_POOL_TIMEOUT=0.01
DATABASE_CONNECT_TIMEOUT=2
DATABASE_STATEMENT_TIMEOUT=0.01
REDIS_URL=redis://127.0.0.1:2/7
REDIS_PORT=2
REDIS_TIMEOUT=0.01
JOB_TIMEOUT=1
JOB_CONCURRENCY=1
SENTRY_DSN=https://strange@127.0.0.1/1
MAX_CONTENT_LENGTH=1
MAX_FORM_MEMORY_SIZE=1
CONTENT_SECURITY_POLICY=default-src 'none'
HSTS_SECONDS=0
ALLOWED_HOSTS=strange.example
DOCS=0
SESSION_COOKIE_SECURE=1
TRUSTED_PROXIES=3
TRUSTED_PREFIX=1
SCRIPT_NAME=/strange
OTEL_TRACES_EXPORTER=console
PORT=2
WEB_CONCURRENCY=1
WEB_THREADS=1
WEB_QUEUE=0
REQUEST_TIMEOUT=1
DRAIN_SECONDS=0
FLASK_DEBUG=1
"""


@pytest.mark.parametrize(
    "options", [("none", "none", "none"), pytest.param(("postgresql", "celery", "sentry"), marks=pytest.mark.thorough)]
)
def test_no_setting_of_whoever_runs_the_tests_of_a_service_changes_them(
    bake: Bake, shared: Path, options: tuple[str, ...]
) -> None:
    project = bake(**dict(zip(("database", "background_jobs", "error_tracking"), options, strict=True)))
    installed(project, shared)
    settings = re.findall(r"(?m)^# ([A-Z_]+)=", project.read(".env.example"))
    strange = dict(line.split("=", 1) for line in STRANGE.split("\n") if line.partition("=")[0] in settings)
    assert strange.keys() == {*settings}, "a setting has no strange value"
    (project.path / ".env").write_text("".join(f"{name}={value}\n" for name, value in strange.items()), "utf-8")
    files = {f"{name}_FILE": "/nowhere" for name in strange}
    variables = [f"{name}={value}" for name, value in (strange | files).items()]
    project.run("env", *variables, *WITHOUT_SETUP, "test")


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


@pytest.fixture
def somebody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Who works, as `id` says: who runs the tests, or another one where that is root, who may do everything."""
    if os.geteuid():
        return os.geteuid()
    program = tmp_path / "bin" / "id"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 1234\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return 1234


def give(project: Project, user: int) -> Project:
    """Make somebody the owner of a project."""
    if os.geteuid() == 0:
        project.run("chown", "--recursive", f"{user}:{user}", ".")
    return project


@pytest.fixture
def compose_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let projects of one name be up side by side."""
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", f"layercake-test-{uuid4().hex[:8]}")


def choose_ports(project: Project) -> int:
    """Choose ports that nothing uses; return that of the service."""
    ports = {name: free_port() for name in ("PORT", "DATABASE_PORT", "REDIS_PORT")}
    (project.path / ".env").write_text("".join(f"{name}={port}\n" for name, port in ports.items()), encoding="utf-8")
    return ports["PORT"]


@contextmanager
def up(project: Project) -> Iterator[str]:
    """Run `make up`, until it is ready and takes changes; yield its address."""
    log, address = project.path.parent / "up.log", f"http://127.0.0.1:{choose_ports(project)}"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            ["make", "up"], cwd=project.path, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            wait_until(lambda: ready(address) and "Watch enabled" in log.read_text(errors="replace"), log)
            yield address
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # asked to end amid a change, it may wait without end
            process.wait()
            project.run("docker", "compose", "down", "--timeout", "1", "--rmi", "local", "--volumes")


def ready(address: str) -> bool:
    """Return whether a service answers, and is ready."""
    try:
        return status(f"{address}/readyz") == 200
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], log: Path) -> None:
    """Wait until something is so; when it never is, say what the log has."""
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.5)


AS_THE_JOBS = ("setpriv", "--reuid=10001", "--regid=10001", "--clear-groups")
LOOK = """
from sqlalchemy import inspect
from flask_service import create_app
from flask_service.core.database import engine
with create_app().app_context():
    print([column["name"] for column in inspect(engine()).get_columns("notes")])
"""
WRITE = """
from sqlalchemy import text
from flask_service import create_app
from flask_service.core.database import engine
with create_app().app_context(), engine().begin() as connection:
    connection.execute(text("INSERT INTO notes (text, colour) VALUES ('by a worker', 'red')"))
"""


@pytest.mark.docker
@pytest.mark.parametrize("database", one_of(["sqlite", "postgresql"], "postgresql"))
def test_a_migration_that_docker_alone_writes_arrives_in_what_is_up(
    bake: Bake, database: str, somebody: int, compose_of_its_own: None
) -> None:
    project = give(bake(database=database, background_jobs="celery", python_version=PYTHON), somebody)
    model = project.path / "flask_service" / "resources" / "notes.py"
    column = "    text: Mapped[str] = mapped_column(String(500))\n"

    def run(service: str, *command: str) -> str:
        return project.run("docker", "compose", "exec", "--no-TTY", service, *command, check=False).stdout

    with up(project) as address:
        assert "colour" not in run("web", "python", "-c", LOOK)
        text = model.read_text(encoding="utf-8")
        assert column in text
        model.write_text(text.replace(column, f"{column}    colour: Mapped[str | None]\n"), encoding="utf-8")
        project.run("make", "migration", "NAME=a colour", "DOCKER=1")
        (migration,) = project.path.glob("flask_service/migrations/versions/*_a_colour.py")
        assert migration.stat().st_uid == somebody
        log = project.path.parent / "up.log"
        wait_until(lambda: "colour" in run("web", "python", "-c", LOOK) and ready(address), log)
        wait_until(lambda: "colour" in run("worker", "grep", "-r", "colour", "flask_service/migrations"), log)
        processes = "cat /proc/[0-9]*/status | grep -E '^(Name|Uid)' | paste - - | grep celery | cut -f 4 | sort -u"
        assert run("worker", "sh", "-c", processes).split() == ["10001"]
        assert run("worker", *AS_THE_JOBS, "python", "-c", WRITE) == ""
        assert "by a worker" in ask(f"{address}/api/notes")


def test_no_migration_is_written_for_nothing_nor_one_that_fails_where_there_are_rows(bake: Bake, shared: Path) -> None:
    project = bake(database="sqlite")
    installed(project, shared)
    model = project.path / "flask_service" / "resources" / "notes.py"
    column, text = "    text: Mapped[str] = mapped_column(String(500))\n", model.read_text(encoding="utf-8")
    project.run(*WITHOUT_SETUP, "migrate")  # with all that leaves in the folder
    before = contents(project.path / "flask_service" / "migrations")
    for more, said in {
        "": "no table has changed: there is nothing to write",
        "    colour: Mapped[str]\n": "notes.colour: rows that are there have no value for it; give it a server_default",
    }.items():
        model.write_text(text.replace(column, column + more), encoding="utf-8")
        assert said in project.run(*WITHOUT_SETUP, "migration", "NAME=colour", check=False).stdout
        assert contents(project.path / "flask_service" / "migrations") == before
    column += '    colour: Mapped[str] = mapped_column(server_default="red")\n'
    model.write_text(text.replace(column.splitlines()[0] + "\n", column), encoding="utf-8")
    project.run(*WITHOUT_SETUP, "migration", "NAME=colour")
    project.run(*WITHOUT_SETUP, "migrate")


@pytest.mark.docker
def test_docker_alone_tests_lints_and_describes_a_service(bake: Bake, somebody: int, compose_of_its_own: None) -> None:
    project = give(bake(database="postgresql", background_jobs="celery", python_version=PYTHON), somebody)
    choose_ports(project)
    before = project.read("openapi.json")
    (project.path / "openapi.json").write_text("", encoding="utf-8")
    try:
        project.run("make", "openapi", "lint", "format", "DOCKER=1")
        assert project.read("openapi.json") == before
        tested = project.run("make", "test", "DOCKER=1").stdout
        assert re.search(r"=+ \d+ passed in ", tested), tested  # and none was skipped
    finally:
        project.run("docker", "compose", "down", "--timeout", "1", "--rmi", "local", "--volumes")
    assert {path.stat().st_uid for path in project.path.rglob("*")} <= {somebody, os.geteuid()}
    assert (project.path / ".mypy_cache").stat().st_uid == somebody
    assert not list(project.path.rglob("__pycache__"))


def test_a_server_that_does_not_answer_is_one_line_that_says_how_to_start_it(
    bake: Bake, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "APP_ENV"):
        monkeypatch.delenv(name, raising=False)
    project = bake(database="postgresql", background_jobs="celery")
    installed(project, shared)
    (project.path / ".env").write_text(f"DATABASE_PORT={free_port()}\nREDIS_PORT={free_port()}\n", encoding="utf-8")
    said = project.run(*WITHOUT_SETUP, "run", check=False).stdout
    command, error, *end = said.splitlines()
    assert "flask --app flask_service migrate" in command
    assert re.fullmatch(r"Error: .*refused; start it with: docker compose up --detach --wait database", error)
    assert len(end) == 1  # make's own
    found = project.run(
        ".venv/bin/flask", "--app", "flask_service", "find-redis", check=False, timeout=60, APP_ENV="development"
    )
    assert found.stdout == "Error: Redis does not answer; start it with: docker compose up --detach --wait redis\n"

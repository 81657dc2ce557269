"""Services with a database: migrated by a job, asked, fuzzed, and their server restarted under them."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import Bake
from tests.support import tool
from tests.test_image import KEY, PYTHON, ask, built, docker, running

pytestmark = [pytest.mark.docker, pytest.mark.slow]

MIGRATE = ("flask", "--app", "flask_service", "migrate")


def status(url: str, body: object = None) -> int:
    """Return the status of an answer; with a body, of a POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


@contextmanager
def a_place_for_data(database: str) -> Iterator[tuple[list[str], str]]:
    """Yield the options of `docker run` with which a service reaches its database, and the server's container."""
    name = f"layercake-test-{uuid4().hex[:12]}"
    options = ["--env", f"SECRET_KEY={KEY}", "--read-only", "--tmpfs", "/tmp"]
    if database == "sqlite":
        docker("volume", "create", name)
        try:
            yield [*options, "--volume", f"{name}:/data", "--env", "DATABASE_URL=sqlite:////data/service.db"], ""
        finally:
            docker("volume", "rm", "--force", name)
    else:
        docker("network", "create", name)
        password = ("--env", "POSTGRES_PASSWORD=postgres")
        server = docker("run", "--detach", "--network", name, *password, "--name", name, "postgres:17")
        try:
            wait_for(server)
            url = f"postgresql://postgres:postgres@{name}:5432/postgres"
            yield [*options, "--network", name, "--env", f"DATABASE_URL={url}"], server
        finally:
            docker("rm", "--force", "--volumes", server)
            docker("network", "rm", name)


def wait_for(server: str) -> None:
    """Wait until PostgreSQL takes connections."""
    deadline = time.monotonic() + 60
    ready = ["docker", "exec", server, "pg_isready", "--host", "127.0.0.1"]
    while subprocess.run(ready, capture_output=True, check=False).returncode:
        assert time.monotonic() < deadline, docker("logs", server)
        time.sleep(0.2)


def fuzz(address: str, folder: Path) -> None:
    """Send the service whatever schemathesis comes up with, and fail when an answer is not as described."""
    command = [tool("schemathesis"), "run", f"{address}/openapi.json", "--max-examples", "25", "--no-color"]
    found = subprocess.run(
        command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    assert found.returncode == 0, found.stdout
    assert "No issues found" in found.stdout


def test_a_service_without_a_database_survives_all_that_it_is_sent(bake: Bake, tmp_path: Path) -> None:
    with built(bake(python_version=PYTHON)) as tag, running(tag, "--env", f"SECRET_KEY={KEY}") as (_, address):
        fuzz(address, tmp_path)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_service_is_ready_once_a_job_has_migrated_and_survives_all_that_it_is_sent(
    bake: Bake, tmp_path: Path, database: str
) -> None:
    project = bake(python_version=PYTHON, database=database)
    with built(project) as tag, a_place_for_data(database) as (options, server):
        if server:
            with running(tag, *options) as (_, address):
                assert status(f"{address}/readyz") == 503
        jobs = [subprocess.Popen(["docker", "run", "--rm", *options, tag, *MIGRATE]) for _ in range(2)]
        assert [job.wait(timeout=120) for job in jobs] == [0, 0]
        with running(tag, *options) as (_, address):
            assert status(f"{address}/readyz") == 200
            fuzz(address, tmp_path)
            assert status(f"{address}/api/notes", {"text": "still here"}) == 201
            if server:
                docker("restart", "--time", "5", server)
                wait_for(server)
                assert [status(f"{address}/api/notes") for _ in range(20)] == [200] * 20
        with running(tag, *options) as (_, address):
            assert status(f"{address}/readyz") == 200
            assert "still here" in ask(f"{address}/api/notes?limit=100")  # the data outlives the container

"""Services with a database or jobs: migrated, asked, fuzzed, and their servers and workers killed under them."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Bake
from tests.containers import (
    KEY,
    MIGRATE,
    POSTGRESQL_ANSWERS,
    PYTHON,
    REDIS_ANSWERS,
    WORKER,
    ask,
    built,
    docker,
    running,
    servers,
    status,
    wait_for,
)
from tests.support import tool

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def fuzz(address: str, folder: Path) -> None:
    """Send the service whatever schemathesis comes up with, and fail when an answer is not as described."""
    command = [
        tool("schemathesis"),
        "run",
        f"{address}/openapi.json",
        "--max-examples",
        os.environ.get("EXAMPLES", "25"),
        "--warnings",
        "off",
        "--no-color",
    ]
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
    with built(project) as tag, servers(database) as (options, started):
        if started:
            with running(tag, *options) as (_, address):
                assert status(f"{address}/readyz") == 503
        jobs = [subprocess.Popen(["docker", "run", "--rm", *options, tag, *MIGRATE]) for _ in range(2)]
        assert [job.wait(timeout=120) for job in jobs] == [0, 0]
        with running(tag, *options) as (_, address):
            assert status(f"{address}/readyz") == 200
            fuzz(address, tmp_path)
            assert status(f"{address}/api/notes", {"text": "still here"}) == 201
            if started:
                docker("restart", "--time", "5", started["database"])
                wait_for(started["database"], POSTGRESQL_ANSWERS)
                assert [status(f"{address}/api/notes") for _ in range(20)] == [200] * 20
        with running(tag, *options) as (_, address):
            assert status(f"{address}/readyz") == 200
            assert "still here" in ask(f"{address}/api/notes?limit=100")  # the data outlives the container


def test_orders_survive_a_redis_that_dies_and_workers_that_stop(bake: Bake, tmp_path: Path) -> None:
    with (
        built(bake(python_version=PYTHON, background_jobs="celery")) as tag,
        servers(background_jobs="celery") as (options, started),
        running(tag, *options) as (_, address),
    ):
        assert status(f"{address}/readyz") == 200
        cards = [order(address, f"friend {n}") for n in range(200)]
        docker("kill", started["redis"])
        assert status(f"{address}/api/postcards", {"name": "nobody", "place": "Lyon"}) == 503
        assert status(f"{address}/readyz") == 503
        docker("start", started["redis"])
        wait_for(started["redis"], REDIS_ANSWERS)
        first, second = (docker("run", "--detach", "--no-healthcheck", *options, tag, *WORKER) for _ in range(2))
        try:
            wait_until(lambda: any(written(card) for card in cards), first)
            docker("stop", "--time", "70", first)  # in the middle of its jobs
            wait_until(lambda: all(written(card) for card in cards), second)
            docker("stop", "--time", "70", second)
            for worker in (first, second):
                assert docker("inspect", "--format", "{{.State.ExitCode}}", worker) == "0"
            logged = docker("logs", first).splitlines() + docker("logs", second).splitlines()
            lines = [json.loads(line) for line in logged if line.startswith("{")]
            assert sum("succeeded" in line["message"] and bool(line["request_id"]) for line in lines) >= len(cards)
        finally:
            docker("rm", "--force", first, second)
        fuzz(address, tmp_path)


def order(address: str, name: str) -> str:
    """Order a postcard; return its address."""
    body = json.dumps({"name": name, "place": "Lyon"}).encode()
    request = urllib.request.Request(f"{address}/api/postcards", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return f"{address}/api/postcards/{json.load(response)['id']}"


def written(card: str) -> bool:
    """Return whether a worker has written a postcard."""
    return bool(json.loads(ask(card))["state"] == "written")


def wait_until(condition: Callable[[], bool], container: str) -> None:
    """Wait until something is so, with the log of a container as the message when it never is."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, docker("logs", container)
        time.sleep(0.1)

"""Images and containers of generated services, and the servers they need beside them."""

import json
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from tests.support import CHOICES, Project

# The configuration of package indexes that do not answer, as docker-bake.hcl takes it.
UNREACHABLE: dict[str, Any] = {
    "PIP_CONF": "[global]\nindex-url = http://127.0.0.1:9/pip-was-here\nretries = 0\n",
    "UV_TOML": '[[index]]\nurl = "http://127.0.0.1:9/uv-was-here"\ndefault = true\n',
}
KEY = "0123456789abcdef0123456789abcdef"
PYTHON = CHOICES["python_version"][0]
SMALL = ("--cpus", "1", "--memory", "512m", "--env", f"SECRET_KEY={KEY}")
MIGRATE = ("flask", "--app", "flask_service", "migrate")
WORKER = ("celery", "--app", "flask_service.worker", "worker")
POSTGRESQL_ANSWERS = "pg_isready --host 127.0.0.1"
REDIS_ANSWERS = "redis-cli ping"


def docker(*arguments: str, check: bool = True) -> str:
    """Return what a docker command prints."""
    result = subprocess.run(
        ["docker", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert not check or result.returncode == 0, f"docker {' '.join(arguments)}:\n{result.stdout}"
    return result.stdout.strip()


@contextmanager
def built(project: Project, *options: str) -> Iterator[str]:
    """Build an image of the project, yield its tag, and remove it; unchanged layers come from the cache."""
    tag = f"layercake-test:{uuid4().hex[:12]}"
    project.run("docker", "build", "--quiet", "--tag", tag, *options, ".")
    try:
        yield tag
    finally:
        docker("image", "rm", "--force", tag)


@contextmanager
def running(tag: str, *options: str) -> Iterator[tuple[str, str]]:
    """Run a container; yield its id and its address once it answers."""
    container = docker("run", "--detach", "--publish", "127.0.0.1:0:8000", *options, tag)
    try:
        address = "http://" + docker("port", container, "8000")
        deadline = time.monotonic() + 60
        while True:
            try:
                ask(f"{address}/livez")
                break
            except OSError:
                assert time.monotonic() < deadline, docker("logs", container)
                time.sleep(0.2)
        yield container, address
    finally:
        docker("rm", "--force", container)


def inside(container: str) -> str:
    """Return the IP address of a container, where its ports are those that it listens at."""
    return docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container)


def ask(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as response:
        return str(response.read().decode())


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
def load(address: str, pause: float, body: dict[str, str] | None = None) -> Iterator[Counter[int]]:
    """Ask again and again, each time in a thread of its own; yield how often each status came, 0 for none."""
    seen: Counter[int] = Counter()
    stop = threading.Event()

    def one() -> None:
        try:
            seen[status(address, body)] += 1
        except OSError:
            seen[0] += 1

    def go_on() -> None:
        while not stop.wait(pause):
            clients.submit(one)

    with ThreadPoolExecutor(200) as clients:
        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield seen
        finally:
            stop.set()
            thread.join()


def layers(tag: str) -> list[str]:
    return list(json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", tag)))


def pins(lock: str) -> set[str]:
    return set(re.findall(r"^[a-z0-9-]+==[^ ]+", lock, flags=re.MULTILINE))


def a_new_package(project: Project) -> tuple[str, str]:
    """Return the name and the pin, with hashes, of a package that the service does not have: out of dev.txt."""
    block = re.search(r"^(iniconfig)==(?:.*\\\n)+.*\n", project.read("requirements/dev.txt"), flags=re.MULTILINE)
    assert block
    return block[1], block[0]


@contextmanager
def servers(database: str = "none", background_jobs: str = "none") -> Iterator[tuple[list[str], dict[str, str]]]:
    """Yield the options of `docker run` with which a service reaches its servers, and their containers."""
    name = f"layercake-test-{uuid4().hex[:12]}"
    options = ["--env", f"SECRET_KEY={KEY}", "--read-only", "--tmpfs", "/tmp", "--network", name]
    started: dict[str, str] = {}

    def start(kind: str, *arguments: str, ready: str) -> None:
        started[kind] = docker("run", "--detach", "--network", name, "--network-alias", kind, *arguments)
        wait_for(started[kind], ready)

    docker("network", "create", name)
    try:
        if database == "sqlite":
            options += ["--volume", f"{name}:/data", "--env", "DATABASE_URL=sqlite:////data/service.db"]
        elif database == "postgresql":
            start("database", "--env", "POSTGRES_PASSWORD=postgres", "postgres:17", ready=POSTGRESQL_ANSWERS)
            options += ["--env", "DATABASE_URL=postgresql://postgres:postgres@database:5432/postgres"]
        if background_jobs == "celery":
            start(
                "redis", "redis:8", "redis-server", "--appendonly", "yes", "--protected-mode", "no", ready=REDIS_ANSWERS
            )
            options += ["--env", "REDIS_URL=redis://redis:6379/0"]
        yield options, started
    finally:
        for container in started.values():
            docker("rm", "--force", "--volumes", container)
        docker("network", "rm", name)
        docker("volume", "rm", "--force", name)


def wait_for(server: str, ready: str) -> None:
    """Wait until a command that asks a server succeeds inside its container."""
    deadline = time.monotonic() + 60
    while subprocess.run(["docker", "exec", server, *ready.split()], capture_output=True, check=False).returncode:
        assert time.monotonic() < deadline, docker("logs", server)
        time.sleep(0.2)

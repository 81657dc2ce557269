"""Faults of an ordinary night, against real containers: docs/reliability.md names these tests. Load is local and bounded."""

import http.client
import json
import re
import resource
import socket
import subprocess
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import Bake
from tests.containers import (
    KEY,
    MIGRATE,
    PYTHON,
    SMALL,
    WORKER,
    ask,
    built,
    docker,
    inside,
    load,
    running,
    servers,
    status,
)
from tests.support import Project

pytestmark = [pytest.mark.docker, pytest.mark.slow]

PROXY = """\
FROM python:3.13-slim
RUN apt-get update && apt-get install --yes --no-install-recommends haproxy nginx
CMD ["sh", "-c", "exec $PROXY /proxy.cfg"]
"""
PROXIES = {
    "haproxy": """\
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend public
  bind :8000
  default_backend service
backend service
  option httpchk GET /readyz
  server old {old}:8000 check
  server new {new}:8000 check
""",
    "nginx": """\
daemon off;
events {{}}
http {{
  upstream service {{ server {old}:8000; server {new}:8000; keepalive 8; }}
  server {{
    listen 8000;
    location / {{ proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
""",
}
"""How proxies lead to two replicas: haproxy asks for their readiness, nginx sees only what becomes of requests."""

COMMANDS = {"haproxy": "haproxy -q -f", "nginx": "nginx -c"}
QUICK = 1.0
"""Seconds: far more than an answer takes, on a busy machine too, and far less than what hangs."""


def seconds(address: str) -> float:
    """Return how long an answer takes. Raises AssertionError unless it is one."""
    began = time.monotonic()
    assert status(address) == 200
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("server", "answers", "pause", "path", "body"),
    [
        ("database", {"database": "postgresql"}, 0.1, "/api/notes", None),
        ("redis", {"background_jobs": "celery"}, 0.02, "/api/postcards", {"name": "Ana", "place": "Lyon"}),
    ],
)
def test_a_server_that_hangs_holds_up_only_what_needs_it(
    bake: Bake, server: str, answers: dict[str, str], pause: float, path: str, body: dict[str, str] | None
) -> None:
    with built(bake(python_version=PYTHON, **answers)) as tag, servers(**answers) as (options, started):
        if server == "database":
            docker("run", "--rm", *options, tag, *MIGRATE)
        with running(tag, *SMALL, *options) as (container, address):
            docker("pause", started[server])
            try:
                with load(f"{address}{path}", pause, body) as seen:
                    time.sleep(3)
                    paths = ["/livez", "/api/greetings/en"] * 50
                    assert sorted(seconds(address + path) for path in paths)[-2] < QUICK
                    assert "# TYPE" in metrics(container)
                    assert status(f"{address}/readyz") == 503
                    docker("unpause", started[server])
            finally:
                docker("unpause", started[server], check=False)
            assert seen[503] > 10  # at once, after the first have waited
            assert seen[0] == 0
            deadline = time.monotonic() + 30
            while status(f"{address}{path}", body) not in (200, 202):
                assert time.monotonic() < deadline
            assert status(f"{address}/readyz") == 200


def metrics(container: str) -> str:
    """Return the metrics of a service, whose port is not published."""
    code = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9000/metrics', timeout=5).read().decode())"
    return docker("exec", container, "python", "-c", code, check=False)


def test_ten_thousand_slow_clients_hold_nobody_up(bake: Bake) -> None:
    beginnings = (
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
    )
    with built(bake(python_version=PYTHON)) as tag, running(tag, *SMALL) as (container, _), ExitStack() as stack:
        place = inside(container)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for number in range(10_000):
            client = stack.enter_context(socket.create_connection((place, 8000), timeout=30))
            client.sendall(beginnings[number % 3])
        assert sorted(seconds(f"http://{place}:8000/api/greetings/en") for _ in range(100))[-2] < QUICK


def test_clients_that_stall_hold_no_thread_and_fill_no_memory(bake: Bake) -> None:
    download = b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n"
    answers = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 5000
    body = b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + bytes(999_999)
    tmp = ("--read-only", "--tmpfs", "/tmp")  # whose files count as memory
    with built(bake(python_version=PYTHON)) as tag, running(tag, *SMALL, *tmp) as (container, _), ExitStack() as stack:
        place = inside(container)

        def stall(sent: bytes) -> socket.socket:
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.settimeout(30)
            client.connect((place, 8000))
            client.setblocking(sent is body)
            with suppress(OSError):  # it takes no more, or has refused it
                client.sendall(sent)
            time.sleep(0.02)  # many at once are turned away
            return client

        for sent, number in ((download, 150), (answers, 120), (body, 400)):
            clients = [stall(sent) for _ in range(number)]
            assert sorted(seconds(f"http://{place}:8000/api/greetings/en") for _ in range(100))[-2] < QUICK
            if sent is download:
                time.sleep(12)  # they have ten seconds
                for client in clients:
                    client.settimeout(5)
                    with suppress(ConnectionResetError):
                        while client.recv(65_536):
                            pass
        assert not [line for line in docker("logs", container).splitlines() if re.search("SIGKILL|ERROR", line)]


def test_what_is_no_ordinary_request_leaves_no_error_in_the_log(bake: Bake) -> None:
    upgrade = {"Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg=="}
    with built(bake(python_version=PYTHON)) as tag, running(tag, *SMALL) as (container, _):
        place = inside(container)
        for method, port, path, headers, expected in (
            ("GET", 9000, "/metrics", {}, 200),
            ("HEAD", 8000, "/livez", {}, 200),
            ("HEAD", 8000, "/nowhere", {}, 404),
            ("GET", 8000, "/", {"Connection": "Upgrade", **upgrade}, 403),
        ):
            for _ in range(50):
                client = http.client.HTTPConnection(place, port, timeout=5)
                client.request(method, path, headers=headers)
                assert client.getresponse().status == expected
                client.close()
        for _ in range(1000):  # garbage is collected, and what was left would be found
            assert status(f"http://{place}:8000/api/greetings/en") == 200
        levels = [json.loads(line)["level"] for line in docker("logs", container).splitlines()]
        assert {*levels} == {"INFO"}


@pytest.mark.parametrize("kind", ["haproxy", pytest.param("nginx", marks=pytest.mark.thorough)])
def test_no_request_is_lost_when_a_replica_is_replaced(bake: Bake, tmp_path: Path, kind: str) -> None:
    (tmp_path / "Dockerfile").write_text(PROXY, encoding="utf-8")
    with (
        built(Project(tmp_path)) as proxy,
        built(bake(python_version=PYTHON)) as tag,
        running(tag, *SMALL) as (old, _),
        running(tag, *SMALL) as (new, _),
    ):
        configuration = tmp_path / "proxy.cfg"
        configuration.write_text(PROXIES[kind].format(old=inside(old), new=inside(new)), encoding="utf-8")
        options = ("--volume", f"{configuration}:/proxy.cfg:ro", "--env", f"PROXY={COMMANDS[kind]}")
        with running(proxy, *options) as (_, address):
            time.sleep(3)
            with load(f"{address}/api/greetings/en", 0.02) as seen:
                time.sleep(1)
                docker("stop", old)  # as anybody would: ten seconds until it is killed
                time.sleep(1)
        errors = [line for name in (old, new) for line in docker("logs", name).splitlines() if "ERROR" in line]
        assert seen.keys() == {200}, (seen, errors)
        assert seen[200] > 200
        assert docker("inspect", "--format", "{{.State.ExitCode}}", old) == "0"


def test_a_full_dev_shm_costs_the_metrics_and_nothing_else(bake: Bake) -> None:
    with built(bake(python_version=PYTHON)) as tag, running(tag, *SMALL, "--shm-size", "64k") as (container, address):
        docker("exec", container, "sh", "-c", "cat /dev/zero >/dev/shm/full", check=False)
        docker("exec", container, "sh", "-c", "kill -9 $(cut -d ' ' -f 1-2 /proc/1/task/1/children)")
        deadline = time.monotonic() + 30
        while True:  # until others have taken the place of those that were killed
            assert time.monotonic() < deadline, docker("logs", container)
            with suppress(OSError):
                if Counter(status(f"{address}/api/greetings/en") for _ in range(20)) == {200: 20}:
                    break
        assert "the metrics lack what this process counts" in docker("logs", container)


def test_workers_that_die_leave_no_files(bake: Bake) -> None:
    with built(bake(python_version=PYTHON)) as tag, running(tag, *SMALL) as (container, address):
        for deaths in range(1, 6):
            assert status(f"{address}/api/greetings/en") == 200
            docker("exec", container, "sh", "-c", "kill -9 $(cut -d ' ' -f 1 /proc/1/task/1/children)")
            deadline = time.monotonic() + 30
            while docker("logs", container).count("Booting worker") < 2 + deaths:
                assert time.monotonic() < deadline, docker("logs", container)
                time.sleep(0.1)
        time.sleep(1)
        kept = docker("exec", container, "ls", "/dev/shm/metrics").split()
        assert len({name.split("_")[1] for name in kept}) <= 3, kept  # of two processes, and of all that have ended
        assert 'http_route="/api/greetings/<language>"} 5.0' in metrics(container)


def test_a_service_that_is_stopped_while_it_starts_stops_at_once(bake: Bake) -> None:
    with built(bake(python_version=PYTHON)) as tag:
        for pause in (0.4, 0.8):
            container = docker("run", "--detach", *SMALL, tag)
            try:
                time.sleep(pause)
                began = time.monotonic()
                docker("stop", "--time", "30", container)
                assert time.monotonic() - began < 25, pause
                assert docker("inspect", "--format", "{{.State.ExitCode}}", container) != "137"
            finally:
                docker("rm", "--force", container)


@pytest.mark.parametrize("user", ["10001", "12345:0"])
def test_any_user_runs_it_behind_a_path_with_its_secrets_in_files(bake: Bake, tmp_path: Path, user: str) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n", encoding="utf-8")
    project = bake(python_version=PYTHON, database="sqlite")
    options: tuple[str, ...] = (
        "--read-only",
        "--tmpfs",
        "/tmp",
        "--user",
        user,
        "--volume",
        f"{tmp_path / 'key'}:/run/secrets/key:ro",
    )
    options += ("--env", "SECRET_KEY_FILE=/run/secrets/key", "--env", "DATABASE_URL=sqlite:////data/service.db")
    with built(project) as tag:
        volume = docker("volume", "create")
        try:
            docker("run", "--rm", *options, "--volume", f"{volume}:/data", tag, *MIGRATE)
            with running(tag, *options, "--volume", f"{volume}:/data", "--env", "SCRIPT_NAME=/shop") as (_, address):
                assert status(f"{address}/shop/readyz") == status(f"{address}/readyz") == 200
                assert '"/shop/static/' in ask(f"{address}/shop/")
                assert status(f"{address}/shop/api/notes", {"text": "kept"}) == 201
        finally:
            docker("volume", "rm", "--force", volume)


def test_what_no_parser_should_guess_is_refused(bake: Bake) -> None:
    head = b"POST /api/greetings/en HTTP/1.1\r\nHost: a\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n"
    requests = [
        chunked + b"Content-Length: 6\r\n\r\n0\r\n\r\nG",
        head + b"Content-Length: 6\r\nContent-Length: 5\r\n\r\nabcdef",
        head + b"Content-Length: +6\r\n\r\nabcdef",
        chunked + b"\r\nzz\r\nabc\r\n0\r\n\r\n",
        chunked + b"\r\n-1\r\nabc\r\n0\r\n\r\n",
        head + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        head + b"X-A : b\r\n\r\n",
        head + b"X-A: b\r\n c\r\n\r\n",
        head + b"X-A: a\0b\r\n\r\n",
        head + b"Host: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    ]
    with built(bake(python_version=PYTHON)) as tag, running(tag, *SMALL) as (container, address):
        place = urlsplit(address)
        for request in requests:
            with socket.create_connection((place.hostname, place.port), timeout=10) as client:
                client.sendall(request)
                assert client.recv(65_536).startswith(b"HTTP/1.1 400 "), request
        for path, headers, expected in (
            ("/" + "a" * 9000, {}, 414),
            ("/", {"X-Large": "a" * 10_000}, 431),
            ("/", {f"X-{n}": "a" for n in range(150)}, 431),
        ):
            connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)
            connection.request("GET", path, headers=headers)
            assert connection.getresponse().status == expected
            connection.close()
        logged = docker("logs", container)
        assert logged.count("is no request: 4") + logged.count("GET / 400 in") == len(requests) + 3
        assert re.search(r'_count{.*"414".*} 1.0', metrics(container))


def test_a_worker_writes_lines_of_json_and_not_what_jobs_are_about(bake: Bake) -> None:
    project = bake(python_version=PYTHON, background_jobs="celery")
    with built(project) as tag, servers(background_jobs="celery") as (options, _):
        worker = docker("run", "--detach", "--read-only", "--tmpfs", "/tmp", "--no-healthcheck", *options, tag, *WORKER)
        try:
            with running(tag, *options) as (_, address):
                assert status(f"{address}/api/postcards", {"name": "Ana", "place": "Lyon"}) == 202
            deadline = time.monotonic() + 60
            while "succeeded" not in (log := docker("logs", worker)):
                assert time.monotonic() < deadline, log
                time.sleep(0.2)
            docker("exec", worker, "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)")
            time.sleep(5)
            docker("stop", worker)
            log = docker("logs", worker)
            assert "SIGKILL" in log
            assert "Warm shutdown" in log
            for line in log.splitlines():
                assert "message" in json.loads(line), line
            assert "Lyon" not in log
        finally:
            docker("rm", "--force", worker)


def test_a_worker_that_hangs_is_noticed_and_one_without_redis_is_not_taken_for_it(bake: Bake) -> None:
    project = bake(python_version=PYTHON, background_jobs="celery", deployment="kubernetes")
    (probe,) = re.findall(r"\[ \"\$\(find .*\)\" \]", project.read("kubernetes/base/workloads.yaml"))
    assert probe.count("-mmin -2") == 1
    probe = probe.replace("-mmin -2", "-mmin -0.4")  # the test does not wait for two minutes
    with built(project) as tag, servers(background_jobs="celery") as (options, started):
        worker = docker("run", "--detach", "--no-healthcheck", *options, tag, *WORKER)

        def wait_until(code: int) -> None:
            deadline = time.monotonic() + 60
            while subprocess.run(["docker", "exec", worker, "sh", "-c", probe], check=False).returncode != code:
                assert time.monotonic() < deadline, docker("logs", worker)
                time.sleep(0.5)

        try:
            wait_until(0)
            docker("stop", "--time", "1", started["redis"])
            time.sleep(28)
            wait_until(0)
            docker("start", started["redis"])
            docker("kill", "--signal", "STOP", worker)
            wait_until(1)
            docker("kill", "--signal", "CONT", worker)
            wait_until(0)
        finally:
            docker("rm", "--force", worker)

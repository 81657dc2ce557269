"""Serving as in production, with gunicorn, and clients and requests that hold what they get."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

LIMITS = {"WEB_CONCURRENCY": "1", "WEB_THREADS": "2", "WEB_QUEUE": "2", "DRAIN_SECONDS": "1", "SCRIPT_NAME": "/shop"}


class Service(NamedTuple):
    """A running service."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(self, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, str]:
        """Return the status and the text of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def connect(self, first: bytes) -> socket.socket:
        """Return a connection that has begun to say something."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(first)
        return connection


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Service]:
    """Serve the application of slow.py."""
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as other:
        port, metrics_port = free.getsockname()[1], other.getsockname()[1]
    environment = {"APP_ENV": "development", "PORT": str(port), **LIMITS, **settings}
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--bind", f"127.0.0.1:{metrics_port}"]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([*command, "tests.core.slow:front()"], env=os.environ | environment, stderr=output)
    service = Service(process, port, log)
    try:
        wait_until_it_answers(service)
        yield service
    finally:
        process.kill()
        process.wait()


def wait_until_it_answers(service: Service) -> None:
    """Wait until a service answers."""
    deadline = time.monotonic() + 30
    while True:
        with suppress(OSError):
            if service.ask("/livez")[0] == 200:
                return
        assert time.monotonic() < deadline, service.log.read_text(encoding="utf-8")
        time.sleep(0.05)


def test_what_never_ends_stops_nothing_else_and_is_cut_and_replaced(tmp_path: Path) -> None:
    with serving(tmp_path, REQUEST_TIMEOUT="2") as service, ThreadPoolExecutor(8) as clients:
        begun = [clients.submit(service.ask, "/sleep/60.0") for _ in range(2)]
        time.sleep(1)  # those that wait are given up when the process ends
        begun += [clients.submit(service.ask, "/sleep/60.0") for _ in range(4)]
        while sum(request.done() for request in begun) < 2:  # 2 are at work, 2 wait
            time.sleep(0.01)
        assert service.ask("/livez")[0] == 200
        status, text = service.ask("/quick")
        assert (status, "busy" in text) == (503, True)
        assert [request.result()[0] for request in begun] == [503] * 6
        while "another takes its place" not in (log := service.log.read_text(encoding="utf-8")):
            time.sleep(0.05)
        assert "GET /sleep/60.0 has no answer after 2 seconds" in log
        assert "time.sleep(seconds)" in log  # where it stood
        wait_until_it_answers(service)
        assert service.ask("/quick")[0] == 200


def test_slow_clients_hold_nobody_up_but_themselves(tmp_path: Path) -> None:
    head = b"GET /quick HTTP/1.1\r\nHost: a\r\nX-Slow: "
    body = b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"
    with serving(tmp_path) as service, ExitStack() as stack:
        for first in (b"", head, body) * 20:
            stack.enter_context(service.connect(first))
        assert service.ask("/quick")[0] == 200


def test_a_body_is_whole_or_refused_and_a_stream_arrives(tmp_path: Path) -> None:
    with serving(tmp_path, MAX_CONTENT_LENGTH="200000") as service:
        assert service.ask("/length", "POST", b"x" * 200_000) == (200, "200000")
        assert service.ask("/length", "POST", b"x" * 200_001)[0] == 413
        assert service.ask("/stream") == (200, "0\n1\n2\n")
        assert '"script":"/shop"' in service.ask("/shop/quick")[1].replace(" ", "")
        assert '"script":""' in service.ask("/quick")[1].replace(" ", "")
        assert service.ask("/shop/livez")[0] == 200


def test_what_is_refused_before_the_application_is_told_and_logged_like_the_rest(tmp_path: Path) -> None:
    with serving(tmp_path, MAX_CONTENT_LENGTH="9", LOG_LEVEL="DEBUG") as service:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
        connection.request("POST", "/shop/length", b"x" * 10, {"X-Request-ID": "abc"})
        response = connection.getresponse()
        problem = json.loads(response.read())
        connection.close()
        assert (response.status, problem["request_id"], problem["instance"]) == (413, "abc", "/shop/length")
        assert (response.headers["X-Request-ID"], response.headers["X-Content-Type-Options"]) == ("abc", "nosniff")
        while "POST /length 413 in" not in service.log.read_text(encoding="utf-8"):
            time.sleep(0.05)


def test_a_request_that_is_cut_when_the_service_stops_is_logged(tmp_path: Path) -> None:
    limits = {"REQUEST_TIMEOUT": "60", "DRAIN_SECONDS": "0", "GRACE_SECONDS": "3"}
    with serving(tmp_path, **limits) as service, service.connect(b"GET /sleep/20.0 HTTP/1.1\r\nHost: a\r\n\r\n"):
        time.sleep(0.3)
        service.process.send_signal(signal.SIGTERM)
        while "GET /sleep/20.0 is cut, since the service stops" not in service.log.read_text(encoding="utf-8"):
            time.sleep(0.05)


def test_a_service_that_is_told_to_stop_says_so_before_it_stops(tmp_path: Path) -> None:
    with serving(tmp_path) as service, ThreadPoolExecutor(1) as clients:
        last = clients.submit(service.ask, "/sleep/2.0")  # for longer than it drains
        time.sleep(0.3)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        status, text = service.ask("/readyz")
        assert (status, "stopping" in text) == (503, True)
        assert service.ask("/quick")[0] == 200
        assert last.result() == (200, "slept")
        assert service.process.wait(timeout=20) == 0
        with pytest.raises(ConnectionRefusedError):
            service.ask("/quick")

"""What a running image tells of itself: metrics of several workers, traces that reach a collector, errors."""

import gzip
import json
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.conftest import Bake
from tests.containers import KEY, PYTHON, WORKER, ask, built, docker, running, servers

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ROUTE = "/api/greetings/<language>"
OPTIONS = ("--env", f"SECRET_KEY={KEY}", "--read-only", "--tmpfs", "/tmp")


@contextmanager
def receiver() -> Iterator[tuple[int, list[tuple[str, bytes]]]]:
    """Yield a port of this machine, and the path and body of whatever is sent there."""
    received: list[tuple[str, bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("0.0.0.0", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, received
        server.shutdown()


def counts(container: str) -> dict[tuple[str, str], int]:
    """Return how many requests the metrics hold of each route and status: asked inside, the port is not published."""
    code = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9000/metrics').read().decode())"
    deadline = time.monotonic() + 30
    while "refused" in (text := docker("exec", container, "python", "-c", code, check=False)):  # it is starting
        assert time.monotonic() < deadline, text
    found = re.findall(r'_seconds_count\{.*http_response_status_code="(\d+)",http_route="(.*)"\} (\S+)', text)
    return {(route, status): int(float(count)) for status, route, count in found}


def test_the_metrics_are_those_of_all_workers_and_outlive_one(bake: Bake) -> None:
    with (
        built(bake(python_version=PYTHON)) as tag,
        running(tag, *OPTIONS, "--env", "WEB_CONCURRENCY=4") as (
            container,
            address,
        ),
    ):
        for _ in range(40):
            ask(f"{address}/api/greetings/en")
        answers = [counts(container)[ROUTE, "200"] for _ in range(12)]  # whichever worker is asked
        assert answers == [40] * 12
        docker(
            "exec", container, "sh", "-c", "kill -9 $(cut -d ' ' -f 1 /proc/1/task/1/children)"
        )  # one of the workers
        for _ in range(10):
            ask(f"{address}/api/greetings/en")
        assert counts(container)[ROUTE, "200"] == 50


def test_traces_reach_a_collector_and_none_is_lost_when_the_service_stops(bake: Bake) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    with receiver() as (port, received), built(bake(python_version=PYTHON)) as tag:
        collector = f"OTEL_EXPORTER_OTLP_ENDPOINT=http://host.docker.internal:{port}"
        options = ("--env", collector, "--add-host", "host.docker.internal:host-gateway")
        with running(tag, *OPTIONS, *options) as (container, address):
            headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
            urllib.request.urlopen(urllib.request.Request(f"{address}/api/greetings/en", headers=headers)).close()
            docker("stop", container)
            lines = [json.loads(line) for line in docker("logs", container).splitlines()]
    assert {path for path, _ in received} == {"/v1/traces"}
    sent = b"".join(body for _, body in received)
    assert sent.count(bytes.fromhex(trace)) == 1
    assert f"GET {ROUTE}".encode() in sent
    assert b"flask-service" in sent
    assert [line["trace_id"] for line in lines if line.get("path") == "/api/greetings/en"] == [trace]


def test_a_job_is_part_of_the_trace_of_the_request_that_ordered_it(bake: Bake) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    project = bake(python_version=PYTHON, background_jobs="celery")
    with receiver() as (port, received), built(project) as tag, servers(background_jobs="celery") as (options, _):
        collector = f"OTEL_EXPORTER_OTLP_ENDPOINT=http://host.docker.internal:{port}"
        options += ["--env", collector, "--add-host", "host.docker.internal:host-gateway"]
        worker = docker("run", "--detach", "--no-healthcheck", *options, tag, *WORKER)
        try:
            with running(tag, *options) as (web, address):
                body = json.dumps({"name": "Ana", "place": "Lyon"}).encode()
                headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "Content-Type": "application/json"}
                order = urllib.request.Request(f"{address}/api/postcards", body, headers)
                with urllib.request.urlopen(order, timeout=30) as answer:
                    card = json.load(answer)["id"]
                deadline = time.monotonic() + 60
                while '"written"' not in ask(f"{address}/api/postcards/{card}"):
                    assert time.monotonic() < deadline, docker("logs", worker)
                    time.sleep(0.1)
                docker("stop", "--time", "70", worker, web)
        finally:
            docker("rm", "--force", worker)
    sent = b"".join(body for _, body in received)
    for span in (
        "POST /api/postcards",
        "apply_async/flask_service.resources.postcards",
        "run/flask_service.resources.postcards",
    ):
        assert span.encode() in sent
    assert sent.count(bytes.fromhex(trace)) == 3

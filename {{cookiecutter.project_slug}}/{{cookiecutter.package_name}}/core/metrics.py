"""Metrics for Prometheus, on a port of their own: what a proxy shows the public does not hold them."""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, Response, g, request
from prometheus_client import REGISTRY, CollectorRegistry, Histogram, make_wsgi_app
from prometheus_client.multiprocess import MultiProcessCollector

from {{ cookiecutter.package_name }}.core.settings import METRICS_PORT

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

duration = Histogram(
    "http_server_request_duration_seconds",
    "Time from when the application gets a request until it has the answer",
    ["http_request_method", "http_route", "http_response_status_code"],
)
"""Named and labelled as in OpenTelemetry's conventions for HTTP. A request that fits no route has an empty one."""


def init_app(app: Flask) -> None:
    """Measure every request, from the start that its log line has too, and serve the metrics of all processes."""

    @app.after_request
    def observe(response: Response) -> Response:
        method = request.method if request.method in METHODS else "_OTHER"  # a client may send any word
        route = request.url_rule.rule if request.url_rule else ""
        seconds = time.perf_counter() - g.get("started", time.perf_counter())
        duration.labels(method, route, str(response.status_code)).observe(seconds)
        return response

    app.wsgi_app = beside(app.wsgi_app)  # type: ignore[assignment]


def beside(service: WSGIApplication) -> WSGIApplication:
    """Return an application that serves the metrics on their port, and the service on every other."""
    registry = REGISTRY
    if folder := os.environ.get(FOLDER):
        Path(folder).mkdir(parents=True, exist_ok=True)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    metrics = make_wsgi_app(registry)

    def choose(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        chosen = metrics if environ["SERVER_PORT"] == str(METRICS_PORT) else service
        return chosen(environ, start_response)

    return choose


def forget() -> None:
    """Remove what the processes of a former start have counted, before the first of this one does."""
    if folder := os.environ.get(FOLDER):
        for kind in ("counter", "gauge", "histogram", "summary"):
            for counts in Path(folder).glob(f"{kind}_*.db"):
                counts.unlink()

"""What happens around each request, whatever answers it: an id, headers for browsers, a count, a line in the log.

It stands outside of Flask, where the answer is complete, and where this costs least.
"""

import time
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask

from {{ cookiecutter.package_name }}.core import logs, metrics, security
from {{ cookiecutter.package_name }}.core.settings import Settings


class Middleware:
    """The application, and what happens around it (PEP 3333)."""

    def __init__(self, app: Flask) -> None:
        self.application = app.wsgi_app
        self.settings: Settings = app.config["SETTINGS"]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        started = time.perf_counter()
        request_id = logs.begin(environ)

        def finish(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            seconds, code = time.perf_counter() - started, int(status[:3])
            own = {name.lower() for name, _ in headers}
            headers.append(("X-Request-ID", request_id))
            headers += [header for header in security.headers(environ, self.settings) if header[0].lower() not in own]
            metrics.count(environ["REQUEST_METHOD"], route(environ), code, seconds)
            logs.log_request(environ, code, seconds, self.settings)
            return start_response(status, headers, *error)

        try:
            return self.application(environ, finish)
        finally:
            logs.request_id.set(None)


def route(environ: WSGIEnvironment) -> str:
    """Return the rule that a request fits, as in /things/<id>, or nothing."""
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    return rule.rule if rule else ""

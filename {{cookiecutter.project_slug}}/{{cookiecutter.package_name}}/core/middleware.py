"""What happens around each request to the application: an id, headers for browsers, a count, a line in the log.

It stands outside of Flask, where the answer is complete, and where this costs least.
"""

import time
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.middleware.proxy_fix import ProxyFix

from {{ cookiecutter.package_name }}.core import logs, metrics, security
from {{ cookiecutter.package_name }}.core.settings import Settings

STARTED = "service.started"
"""Where the environment has the time by perf_counter() when a request came, if it is not now."""


def around(application: WSGIApplication, settings: Settings) -> WSGIApplication:
    """Return an application with all that happens around it."""
    inner = Middleware(application, settings)
    if not (hops := settings.trusted_proxies):
        return inner
    return ProxyFix(inner, x_for=hops, x_proto=hops, x_prefix=hops if settings.trusted_prefix else 0)


class Middleware:
    """An application, and what happens around it (PEP 3333)."""

    def __init__(self, application: WSGIApplication, settings: Settings) -> None:
        self.application, self.settings = application, settings

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        started = environ.get(STARTED) or time.perf_counter()
        request_id = logs.begin(environ)

        def finish(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            seconds, code = time.perf_counter() - started, int(status[:3])
            headers[:] = [header for header in headers if header[0].lower() != "x-request-id"]  # of another service
            own = {name.lower() for name, _ in headers}
            headers += [header for header in security.headers(environ, self.settings) if header[0].lower() not in own]
            headers.append(("X-Request-ID", request_id))
            metrics.count(environ["REQUEST_METHOD"], route(environ), code, seconds)
            logs.log_request(environ, code, seconds, self.settings)
            return start_response(status, headers, *error)

        answer = self.application(environ, finish)
        logs.request_id.set(None)  # what tells of a failure has it
        return answer


def route(environ: WSGIEnvironment) -> str:
    """Return the rule that a request fits, as in /things/<id>, or nothing."""
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    return rule.rule if rule else ""

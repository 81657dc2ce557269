"""Logs: one JSON object a line with its request id in production, plain text in development."""

import logging
import os
import random
import re
import select
from collections import deque
from contextlib import suppress
from contextvars import ContextVar
from typing import Any
from wsgiref.types import WSGIEnvironment

from werkzeug.wsgi import get_path_info

from {{ cookiecutter.package_name }}.core import tracing
from {{ cookiecutter.package_name }}.core.settings import Settings

QUIET_PATHS = {"/livez", "/readyz"}
ID = "service.request_id"
"""Where the environment of a request has its id."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that this thread answers, None outside of requests."""

logger = logging.getLogger(__name__)
waiting: deque[bytes] = deque()
"""Lines of requests, for an event loop to write: a thread that writes gives way to the others meanwhile."""


class StandardError(logging.Handler):
    """Writes each line at once, without the lock of other handlers, and drops what nobody reads instead of waiting."""

    PATIENCE = 1000
    """Milliseconds that a line waits for a reader who has stopped; those after it do not wait."""

    later = 0
    """How many lines of requests may wait for an event loop; none as long as there is no loop."""

    dropped = 0

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a record, unless a filter is against it. The system keeps the lines of several threads apart."""
        if passed := bool(self.filter(record)):
            self.emit(record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        if self.dropped and room(0):
            record.dropped = self.dropped
        line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        if len(waiting) < self.later and record.name == __name__ and len(line) <= select.PIPE_BUF and not self.dropped:
            waiting.append(line)
            return
        for start in range(0, len(line), select.PIPE_BUF):  # there is room for so much when there is any
            if not room(0 if self.dropped else self.PATIENCE):
                self.dropped += 1
                return
            with suppress(OSError):  # the reader has gone
                os.write(2, line[start : start + select.PIPE_BUF])
        self.dropped = 0


def write_waiting() -> None:
    """Write the lines that wait, as far as somebody reads them now. In the event loop."""
    while waiting and room(0):
        lines = waiting.popleft()
        while waiting and len(lines) + len(waiting[0]) <= select.PIPE_BUF:
            lines += waiting.popleft()
        with suppress(OSError):  # the reader has gone
            os.write(2, lines)


def room(milliseconds: int) -> bool:
    """Return whether standard error takes something in time. Threads must not share what asks for it."""
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    return bool(poll.poll(milliseconds))


class RequestIdFilter(logging.Filter):
    """Adds `request_id` to every record, so that the lines of one request can be found together."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        record.request_id = request_id.get()
        return True


def log_config(settings: Settings) -> dict[str, Any]:
    """Return the configuration for `logging.config.dictConfig` and for gunicorn."""
    filters: dict[str, Any] = {"request_id": {"()": RequestIdFilter}}
    if tracing.wanted():
        filters["span"] = {"()": tracing.SpanFilter}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": filters,
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "format": "%(levelname)s %(name)s %(message)s %(request_id)s",
                "rename_fields": {"levelname": "level", "name": "logger"},
                "timestamp": True,
            },
            "text": {"format": "%(levelname)-7s %(name)s: %(message)s"},
        },
        "handlers": {
            "stderr": {
                "()": StandardError,
                "formatter": "json" if settings.is_production else "text",
                "filters": list(filters),
            }
        },
        "root": {"handlers": ["stderr"], "level": settings.log_level},
        "loggers": {
            "gunicorn.error": {"level": settings.log_level, "propagate": True},
            "werkzeug": {"level": "WARNING" if settings.is_production else "INFO"},
        },
    }


def begin(environ: WSGIEnvironment) -> str:
    """Give a request an id, unless it has one; X-Request-ID is taken where it is sane. Return it."""
    if not (identity := environ.get(ID)):
        given = environ.get("HTTP_X_REQUEST_ID", "")
        identity = given if re.fullmatch(r"[A-Za-z0-9._-]{1,128}", given) else f"{random.getrandbits(128):032x}"
        environ[ID] = identity
    request_id.set(identity)
    return str(identity)


def log_request(environ: WSGIEnvironment, status: int, seconds: float, settings: Settings) -> None:
    """Log how a request went."""
    # Probes would fill the log; in development the server already writes a line for each request.
    quiet = environ["PATH_INFO"] in QUIET_PATHS or not settings.is_production
    level = logging.DEBUG if quiet else logging.INFO
    details = {
        "method": environ["REQUEST_METHOD"],
        "path": get_path_info(environ),
        "client": environ.get("REMOTE_ADDR"),
        "status": status,
        "duration_ms": round(seconds * 1000, 1),
    }
    logger.log(level, "%(method)s %(path)s %(status)s in %(duration_ms)s ms", details, extra=details)

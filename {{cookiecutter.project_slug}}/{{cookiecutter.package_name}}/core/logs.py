"""Logs: one JSON object a line with its request id in production, plain text in development."""

import logging
import logging.config
import re
import time
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

from flask import Flask, Response, g, request

from {{ cookiecutter.package_name }}.core import tracing
from {{ cookiecutter.package_name }}.core.settings import Settings

QUIET_ENDPOINTS = {"health.livez", "health.readyz"}

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that this thread answers, None outside of requests."""

logger = logging.getLogger(__name__)


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
                "class": "logging.StreamHandler",
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


def init_app(app: Flask) -> None:
    """Give every request an id, taken from X-Request-ID where it is sane, and log how it went."""
    settings: Settings = app.config["SETTINGS"]
    logging.config.dictConfig(log_config(settings))

    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-ID", "")
        g.started = time.perf_counter()
        request_id.set(given if re.fullmatch(r"[A-Za-z0-9._-]{1,128}", given) else uuid4().hex)

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Request-ID"] = request_id.get() or ""
        # Probes would fill the log; in development the server already writes a line for each request.
        quiet = request.endpoint in QUIET_ENDPOINTS or not settings.is_production
        level = logging.DEBUG if quiet else logging.INFO
        details = {
            "method": request.method,
            "path": request.path,
            "client": request.remote_addr,
            "status": response.status_code,
            "duration_ms": round((time.perf_counter() - g.get("started", time.perf_counter())) * 1000, 1),
        }
        logger.log(level, "%(method)s %(path)s %(status)s in %(duration_ms)s ms", details, extra=details)
        return response

    @app.teardown_request
    def forget(_error: BaseException | None) -> None:
        request_id.set(None)

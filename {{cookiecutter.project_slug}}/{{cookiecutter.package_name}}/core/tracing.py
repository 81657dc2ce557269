"""Traces by OpenTelemetry, set up by its own OTEL_* variables. Until they say so, nothing is set up."""

import logging
import os
{%- if cookiecutter.database != "none" %}
from typing import Any
{%- endif %}

from flask import Flask
{%- if cookiecutter.database != "none" %}
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
{%- endif %}

from {{ cookiecutter.package_name }} import about

SWITCHES = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def wanted() -> bool:
    """Return whether the environment says where traces go."""
    given = [value for name in SWITCHES if (value := os.environ.get(name))]
    return bool(given) and "none" not in given and os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true"


def init_app(app: Flask) -> None:
    """Trace every request but those of probes, when that is wanted."""
    if wanted():
{%- if cookiecutter.background_jobs == "celery" %}
        from opentelemetry.instrumentation.celery import CeleryInstrumentor
{%- endif %}
        from opentelemetry.instrumentation.flask import FlaskInstrumentor

        begin(app.config["SETTINGS"].app_version)
        FlaskInstrumentor().instrument_app(app, excluded_urls="livez$,readyz$")  # type: ignore[no-untyped-call]
{%- if cookiecutter.database != "none" %}
        trace_statements(app.extensions["database"])
{%- endif %}
{%- if cookiecutter.background_jobs == "celery" %}
        CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]
{%- endif %}


def begin(version: str) -> None:
    """Send this process's spans where the environment says, under the service's name unless it gives another."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor

    given = OTELResourceDetector().detect().attributes
    resource = Resource.create({"service.name": about.SLUG, "service.version": version, **given})
    provider = TracerProvider(resource=resource)
    if os.environ.get("OTEL_TRACES_EXPORTER") == "console":
        provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
    else:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)

{% if cookiecutter.database != "none" %}
def trace_statements(engine: Engine) -> None:
    """Make a span of every statement, without its parameters."""
    from opentelemetry import trace

    tracer = trace.get_tracer(__name__)

    @event.listens_for(engine, "before_cursor_execute")
    def begin_span(_connection: object, _cursor: object, statement: str, *rest: Any) -> None:
        attributes = {"db.system.name": engine.dialect.name, "db.query.text": statement}
        _, context, _many = rest
        name, *_ = statement.split() or ["SQL"]
        context.span = tracer.start_span(name, kind=trace.SpanKind.CLIENT, attributes=attributes)

    @event.listens_for(engine, "after_cursor_execute")
    def end_span(*statement: Any) -> None:
        *_, context, _ = statement
        context.span.end()

    @event.listens_for(engine, "handle_error")
    def end_failed_span(error: ExceptionContext) -> None:
        if span := getattr(error.execution_context, "span", None):
            span.set_status(trace.StatusCode.ERROR, type(error.original_exception).__name__)
            span.end()

{% endif %}
{% if cookiecutter.background_jobs == "celery" %}def send_what_is_left() -> None:
    """Send the spans that wait for company: for processes that end without Python's usual care."""
    if wanted():
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace import get_tracer_provider

        provider = get_tracer_provider()
        if isinstance(provider, TracerProvider):
            provider.force_flush()


{% endif %}class SpanFilter(logging.Filter):
    """Adds the ids of the trace and the span to what is logged while one goes on."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        from opentelemetry import trace

        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            record.trace_id = trace.format_trace_id(span.trace_id)
            record.span_id = trace.format_span_id(span.span_id)
        return True

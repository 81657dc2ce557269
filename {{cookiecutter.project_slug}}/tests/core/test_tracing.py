"""OpenTelemetry is set up once for a process, so each of these has one of its own."""

import json
import os
import re
import subprocess
import sys
{%- if cookiecutter.database != "none" %}
from typing import Any
{%- endif %}

import pytest
{%- if cookiecutter.database != "none" %}

from {{ cookiecutter.package_name }}.core.settings import Settings
{%- endif %}

CLIENT = """
import sys
from {{ cookiecutter.package_name }} import core
from {{ cookiecutter.package_name }}.core.settings import load_settings

app = core.make_app(load_settings())
app.get("/probe/<name>")(lambda name: name)
client = app.test_client()
"""
GREET = """
client.get("/livez")
client.get("/probe/a", headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
print("IMPORTED", any(name.startswith("opentelemetry.instrumentation") for name in sys.modules))
"""
{%- if cookiecutter.database != "none" %}
SELECT = """
from sqlalchemy import text
from {{ cookiecutter.package_name }}.core.database import session

statement = text("SELECT 'a' WHERE 'a' = :value")
app.get("/select", endpoint="select")(lambda: str(session().scalar(statement, {"value": "hunter2"})))
client.get("/select")
"""
FAIL = """
from contextlib import suppress
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from {{ cookiecutter.package_name }}.core.database import engine

with client.application.app_context(), suppress(SQLAlchemyError), engine().connect() as connection:
    connection.execute(text("SELECT what_is_not_there"))
"""
{%- endif %}
TRACE = "0af7651916cd43dd8448eb211c80319c"


def run(code: str, **variables: str) -> tuple[str, str]:
    """Return what a service prints to which some code is a client, and what it logs."""
    environment = os.environ | {"SECRET_KEY": "0123456789abcdef0123456789abcdef"}
{%- if cookiecutter.database == "sqlite" %}
    environment["DATABASE_URL"] = "sqlite:////tmp/nothing.db"
{%- elif cookiecutter.database == "postgresql" %}
    environment["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/nothing"
{%- endif %}
{%- if cookiecutter.background_jobs == "celery" %}
    environment["REDIS_URL"] = "redis://127.0.0.1:1/0"
{%- endif %}
    command = [sys.executable, "-c", CLIENT + code]
    result = subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=True)
    return result.stdout, result.stderr


{% if cookiecutter.database != "none" %}def all_spans(printed: str) -> list[dict[str, Any]]:
    """Return the spans that the console was shown."""
    return [json.loads(span) for span in re.findall(r"^\{.*?^\}", printed, re.MULTILINE | re.DOTALL)]


{% endif %}@pytest.mark.parametrize(
    "variables",
    [{}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"}],
)
def test_nothing_is_instrumented_until_it_is_wanted(variables: dict[str, str]) -> None:
    printed, logged = run(GREET, **variables)
    assert printed == "IMPORTED False\n"
    assert "trace_id" not in logged


def test_a_request_is_a_span_of_its_clients_trace_and_its_log_says_so() -> None:
    printed, logged = run(GREET, OTEL_TRACES_EXPORTER="console")
    span, line = json.loads(printed.rpartition("IMPORTED")[0]), json.loads(logged)
    assert span["name"] == "GET /probe/<name>"
    assert span["context"]["trace_id"] == f"0x{TRACE}"
    assert span["resource"]["attributes"]["service.name"] == "{{ cookiecutter.project_slug }}"
    assert (line["trace_id"], f"0x{line['span_id']}") == (TRACE, span["context"]["span_id"])


def test_the_environment_names_the_service() -> None:
    named = {"OTEL_SERVICE_NAME": "mine", "OTEL_RESOURCE_ATTRIBUTES": "service.version=7"}
    printed, _ = run(GREET, OTEL_TRACES_EXPORTER="console", **named)
    assert {'"service.name": "mine"', '"service.version": "7"'} <= set(re.findall(r'"service\.\w+": ".+"', printed))
{%- if cookiecutter.database != "none" %}


@pytest.mark.usefixtures("database")
def test_a_statement_is_a_span_without_its_parameters(settings: Settings) -> None:
    url = settings.database_url.get_secret_value()
    printed, _ = run(SELECT, DATABASE_URL=url, OTEL_TRACES_EXPORTER="console")
    spans = {span["name"]: span for span in all_spans(printed)}
    assert spans["SELECT"]["parent_id"] == spans["GET /select"]["context"]["span_id"]
    assert spans["SELECT"]["attributes"]["db.query.text"].startswith("SELECT 'a' WHERE")
    assert "hunter2" not in printed


@pytest.mark.usefixtures("database")
def test_a_statement_that_fails_is_a_span_too(settings: Settings) -> None:
    url = settings.database_url.get_secret_value()
    printed, _ = run(FAIL, DATABASE_URL=url, OTEL_TRACES_EXPORTER="console")
    (failed,) = [span for span in all_spans(printed) if span["status"]["status_code"] == "ERROR"]
    assert (failed["name"], failed["kind"]) == ("SELECT", "SpanKind.CLIENT")
{%- endif %}

import json

import pytest

from {{ cookiecutter.package_name }} import create_app
from {{ cookiecutter.package_name }}.settings import Settings


def test_a_request_is_one_json_line_with_its_id(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    client = create_app(settings).test_client()
    response = client.get("/api/greetings", headers={"X-Request-ID": "abc-1"})
    assert response.headers["X-Request-ID"] == "abc-1"
    (line,) = capfd.readouterr().err.splitlines()
    entry = json.loads(line)
    assert entry["level"] == "INFO"
    assert entry["request_id"] == "abc-1"
    assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/api/greetings", 200)


@pytest.mark.parametrize("given", ["", "has space", "x" * 129, "ünïcode"])
def test_an_unfit_request_id_is_replaced(settings: Settings, given: str) -> None:
    response = create_app(settings).test_client().get("/", headers={"X-Request-ID": given})
    assert len(response.headers["X-Request-ID"]) == 32


{% if cookiecutter.database != "none" and cookiecutter.background_jobs == "celery" %}@pytest.mark.usefixtures("database", "redis_server")
{% elif cookiecutter.database != "none" %}@pytest.mark.usefixtures("database")
{% elif cookiecutter.background_jobs == "celery" %}@pytest.mark.usefixtures("redis_server")
{% endif %}def test_probes_do_not_fill_the_log(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    app = create_app(settings)
    client = app.test_client()
    client.get("/livez")
    client.get("/readyz")
    assert capfd.readouterr().err == ""
{%- if cookiecutter.database != "none" %}
    app.extensions["database"].dispose()
{%- endif %}

import json

import pytest
from flask.testing import FlaskClient

from {{ cookiecutter.package_name }} import core
from {{ cookiecutter.package_name }}.core.settings import Settings


def test_a_request_is_one_json_line_with_its_id(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    client = core.make_app(settings).test_client()
    response = client.get("/docs", headers={"X-Request-ID": "abc-1"})
    assert response.headers["X-Request-ID"] == "abc-1"
    (line,) = capfd.readouterr().err.splitlines()
    entry = json.loads(line)
    assert entry["level"] == "INFO"
    assert entry["request_id"] == "abc-1"
    assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/docs", 200)


@pytest.mark.parametrize("given", ["", "has space", "x" * 129, "ünïcode"])
def test_an_unfit_request_id_is_replaced(client: FlaskClient, given: str) -> None:
    response = client.get("/livez", headers={"X-Request-ID": given})
    assert len(response.headers["X-Request-ID"]) == 32


@pytest.mark.usefixtures("servers")
def test_probes_do_not_fill_the_log(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    client = core.make_app(settings).test_client()
    client.get("/livez")
    client.get("/readyz")
    assert capfd.readouterr().err == ""

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from {{ cookiecutter.package_name }} import core
from {{ cookiecutter.package_name }}.core import metrics
from {{ cookiecutter.package_name }}.core.settings import METRICS_PORT, Settings

SCRAPE = {"base_url": f"http://localhost:{METRICS_PORT}"}
COUNT = "http_server_request_duration_seconds_count"


def counted(client: FlaskClient, method: str, route: str, status: int) -> float:
    """Return how many requests of a kind the metrics hold."""
    labels = f'http_request_method="{method}",http_response_status_code="{status}",http_route="{route}"'
    lines = client.get("/metrics", **SCRAPE).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(COUNT) and labels in line)


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/probe/a?name=Ana", ("GET", "/probe/<name>", 200)),
        ("POST", "/probe/a", ("POST", "", 405)),
        ("GET", "/no/such/page", ("GET", "", 404)),
        ("BREW", "/livez", ("_OTHER", "", 405)),
    ],
)
def test_a_request_is_counted_by_its_route_and_not_its_path(
    client: FlaskClient, method: str, path: str, kind: tuple[str, str, int]
) -> None:
    before = counted(client, *kind)
    client.open(path, method=method)
    assert counted(client, *kind) == before + 1


def test_what_goes_wrong_is_counted_too(app: Flask) -> None:
    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError

    client = app.test_client()
    client.get("/broken")
    assert counted(client, "GET", "/broken", 500) == 1


def test_the_port_of_the_service_has_no_metrics_whatever_a_client_claims(client: FlaskClient) -> None:
    host = {"Host": f"localhost:{METRICS_PORT}", "X-Forwarded-Port": str(METRICS_PORT)}
    assert client.get("/metrics", headers=host).status_code == 404


def test_the_port_of_the_metrics_has_nothing_else(client: FlaskClient) -> None:
    assert "# TYPE" in client.get("/", **SCRAPE).text


def test_the_counts_of_a_former_start_are_forgotten(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(metrics.FOLDER, str(tmp_path / "counts"))
    core.make_app(settings)
    for name in ("counter_1.db", "gauge_all_1.db", "histogram_1.db", "summary_1.db", "service.db"):
        (tmp_path / "counts" / name).touch()
    metrics.forget()
    assert [path.name for path in (tmp_path / "counts").iterdir()] == ["service.db"]

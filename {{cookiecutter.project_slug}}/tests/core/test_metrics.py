import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import values
from werkzeug.test import Client

from {{ cookiecutter.package_name }} import core
from {{ cookiecutter.package_name }}.core import metrics
from {{ cookiecutter.package_name }}.core.settings import Settings

COUNT = "http_server_request_duration_seconds_count"


def counted(method: str, route: str, status: int) -> float:
    """Return how many requests of a kind the metrics hold."""
    labels = f'http_request_method="{method}",http_response_status_code="{status}",http_route="{route}"'
    lines = Client(metrics.application()).get("/metrics").text.splitlines()
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
    before = counted(*kind)
    client.open(path, method=method)
    assert counted(*kind) == before + 1


def test_what_goes_wrong_is_counted_too(app: Flask) -> None:
    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError

    client = app.test_client()
    client.get("/broken")
    assert counted("GET", "/broken", 500) == 1


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where processes keep what they count."""
    monkeypatch.setenv(metrics.FOLDER, str(tmp_path))
    return tmp_path


def test_the_counts_of_a_former_start_are_forgotten(folder: Path) -> None:
    for name in ("counter_1.db", "gauge_all_1.db", "histogram_0.db", "summary_1.db", "service.txt"):
        (folder / name).touch()
    metrics.begin()
    assert [path.name for path in folder.iterdir()] == ["service.txt"]


def test_processes_that_end_leave_their_counts_and_no_files(folder: Path) -> None:
    code = f"from {metrics.__name__} import *; take_room(); count('GET', '/a', 200, 1.0)"
    for process in [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]:
        assert process.wait() == 0
        metrics.keep(process.pid)
    assert [path.name for path in folder.iterdir()] == ["histogram_0.db"]
    assert counted("GET", "/a", 200) == 2


def test_what_is_no_process_of_gunicorn_counts_for_itself_alone(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    core.make_app(settings)
    assert values.ValueClass is values.MutexValue
    assert [*folder.iterdir()] == []


def test_a_process_without_room_counts_for_itself_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setattr("os.posix_fallocate", full)
    metrics.take_room()
    assert values.ValueClass is values.MutexValue

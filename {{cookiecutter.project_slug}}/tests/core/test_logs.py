import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask.testing import FlaskClient

from {{ cookiecutter.package_name }} import core
from {{ cookiecutter.package_name }}.core import logs
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
    assert logs.request_id.get() is None


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


def test_threads_log_side_by_side_and_each_line_is_whole(capfd: pytest.CaptureFixture[str]) -> None:
    handler = logs.StandardError()
    records = [logging.makeLogRecord({"msg": f"{number:03} {'x' * 90}"}) for number in range(400)]
    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(handler.handle, records))
    assert sorted(capfd.readouterr().err.splitlines()) == [record.msg for record in records]


def test_lines_of_requests_wait_for_an_event_loop_to_write_them(
    settings: Settings, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs.StandardError, "later", 2)
    client = core.make_app(settings).test_client()
    for path in ("/one", "/two", "/three"):  # as many as may wait, and one more
        client.get(path)
    (line,) = capfd.readouterr().err.splitlines()
    assert json.loads(line)["path"] == "/three"
    logs.write_waiting()
    assert [json.loads(line)["path"] for line in capfd.readouterr().err.splitlines()] == ["/one", "/two"]


def test_what_was_dropped_is_told_once(
    settings: Settings, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs.StandardError, "later", 9)
    client = core.make_app(settings).test_client()
    monkeypatch.setattr(logging.root.handlers[0], "dropped", 7, raising=False)
    for _ in range(3):
        client.get("/one")
    logs.write_waiting()
    told = [json.loads(line).get("dropped") for line in capfd.readouterr().err.splitlines()]
    assert told == [7, None, None]


def test_a_log_that_nobody_reads_holds_nothing_up() -> None:
    code = f"import logging; from {logs.__name__} import *; logging.root.addHandler(StandardError())"
    code += "; [logging.error('x' * 9000) for _ in range(100)]"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) as process:
        assert process.wait(timeout=60) == 0

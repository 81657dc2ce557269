import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from {{ cookiecutter.package_name }}.core.settings import SettingsError, load_settings

BREAK = """
from {{ cookiecutter.package_name }} import core
from {{ cookiecutter.package_name }}.core.settings import load_settings

app = core.make_app(load_settings())

@app.post("/broken")
def broken():
    raise RuntimeError("nobody expected this")

secret = "hunter" + str(1 + 1)
headers = {"Authorization": secret, "Cookie": secret, "X-Own": secret}
app.test_client().post("/broken?name=" + secret, json={"password": secret}, headers=headers)
app.test_client().get("/not/there")
"""


@pytest.fixture
def reports() -> Iterator[tuple[str, list[str]]]:
    """A DSN, and what is sent there."""
    received: list[str] = []

    class Sentry(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            packed = self.headers["Content-Encoding"] == "gzip"
            received.append((gzip.decompress(body) if packed else body).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *_: object) -> None:
            """Stay silent."""

    with HTTPServer(("127.0.0.1", 0), Sentry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://key@127.0.0.1:{server.server_port}/1", received
        server.shutdown()


def service(**variables: str) -> None:
    environment = {"APP_ENV": "development", "APP_VERSION": "1.2.3", "FLASK_SKIP_DOTENV": "1", **variables}
    subprocess.run([sys.executable, "-c", BREAK], env=environment, check=True)


def test_what_nobody_expected_is_reported_once_with_the_version_and_no_secret(reports: tuple[str, list[str]]) -> None:
    dsn, received = reports
    service(SENTRY_DSN=dsn)
    (report,) = [text for text in received if '"type":"event"' in text]
    assert "nobody expected this" in report
    assert '"release":"1.2.3"' in report
    assert "hunter2" not in report


def test_a_wrong_dsn_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("SENTRY_DSN", "sentry.example.com/hunter2")
    with pytest.raises(SettingsError, match="SENTRY_DSN: this is no DSN") as error:
        load_settings()
    assert "hunter2" not in str(error.value)

"""`make audit`: what uv tells of vulnerabilities, with a server on this machine in place of osv.dev."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support import Project

pytestmark = pytest.mark.slow

ADVISORY = {
    "id": "GHSA-test", "modified": "2026-01-01T00:00:00Z", "summary": "answers to anybody",
    "affected": [{
        "package": {"name": "flask", "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
    }],
}  # fmt: skip


class Advisories(BaseHTTPRequestHandler):
    """Knows of one vulnerability, in the package that the server has as `bad`."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        bad = getattr(self.server, "bad", "")
        known = {"vulns": [{"id": ADVISORY["id"], "modified": ADVISORY["modified"]}]}
        self.answer({"results": [known if query["package"]["name"] == bad else {} for query in asked]})

    def do_GET(self) -> None:
        self.answer(ADVISORY)

    def answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the output of the tests clean."""


@pytest.fixture
def advisories() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def audit(project: Project, url: str) -> tuple[int, str]:
    """Return how an audit ends, and what it says."""
    result = project.run(sys.executable, "tools/audit.py", check=False, AUDIT_URL=url)
    return result.returncode, result.stdout


def test_a_vulnerability_is_named_with_the_release_that_mends_it(
    tooled: Project, advisories: ThreadingHTTPServer
) -> None:
    url = f"http://127.0.0.1:{advisories.server_port}/"
    assert audit(tooled, url)[0] == 0
    advisories.bad = "flask"  # type: ignore[attr-defined]
    code, said = audit(tooled, url)
    assert code == 1
    assert "flask " in said
    assert "GHSA-test: answers to anybody" in said
    assert "Fixed in: 99.0" in said


def test_without_an_answer_it_does_not_say_that_all_is_well(tooled: Project) -> None:
    code, said = audit(tooled, "http://127.0.0.1:9/")
    assert code == 2
    (line,) = said.splitlines()
    assert line.startswith("audit: http://127.0.0.1:9/ could not be asked, so nothing is known: ")

"""The benchmark's own arithmetic and its local package index; nothing is built or timed."""

import gzip
import http.client
import io
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from benchmarks.images import steps_that_ran
from benchmarks.index import Index, Traffic, Upstream
from benchmarks.measure import Spread, compare, limit
from benchmarks.report import with_short_version

METADATA = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
PAGE = b'<a href="../../packages/demo-1.0-py3-none-any.whl#sha256=abc">demo</a>\n' * 50
LINK = "demo-1.0-py3-none-any.whl"


def wheel() -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("demo-1.0.dist-info/METADATA", METADATA)
    return buffer.getvalue()


WHEEL = wheel()


@pytest.fixture
def asked() -> list[str]:
    """What the real index has been asked for."""
    return []


@pytest.fixture
def index(tmp_path: Path, asked: list[str]) -> Iterator[Index]:
    """A local index before a real one, which sends no cache headers and knows one package."""
    known = {"/simple/demo/": PAGE, "/pypi/demo/json": b"{}", f"/packages/{LINK}": WHEEL}

    class Real(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path in known else 404)
            self.end_headers()
            self.wfile.write(known.get(self.path, b""))

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Real) as real:
        Thread(target=real.serve_forever, args=(0.01,), daemon=True).start()
        with Index(Upstream(f"http://127.0.0.1:{real.server_port}/simple/"), tmp_path) as local:
            yield local
        real.shutdown()


def get(index: Index, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", index.server_port, timeout=10)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def link_of(page: bytes) -> str:
    return page.decode().split('"')[1].partition("#")[0]


def test_a_page_may_be_kept_for_ten_minutes_and_is_then_asked_for_by_its_tag(index: Index) -> None:
    first, body = get(index, "/simple/demo/")
    assert first.status == 200
    assert first.headers["Cache-Control"] == "public, max-age=600"
    again, nothing = get(index, "/simple/demo/", If_None_Match=first.headers["ETag"])
    assert (again.status, nothing) == (304, b"")
    assert again.headers["Cache-Control"] == "public, max-age=600"
    assert get(index, "/simple/demo/", If_None_Match='"another"')[0].status == 200
    assert index.traffic() == Traffic(pages=3, page_bytes=2 * len(body))


def test_a_page_is_packed_for_those_who_ask_and_counted_as_sent(index: Index) -> None:
    plain = get(index, "/simple/demo/")[1]
    before = index.traffic()
    response, packed = get(index, "/simple/demo/", Accept_Encoding="gzip, deflate")
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain)
    assert index.traffic() - before == Traffic(pages=1, page_bytes=len(packed))


def test_a_file_may_be_kept_for_ever_and_is_counted_apart_from_pages(index: Index) -> None:
    link = link_of(get(index, "/simple/Demo/")[1])
    assert link.endswith(LINK)
    before = index.traffic()
    response, body = get(index, link)
    assert body == WHEEL
    assert response.headers["Cache-Control"] == "public, immutable, max-age=31536000"
    assert index.traffic() - before == Traffic(files=1, file_bytes=len(WHEEL))
    assert get(index, f"{link}.metadata")[1] == METADATA


def test_the_real_index_is_asked_once(index: Index, asked: list[str], tmp_path: Path) -> None:
    for _ in range(2):
        get(index, link_of(get(index, "/simple/demo/")[1]))
        get(index, "/pypi/demo/json")
    with Index(index.upstream, tmp_path) as later:
        get(later, link_of(get(later, "/simple/demo/")[1]))
    assert sorted(asked) == [f"/packages/{LINK}", "/pypi/demo/json", "/simple/demo/"]


def test_what_is_not_there_is_not_found(index: Index) -> None:
    statuses = [get(index, path)[0].status for path in ("/simple/other/", "/files/0/x.whl", "/pypi/other/json", "/")]
    assert statuses == [404] * 4


def test_a_spread_is_the_median_between_the_extremes() -> None:
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)
    assert Spread.of([4.0, 2.0]).seconds() == "3.00 s (2.00..4.00)"


def test_a_bar_is_judged_by_the_ratio_of_the_medians() -> None:
    fast, slow = ("ours", [1.0, 1.0, 9.0]), ("classic", [12.0, 12.0, 1.0])
    assert compare("add", fast, slow, faster=12).cells()[2:] == ("12 x", "at least 12 x", "reached")
    assert compare("add", fast, slow, faster=12.5).cells()[-1] == "MISSED"
    assert limit("code", slow, fast, times=12).cells()[2:] == ("12 x", "at most 12 x", "reached")
    assert limit("code", slow, fast, times=11).cells()[-1] == "MISSED"


def test_a_step_ran_when_the_log_does_not_call_it_cached() -> None:
    log = """\
#6 [base 2/2] WORKDIR /app
#6 CACHED

#8 [baseline 1/1] RUN --mount=type=cache,target=/x sh sync.sh
#8 CACHED

#9 [packages 1/1] RUN sh sync.sh
#9 0.202 Using Python
#9 CACHED is not what a step says of itself
#9 DONE 1.4s

#9 [packages 1/1] RUN sh sync.sh
#10 [production 1/2] COPY --link gunicorn.conf.py ./
#10 DONE 0.1s
"""
    assert steps_that_ran(log) == ["packages 1/1"]


def test_the_short_version_replaces_the_one_before() -> None:
    line = limit("Rendering", ("template", [1.0]), ("one file", [0.5]), times=3)
    first = with_short_version("# Layercake\n", [line])
    assert "| Rendering | 2.00 x | at most 3 x |" in first
    assert first.startswith("# Layercake\n\n<!-- benchmark -->\n")
    changed = first.replace("2.00 x", "9.99 x") + "\nThe end.\n"
    assert with_short_version(changed, [line]) == first + "\nThe end.\n"

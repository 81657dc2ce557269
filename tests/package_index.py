"""A package index on this machine, with a password and tiny packages of its own; others are the real index's."""

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pip._internal.models.index import PyPI

from tests.locking import module
from tests.support import HERE, SCAFFOLD
from tests.wheels import Wheel

USER, PASSWORD = "lodger", "hunter2-s3cret"
TOKEN = "e7a91c3b5d2f4608"
"""May stand before any path."""
JSON = "application/vnd.pypi.simple.v1+json"

# Name, version and what it needs. gamma needs alpha, delta cannot live with alpha 1.1; app 9.0 not with core 2.0.
# What wide needs depends on the processor and on the release of Python.
PACKAGES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("layer-alpha", "1.0", ()),
    ("layer-alpha", "1.1", ()),
    ("layer-beta", "2.0", ()),
    ("layer-gamma", "3.0", ("layer-alpha", 'layer-beta; sys_platform == "nowhere"')),
    ("layer-delta", "4.0", ("layer-alpha<1.1",)),
    ("layer-core", "1.0", ()),
    ("layer-core", "1.1", ()),
    ("layer-core", "2.0", ()),
    ("layer-app", "1.0", ()),  # goes with everything, and is old
    ("layer-app", "9.0", ("layer-core<2",)),
    ("layer-web", "3.0", ("layer-app",)),
    ("layer-user", "1.0", ("layer-core>=2",)),
    ("layer-user", "2.0", ("layer-core>=1.1",)),
    ("layer-fresh", "1.0", ()),
    ("layer-fresh", "2.0", ()),
    ("layer-young", "1.0", ()),
    ("layer-young", "2.0", ()),
    ("layer-early", "1.0", ()),
    ("layer-arm", "1.0", ()),
    ("layer-arm", "2.0", ()),
    (
        "layer-wide",
        "1.0",
        (
            f'layer-early; python_full_version < "{HERE}.1"',
            'layer-arm; platform_machine == "aarch64"',
            'layer-beta; sys_platform == "win32"',
            'layer-core>=9; python_version >= "3.99"',
        ),
    ),
    ("layer-heavy", "5.0", ()),
    ("layer-heavy", "5.1", ()),
)
HEAVY: int = module(SCAFFOLD / "tools" / "layers.py").LARGE  # bytes in a wheel of layer-heavy


def wheel(name: str, version: str, needs: tuple[str, ...]) -> tuple[str, bytes]:
    """Return the file name and the bytes of a wheel that holds its own description, and ballast if it is heavy."""
    made = Wheel(name, version, {"layer_heavy.txt": b"x" * HEAVY} if name == "layer-heavy" else {}, needs=needs)
    return made.file, made.pack()


WHEELS = dict(wheel(*package) for package in PACKAGES)


class PackageIndex(ThreadingHTTPServer):
    """Serves /simple/, with the sizes of files to those who read JSON (PEP 691, PEP 700), and /sizeless/ without.

    Below /open/ files need no password; below /hang/ it never answers, and says so in `hangs`; below /status/403/ it
    answers that. It is a proxy, too, that answers so for whatever host.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hangs = threading.Event()
        self.released = threading.Event()
        self.authorised = 0  # requests that came with the password

    def url(self, path: str = "simple", password: str = PASSWORD) -> str:
        """Return the URL of the index, with the password in it."""
        return f"http://{USER}:{password}@127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: PackageIndex

    def do_GET(self) -> None:
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        path = re.sub(r"\Ahttp://[^/]+", "", self.path)
        kind, _, name = path.removeprefix(f"/{TOKEN}").strip("/").partition("/")
        if kind == "hang":
            self.server.hangs.set()
            self.server.released.wait()
        elif kind == "status":
            self.answer(int(name.partition("/")[0]), {})
        elif kind == "open":
            self.answer(200, {"Content-Type": "application/zip"}, WHEELS[name])
        elif self.headers["Authorization"] != expected:
            self.answer(401, {"WWW-Authenticate": 'Basic realm="packages"'})
        elif kind == "files":
            self.answer(200, {"Content-Type": "application/zip"}, WHEELS[name])
        elif files := [file for file in WHEELS if file.startswith(f"{name.replace('-', '_')}-")]:
            self.server.authorised += 1
            if kind == "simple" and JSON in self.headers["Accept"]:
                page = {"meta": {"api-version": "1.1"}, "name": name, "files": list(map(self.entry, files))}
                self.answer(200, {"Content-Type": JSON}, json.dumps(page).encode())
            else:
                self.answer(200, {"Content-Type": "text/html"}, "".join(map(self.link, files)).encode())
        elif kind in ("simple", "sizeless") and not name.startswith("layer-"):
            self.answer(302, {"Location": f"{PyPI.simple_url}/{name}/"})
        else:
            self.answer(404, {})

    def do_HEAD(self) -> None:
        self.do_GET()  # answer() leaves out the body

    def entry(self, file: str) -> dict[str, object]:
        digest = hashlib.sha256(WHEELS[file]).hexdigest()
        of_today = file.startswith(("layer_fresh-2.0", "layer_young-2.0"))
        uploaded = datetime.now(UTC) - timedelta(days=0 if of_today else 100)
        return {
            "filename": file, "url": f"/files/{file}", "hashes": {"sha256": digest}, "size": len(WHEELS[file]),
            "upload-time": uploaded.strftime("%Y-%m-%dT%H:%M:%S.000000Z"),
        }  # fmt: skip

    def link(self, file: str) -> str:
        return f'<a href="/files/{file}#sha256={hashlib.sha256(WHEELS[file]).hexdigest()}">{file}</a>\n'

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the output of the tests clean."""


@contextlib.contextmanager
def serving() -> Iterator[PackageIndex]:
    """Run an index for a while."""
    with PackageIndex() as index:
        threading.Thread(target=index.serve_forever, daemon=True).start()
        try:
            yield index
        finally:
            index.released.set()
            index.shutdown()

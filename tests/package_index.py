"""A package index on this machine, with a password and tiny packages of its own; others are the real index's."""

import base64
import contextlib
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pip._internal.models.index import PyPI

USER, PASSWORD = "lodger", "hunter2-s3cret"

# Name, version and what it needs. gamma needs alpha, epsilon cannot live with alpha 1.1.
PACKAGES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("layer-alpha", "1.0", ()),
    ("layer-alpha", "1.1", ()),
    ("layer-beta", "2.0", ()),
    ("layer-gamma", "3.0", ("layer-alpha", 'layer-beta; sys_platform == "nowhere"')),
    ("layer-delta", "4.0", ("layer-alpha<1.1",)),
)


def wheel(name: str, version: str, needs: tuple[str, ...]) -> tuple[str, bytes]:
    """Return the file name and the bytes of a wheel that holds nothing but its own description."""
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {need}\n" for need in needs)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        tag = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        for file, text in (("METADATA", metadata), ("WHEEL", tag), ("RECORD", "")):
            archive.writestr(zipfile.ZipInfo(f"{stem}.dist-info/{file}"), text)
    return f"{stem}-py3-none-any.whl", data.getvalue()


WHEELS = dict(wheel(*package) for package in PACKAGES)


class PackageIndex(ThreadingHTTPServer):
    """Serves /simple/; below /hang/ it never answers, and says so in `hangs`."""

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
        kind, _, name = self.path.strip("/").partition("/")
        if kind == "hang":
            self.server.hangs.set()
            self.server.released.wait()
        elif self.headers["Authorization"] != expected:
            self.answer(401, {"WWW-Authenticate": 'Basic realm="packages"'})
        elif kind == "files":
            self.answer(200, {"Content-Type": "application/zip"}, WHEELS[name])
        elif links := [self.link(file) for file in WHEELS if file.startswith(f"{name.replace('-', '_')}-")]:
            self.server.authorised += 1
            self.answer(200, {"Content-Type": "text/html"}, "".join(links).encode())
        elif kind == "simple" and not name.startswith("layer-"):
            self.answer(302, {"Location": f"{PyPI.simple_url}/{name}/"})
        else:
            self.answer(404, {})

    def do_HEAD(self) -> None:
        self.do_GET()  # answer() leaves out the body

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

"""A package index on this machine, in front of the one that pip is configured with.

It sends the cache headers that the public index sends, so that tools which cache are measured as they are,
and it counts what it is asked for. Pages and files come from the real index once and then from a folder.
"""

import gzip
import hashlib
import html
import os
import re
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urljoin, urlsplit

from benchmarks.measure import run
from benchmarks.server import LocalServer

PAGE = "public, max-age=600"
PIECE = 1 << 14
FILE = "public, immutable, max-age=31536000"


class Upstream(NamedTuple):
    """Where the packages come from."""

    url: str  # of the simple API, with a slash at its end
    certificates: str | None = None  # a file, instead of the system's

    def open(self, url: str) -> bytes:
        """Return what a URL answers. Raises urllib.error.URLError or OSError."""
        context = ssl.create_default_context(cafile=self.certificates)
        request = urllib.request.Request(url, headers={"Accept": "text/html, */*;q=0.1"})
        with urllib.request.urlopen(request, timeout=180, context=context) as answer:
            body: bytes = answer.read()
        return body


def configured_upstream() -> Upstream:
    """Return the index that this machine's pip uses: its configuration, PIP_INDEX_URL, or its default.

    Raises:
        BenchmarkError: pip does not tell.
    """
    ask = "from pip._internal.commands import create_command as c; o = c('download').parse_args([])[0]"
    command = [sys.executable, "-c", f"{ask}; print(o.index_url); print(o.cert or '')"]
    url, certificates = run(*command).output.split("\n")[-3:-1]
    return Upstream(url.rstrip("/") + "/", certificates or None)


@dataclass
class Traffic:
    """Answers and the bytes in their bodies; an answer 304 has none."""

    pages: int = 0
    page_bytes: int = 0
    files: Counter[str] = field(default_factory=Counter)
    """The bytes by the name of the file."""

    def __sub__(self, earlier: "Traffic") -> "Traffic":
        return Traffic(self.pages - earlier.pages, self.page_bytes - earlier.page_bytes, self.files - earlier.files)


class Page(NamedTuple):
    """What is said about a package: the page of the simple API, or the facts that pip-tools takes hashes from."""

    plain: bytes
    packed: bytes  # with gzip
    tag: str
    kind: str

    @classmethod
    def of(cls, text: bytes, kind: str = "text/html") -> Self:
        """Return the page with this text and media type."""
        return cls(text, gzip.compress(text, mtime=0), f'"{hashlib.sha256(text).hexdigest()[:32]}"', kind)


def normalised(name: str) -> str:
    """Return the name of a package as indexes spell it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def metadata_of(wheel: Path) -> Path:
    """Return a file beside the wheel that holds the wheel's METADATA (PEP 658)."""
    beside = wheel.with_name(f"{wheel.name}.metadata")
    if not beside.exists():
        with zipfile.ZipFile(wheel) as archive:
            name = next(name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
            new = wheel.with_name(f".{beside.name}.{threading.get_ident()}")
            new.write_bytes(archive.read(name))
            new.replace(beside)
    return beside


class Index(LocalServer):
    """The index as a context manager: it answers at `url` until the block ends.

    Args:
        upstream: where pages and files come from the first time.
        folder: where they are kept.
        host: the address to listen on.
        rate: bytes that it sends in a second, to all clients together; zero: as many as it can.
    """

    def __init__(self, upstream: Upstream, folder: Path, host: str = "127.0.0.1", rate: float = 0.0) -> None:
        super().__init__(host, Handler)
        self.upstream = upstream
        self.folder = folder
        self.rate = rate
        self.url = f"http://{host}:{self.server_port}/simple"
        self.asked = 0
        """How often the real index was asked."""
        self._free = 0.0  # when the link is free again
        self._traffic = Traffic()
        self._counting = threading.Lock()
        self._fetching: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)
        self._pages: dict[str, Page] = {}
        self._origins: dict[str, str] = {}  # path here -> URL there

    def for_pip(self) -> dict[str, str]:
        """Return the environment in which pip asks this index and nothing else."""
        return {
            "PIP_INDEX_URL": self.url,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_EXTRA_INDEX_URL": "",
            "PIP_FIND_LINKS": "",
        }

    def traffic(self) -> Traffic:
        """Return what was sent until now."""
        with self._counting:
            return replace(self._traffic, files=self._traffic.files.copy())

    def count(self, sent: int, file: str | None = None) -> None:
        """Add one answer of `sent` bytes: a file, else a page or the metadata of a file."""
        with self._counting:
            if file and not file.endswith(".metadata"):
                self._traffic.files[file] += sent
            else:
                self._traffic.pages += 1
                self._traffic.page_bytes += sent

    def wait_for_link(self, size: int) -> None:
        """Wait for as long as `size` bytes take on the link that all clients share."""
        if self.rate:
            with self._counting:
                self._free = max(self._free, time.monotonic()) + size / self.rate
                wait = self._free - time.monotonic()
            time.sleep(max(0.0, wait))

    def page(self, name: str) -> Page:
        """Return the page of a package; its links lead to files here. Raises OSError."""
        if name not in self._pages:
            url = f"{self.upstream.url}{name}/"
            source = self._stored(self.folder / "pages" / f"{name}.html", url).read_text(encoding="utf-8")
            text = re.sub(r'<a href="([^"#]+)([^>]*)', lambda link: self._local_link(url, link[1], link[2]), source)
            self._pages[name] = Page.of(text.encode())
        return self._pages[name]

    def facts(self, name: str) -> Page:
        """Return the JSON about a package. Raises OSError."""
        if f"{name}.json" not in self._pages:
            url = urljoin(self.upstream.url, f"../pypi/{name}/json")
            source = self._stored(self.folder / "facts" / f"{name}.json", url).read_bytes()
            self._pages[f"{name}.json"] = Page.of(source, "application/json")
        return self._pages[f"{name}.json"]

    def file(self, path: str) -> Path:
        """Return the file for a link of a page. Raises KeyError when no page had it, OSError."""
        wheel = path.removesuffix(".metadata")
        stored = self._stored(self.folder / wheel.lstrip("/"), self._origins[wheel])
        return stored if wheel == path else metadata_of(stored)

    def _local_link(self, page: str, link: str, rest: str) -> str:
        origin = urljoin(page, html.unescape(link))
        key = hashlib.sha256(origin.encode()).hexdigest()[:16]
        path = f"/files/{key}/{urlsplit(origin).path.rpartition('/')[2]}"
        self._origins[path] = origin
        if path.endswith(".whl") and "data-core-metadata" not in rest:
            rest += ' data-core-metadata="true"'  # as on the public index; mirrors may leave it out
        return f'<a href="{path}{rest}'

    def _stored(self, path: Path, url: str) -> Path:
        with self._counting:
            fetching = self._fetching[path]
        with fetching:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                with self._counting:
                    self.asked += 1
                new = path.with_name(f".{path.name}.new")
                new.write_bytes(self.upstream.open(url))
                new.replace(path)
        return path


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: Index
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        try:
            if page := re.fullmatch(r"/simple/([A-Za-z0-9._-]+)/", path):
                self._answer_page(self.server.page(normalised(page[1])))
            elif facts := re.fullmatch(r"/pypi/([A-Za-z0-9._-]+)/json", path):
                self._answer_page(self.server.facts(normalised(facts[1])))
            else:
                self._answer_file(self.server.file(path))
        except (KeyError, urllib.error.HTTPError):
            self.send_error(404)
        except (urllib.error.URLError, TimeoutError) as error:
            self.send_error(502, str(error).replace("\n", " "))

    def _answer_page(self, page: Page) -> None:
        fresh = page.tag in self.headers.get("If-None-Match", "")
        packed = "gzip" in self.headers.get("Accept-Encoding", "")
        body = b"" if fresh else page.packed if packed else page.plain
        self.send_response(304 if fresh else 200)
        self.send_header("Cache-Control", PAGE)
        self.send_header("ETag", page.tag)
        self.send_header("Vary", "Accept-Encoding")
        if not fresh:
            self.send_header("Content-Type", page.kind)
            self.send_header("Content-Length", str(len(body)))
            if packed:
                self.send_header("Content-Encoding", "gzip")
        self.server.count(len(body))  # before the client can see the end, and ask for the count
        self.end_headers()
        self.server.wait_for_link(len(body))
        self.wfile.write(body)

    def _answer_file(self, path: Path) -> None:
        size = path.stat().st_size
        self.send_response(200)
        self.send_header("Cache-Control", FILE)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size))
        self.server.count(size, path.name)
        self.end_headers()
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                self.server.wait_for_link(len(piece))
                self.wfile.write(piece)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the terminal for the progress."""

"""The package index as JSON, kept in a folder: a hundred resolutions ask the real one for each page once."""

import json
import re
import ssl
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from benchmarks.index import PAGE, Upstream, normalised
from benchmarks.measure import BenchmarkError
from benchmarks.server import LocalServer

LINUX = r"-any\.whl$|manylinux.*_x86_64"
KIND = "application/vnd.pypi.simple.v1+json"


class Pages(LocalServer):
    """The pages of an index as a context manager: it answers at `url` until the block ends. Files stay where they are.

    Args:
        upstream: where pages come from the first time. It has to speak JSON: HTML has no dates.
        folder: where they are kept.
    """

    def __init__(self, upstream: Upstream, folder: Path) -> None:
        super().__init__("127.0.0.1", Handler)
        self.upstream = upstream
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.server_port}/simple"
        folder.mkdir(parents=True, exist_ok=True)

    def page(self, name: str) -> bytes:
        """Return the page of a package. Raises OSError, or ValueError when it is not JSON."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            new = path.with_name(f".{name}.{threading.get_ident()}")
            new.write_bytes(wheels_of(self._ask(f"{self.upstream.url}{name}/"), self.upstream.url))
            new.replace(path)
        return path.read_bytes()

    def release(self, name: str, version: str) -> list[dict[str, Any]]:
        """Return the wheels of a release as the page has them. Raises BenchmarkError when it has none, OSError."""
        files = json.loads(self.page(name))["files"]
        if found := [file for file in files if file["filename"].split("-")[1] == version]:
            return found
        raise BenchmarkError(f"the package index has no wheel of {name} {version}")

    def size(self, name: str, version: str) -> int:
        """Return the bytes of the largest wheel for Linux on x86-64 of a release. Raises BenchmarkError, OSError."""
        sizes: list[int] = [file["size"] for file in self.release(name, version) if re.search(LINUX, file["filename"])]
        return max(sizes)

    def _ask(self, url: str) -> bytes:
        context = ssl.create_default_context(cafile=self.upstream.certificates)
        request = urllib.request.Request(url, headers={"Accept": KIND})
        with urllib.request.urlopen(request, timeout=180, context=context) as answer:
            body: bytes = answer.read()
        return body


def wheels_of(page: bytes, url: str) -> bytes:
    """Return a page with nothing but its wheels, each with a whole URL. Raises ValueError when it is not JSON."""
    content = json.loads(page)
    wheels = [file for file in content["files"] if file["filename"].endswith(".whl")]
    content["files"] = [{**file, "url": urljoin(f"{url}{content['name']}/", file["url"])} for file in wheels]
    return json.dumps(content).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: Pages
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        page = re.fullmatch(r"/simple/([A-Za-z0-9._-]+)/", self.path)
        try:
            if not page:
                self.send_error(404)
                return
            body = self.server.page(normalised(page[1]))
        except urllib.error.HTTPError as error:
            self.send_error(error.code)
        except (OSError, ValueError) as error:
            self.send_error(502, str(error).replace("\n", " "))
        else:
            self.send_response(200)
            self.send_header("Cache-Control", PAGE)
            self.send_header("Content-Type", KIND)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the terminal for the progress."""

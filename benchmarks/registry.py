"""A registry that starts empty, behind a proxy that counts what goes through it."""

import http.client
import re
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Self

from benchmarks.engines import LABEL
from benchmarks.measure import BenchmarkError, run
from benchmarks.server import LocalServer

CHUNK = 1 << 16


@dataclass
class Passage:
    """What went through the registry's door."""

    pushed: int = 0
    """Bytes of blobs and manifests that were uploaded."""
    pulled: dict[str, int] = field(default_factory=dict)
    """Bytes of the blobs that were downloaded, by digest."""


class Registry(LocalServer):
    """The registry as a context manager, reached at `address`.

    Args:
        host: the address to listen on.
        image: such as registry:2.
    """

    def __init__(self, host: str, image: str = "registry:2") -> None:
        super().__init__(host, Door)
        self.address = f"{host}:{self.server_port}"
        self.image = image
        self.name = f"layercake-bench-{secrets.token_hex(4)}"
        self.behind = 0
        self._lock = threading.Lock()
        self._passage = Passage()

    def __enter__(self) -> Self:
        options = ["--detach", "--name", self.name, "--label", LABEL, "--publish", "127.0.0.1::5000"]
        run("docker", "run", *options, self.image)
        self.behind = int(run("docker", "port", self.name, "5000").output.rpartition(":")[2])
        super().__enter__()
        give_up = time.monotonic() + 60
        while not self._answers():
            if time.monotonic() > give_up:
                raise BenchmarkError(f"the registry of {self.image} does not answer; see docker logs {self.name}")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, value, trace)
        subprocess.run(["docker", "rm", "--force", "--volumes", self.name], capture_output=True, check=False)

    def take(self) -> Passage:
        """Return what went through since the last call."""
        with self._lock:
            passage, self._passage = self._passage, Passage()
        return passage

    def count(self, *, pushed: int = 0, digest: str = "", pulled: int = 0) -> None:
        """Add one request."""
        with self._lock:
            self._passage.pushed += pushed
            if digest:
                self._passage.pulled[digest] = self._passage.pulled.get(digest, 0) + pulled

    def get(self, path: str, accept: str) -> bytes:
        """Return what the registry answers, without counting it. Raises BenchmarkError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=60)
        try:
            connection.request("GET", path, headers={"Accept": accept})
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise BenchmarkError(f"the registry answers {response.status} to {path}")
        return body

    def _answers(self) -> bool:
        try:
            return self.get("/v2/", "*/*") is not None
        except (OSError, http.client.HTTPException, BenchmarkError):
            return False


class Door(BaseHTTPRequestHandler):
    """Passes the requests of one connection on."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # engines try TLS first, and take only a real answer as a reason not to
    server: Registry
    disable_nagle_algorithm = True

    def _pass_on(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=120)
        try:
            self.server.count(pushed=self._send(connection))
            response = connection.getresponse()
            blob = re.search(r"/blobs/(sha256:\w+)$", self.path)
            if blob and self.command == "GET" and response.status in (200, 206):
                self.server.count(digest=blob[1], pulled=int(response.headers["Content-Length"]))
            self._answer(response)  # counted before the client can see the end, and ask for the count
        finally:
            connection.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _pass_on

    def _send(self, connection: http.client.HTTPConnection) -> int:
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "expect"):
                connection.putheader(name, value)
        connection.endheaders()
        sent = 0
        for piece in self._body():
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)
            sent += len(piece)
        if self._chunked:
            connection.send(b"0\r\n\r\n")
        return sent

    @property
    def _chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "")

    def _body(self) -> Iterator[bytes]:
        if self._chunked:
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read(min(left, CHUNK))
            left -= len(piece)
            yield piece

    def _answer(self, response: http.client.HTTPResponse) -> None:
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        if "Content-Length" not in response.headers:
            body = b"" if self.command == "HEAD" or response.status in (204, 304) else response.read()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.end_headers()
        while self.command != "HEAD" and (piece := response.read(CHUNK)):
            self.wfile.write(piece)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the terminal for the progress."""

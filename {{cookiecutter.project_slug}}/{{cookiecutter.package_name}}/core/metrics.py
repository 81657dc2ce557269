"""Metrics for Prometheus, on a port of their own: what a proxy shows the public does not hold them."""

import fcntl
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask
from prometheus_client import REGISTRY, CollectorRegistry, Histogram, make_wsgi_app, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
SUMS = ("counter", "histogram", "summary")
"""What goes on counting when a process has ended. A gauge ends with its process."""

ROOM = 262_144
"""Bytes that a process keeps for each of these kinds: a full disk would kill it at its next count."""

logger = logging.getLogger(__name__)
duration = Histogram(
    "http_server_request_duration_seconds",
    "Time from when the application gets a request until it has the answer",
    ["http_request_method", "http_route", "http_response_status_code"],
)
"""Named and labelled as in OpenTelemetry's conventions for HTTP. A request that fits no route has an empty one."""


def init_app(_app: Flask) -> None:
    """Let what is no process of gunicorn, like a shell in the image, count for itself alone: it has not taken room."""
    if (place := folder()) and not (place / f"histogram_{os.getpid()}.db").exists():
        values.ValueClass = values.MutexValue


def count(method: str, route: str, status: int, seconds: float = 0) -> None:
    """Count a request."""
    method = method if method in METHODS else "_OTHER"  # a client may send any word
    duration.labels(method, route, str(int(status))).observe(seconds)


def application() -> WSGIApplication:
    """Return what serves the metrics of all processes, or of this one without a folder for them."""
    if not (place := folder()):
        return make_wsgi_app(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    metrics = make_wsgi_app(registry)

    def alone(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with locked(place, fcntl.LOCK_SH):
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer

    return alone


@contextmanager
def locked(place: Path, how: int) -> Iterator[None]:
    """Keep the counts of ended processes from moving while they are read."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def folder() -> Path | None:
    """Return where processes keep their counts for all of them; None when each has its own alone."""
    place = os.environ.get(FOLDER)
    return Path(place) if place else None


def begin() -> None:
    """Remove what the processes of a former start have counted, before the first of this one does."""
    if place := folder():
        try:
            place.mkdir(parents=True, exist_ok=True)
            for counts in place.glob("*_*.db"):
                counts.unlink()
        except OSError as error:
            logger.warning("there will be no metrics of all processes: %s: %s", place, error.strerror)


def take_room() -> None:
    """Let this process, which is new, count where there is room for it, else for itself alone."""
    if place := folder():
        try:
            for kind in SUMS:
                take(place / f"{kind}_{os.getpid()}.db", ROOM)
        except OSError as error:
            logger.warning("the metrics lack what this process counts: %s: %s", place, error.strerror)
            for file in place.glob(f"*_{os.getpid()}.db"):
                file.unlink()
            values.ValueClass = values.MutexValue


def take(file: Path, size: int) -> None:
    """Make a file so large that it is not enlarged later. Raises OSError without room for it."""
    with file.open("ab") as opened:
        os.posix_fallocate(opened.fileno(), 0, size)


def keep(pid: int) -> None:
    """Add what a process has counted, which has ended, to what all of those have, and remove its files."""
    if not (place := folder()):
        return
    with locked(place, fcntl.LOCK_EX):
        for file in place.glob(f"*_{pid}.db"):
            kind = file.name.split("_")[0]
            if kind in SUMS:
                add(file, place / f"{kind}_0.db")
            file.unlink()


def add(file: Path, kept: Path) -> None:
    """Add the counts of a file to those of another one."""
    counts = {key: (value, when) for key, value, when, _ in read(file)}
    if not counts:
        return
    keys = counts.keys() | {key for key, *_ in read(kept)}
    try:
        take(kept, max(ROOM, sum(len(key.encode()) + 40 for key in keys)))
    except OSError as error:
        logger.warning("what a process has counted is lost with it: %s: %s", kept, error.strerror)
        return
    total = MmapedDict(str(kept))  # type: ignore[no-untyped-call]
    for key, (value, when) in counts.items():
        total.write_value(key, total.read_value(key)[0] + value, when)  # type: ignore[no-untyped-call]
    total.close()  # type: ignore[no-untyped-call]


def read(file: Path) -> Iterable[tuple[str, float, float, int]]:
    """Return the counts of a file, of which there are none as long as it is not there."""
    begun = file.exists() and file.stat().st_size
    return MmapedDict.read_all_values_from_file(str(file)) if begun else ()  # type: ignore[no-untyped-call]

"""Measures how long a service takes to answer while something is wrong, and writes the table of docs/reliability.md:
python -m scripts.measure_faults. It needs Docker.

A service with PostgreSQL and Celery, in a container of 1 CPU and 512 MB. Ten times a second, somebody asks for `/livez`,
for the metrics, and for a greeting, which needs neither server, each with a new connection. The table gives the longest of
all answers, and the longest of ninety-nine in a hundred, in milliseconds.
"""

import math
import os
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from cookiecutter.main import cookiecutter

from scripts import put
from tests.containers import MIGRATE, PYTHON, SMALL, built, docker, inside, load, running, servers
from tests.support import ROOT, Project

ANSWERS = {"python_version": PYTHON, "database": "postgresql", "background_jobs": "celery"}
EACH = 0.1
"""Seconds from one question to the next."""
NOTES, POSTCARDS = "/api/notes", "/api/postcards"
HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "


def main() -> int:
    os.environ["LAYERCAKE_LOCK"] = "skip"
    rows = ["| fault | `/livez`: p99, longest | metrics | a greeting |", "|---|---|---|---|"]
    with ExitStack() as stack:
        work = stack.enter_context(tempfile.TemporaryDirectory())
        made = cookiecutter(str(ROOT), no_input=True, extra_context=ANSWERS, output_dir=work, default_config=True)
        tag = stack.enter_context(built(Project(Path(made))))
        options, started = stack.enter_context(servers("postgresql", "celery"))
        docker("run", "--rm", *options, tag, *MIGRATE)
        container, address = stack.enter_context(running(tag, *SMALL, *options))
        asked = (f"{address}/livez", f"http://{inside(container)}:9000/metrics", f"{address}/api/greetings/en")
        for name, seconds, fault in faults(started, address):
            print(name, "...", flush=True)
            with fault():
                taken = measure(asked, seconds)
            time.sleep(10)  # all is well again
            rows.append(f"| {name} | {' | '.join(map(told, taken))} |")
    text = "\n".join(rows) + "\n"
    put(ROOT / "docs" / "reliability.md", "faults", text)
    print(text)
    return 0


def faults(
    started: dict[str, str], address: str
) -> Iterator[tuple[str, int, Callable[[], AbstractContextManager[None]]]]:
    """Yield each fault with its name, and the seconds that it lasts."""
    place = urlsplit(address)
    postcard = {"name": "Ana", "place": "Lyon"}
    yield "none", 20, nullcontext
    yield "PostgreSQL hangs, two requests a second need it", 60, lambda: paused(started["database"], address + NOTES)
    yield (
        "Redis hangs, two requests a second need it",
        12,
        lambda: paused(started["redis"], address + POSTCARDS, postcard),
    )
    yield "500 clients that send nothing", 20, lambda: clients(500, place, b"")
    yield "40 clients that send a byte a second", 20, lambda: clients(40, place, HEAD, b"x")


@contextmanager
def paused(container: str, address: str, body: dict[str, str] | None = None) -> Iterator[None]:
    """Let a server hang while two requests a second need it."""
    docker("pause", container)
    try:
        with load(address, 0.5, body):
            yield
            docker("unpause", container)
    finally:
        docker("unpause", container, check=False)


@contextmanager
def clients(count: int, place: SplitResult, head: bytes, more: bytes = b"") -> Iterator[None]:
    """Have so many connections open that send a head, and one more part each second."""
    stop = threading.Event()
    with ExitStack() as stack:
        found = [stack.enter_context(socket.create_connection((place.hostname, place.port))) for _ in range(count)]

        def send() -> None:
            part = head
            while True:
                for client in found:
                    try:
                        client.sendall(part)
                    except OSError:  # the service has cut it off
                        continue
                part = more
                if stop.wait(1):
                    return

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def measure(addresses: tuple[str, ...], seconds: int) -> list[list[float]]:
    """Ask each address again and again for so many seconds; return how long each answer took, for each address.

    Raises:
        OSError: there was none within 30 seconds, or one that is no success.
    """

    def ask(address: str) -> float:
        began = time.perf_counter()
        with urllib.request.urlopen(address, timeout=30) as answer:
            answer.read()
        return time.perf_counter() - began

    with ThreadPoolExecutor(100) as pool:
        waiting = []
        for _ in range(int(seconds / EACH)):
            waiting.append([pool.submit(ask, address) for address in addresses])
            time.sleep(EACH)
        return [[one.result() for one in each] for each in zip(*waiting, strict=True)]


def told(taken: list[float]) -> str:
    """Return a cell of the table."""
    ordered = sorted(taken)
    return f"{ordered[math.ceil(len(ordered) * 0.99) - 1] * 1000:.0f}, {ordered[-1] * 1000:.0f}"


if __name__ == "__main__":
    sys.exit(main())

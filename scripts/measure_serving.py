"""Measures what a request costs, and writes the table of docs/reliability.md: python -m scripts.measure_serving

A service with the default answers, and a bare Flask application with the same answer, each on several servers: one process
that four clients with kept connections ask as fast as they get answers. Measured is the time that the processors spend on
the server and its process, in microseconds a request; variants take turns, and the table gives medians, as ratios to the
bare application on the same server.
"""

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path

from cookiecutter.main import cookiecutter

from scripts import put

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "reliability.md"
ROUNDS, REQUESTS, CLIENTS = 9, 2000, 4
PATH = "/api/greetings/en"
BARE = """\
from flask import Flask

from flask_service.core.serving import Front
from flask_service.core.settings import load_settings

app = Flask(__name__)
app.config["SETTINGS"] = load_settings()


@app.get("/api/greetings/<language>")
def greet(language: str) -> dict[str, str]:
    return {"language": language, "text": "Hello!"}


def front() -> Front:
    return Front(app)
"""
THREADS = ("gunicorn", "--config", "/dev/null", "--threads", "16", "--bind", "127.0.0.1:{port}")
GRANIAN = ("granian", "--interface", "wsgi", "--blocking-threads", "16", "--no-ws", "--port", "{port}")
SERVERS = {
    "gunicorn, event loop, with `core/serving.py`": (("gunicorn", "--bind", "127.0.0.1:{port}"), "bare:front()", ""),
    "gunicorn, threads": (THREADS, "bare:app", "flask_service:create_app()"),
    "granian (WSGI)": (GRANIAN, "bare:app", "wsgi:app"),
}
SETTINGS = {"APP_ENV": "production", "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEF", "WEB_CONCURRENCY": "1"}


def main() -> int:
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        project = make(Path(work))
        running = {}
        for server, (command, bare, ours) in SERVERS.items():
            for what, application, more in (
                ("bare", bare, {}), ("quiet", ours, {"LOG_LEVEL": "WARNING"}), ("ours", ours, {})
            ):  # fmt: skip
                running[server, what] = start(stack, project, [*command, *filter(None, [application])], more)
        costs: dict[tuple[str, str], list[float]] = {variant: [] for variant in running}
        for number in range(ROUNDS + 1):
            for variant, (process, port) in running.items():
                before = seconds_of(process.pid)
                asyncio.run(ask(port))
                if number:  # the first is to warm up
                    costs[variant].append((seconds_of(process.pid) - before) / REQUESTS * 1e6)
    text = table({variant: statistics.median(found) for variant, found in costs.items()})
    for variant, found in costs.items():
        print(*variant, *(f"{cost:.0f}" for cost in sorted(found)))
    put(DOCUMENT, "serving", text)
    print(text)
    return 0


def table(costs: dict[tuple[str, str], float]) -> str:
    """Return the rows of the document."""
    lines = ["| server | bare Flask, against the first | the service | of this its log line |", "|---|---|---|---|"]
    first = next(iter(costs.values()))
    for server in SERVERS:
        bare, quiet, ours = (costs[server, what] for what in ("bare", "quiet", "ours"))
        lines.append(f"| {server} | {bare / first:.2f} | {ours / bare:.2f} | {(ours - quiet) / bare:.2f} |")
    return "\n".join(lines) + "\n"


def make(work: Path) -> Path:
    """Return a service, with a virtual environment beside it that has granian too."""
    own = work / "config"
    own.write_text(json.dumps({"cookiecutters_dir": str(work), "replay_dir": str(work)}), encoding="utf-8")
    answers = {"python_version": f"{sys.version_info.major}.{sys.version_info.minor}"}
    os.environ["LAYERCAKE_LOCK"] = "skip"
    project = Path(
        cookiecutter(str(ROOT), no_input=True, extra_context=answers, output_dir=str(work), config_file=str(own))
    )
    (project / "bare.py").write_text(BARE, encoding="utf-8")
    (project / "wsgi.py").write_text("from flask_service import create_app\n\napp = create_app()\n", encoding="utf-8")
    pip = (work / "venv" / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
    subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
    subprocess.run([*pip, "--requirement", project / "requirements" / "prod.txt"], check=True)
    subprocess.run([*pip, "granian"], check=True)
    return project


def start(
    stack: ExitStack, project: Path, command: list[str], more: dict[str, str]
) -> tuple["subprocess.Popen[bytes]", int]:
    """Start a server that ends with the stack; return it with its port once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program, *arguments = (word.format(port=port) for word in command)
    environment = os.environ | SETTINGS | {"PORT": str(port), "DRAIN_SECONDS": "0"} | more
    log = stack.enter_context((project.parent / "log").open("wb"))
    process = subprocess.Popen(
        [project.parent / "venv" / "bin" / program, *arguments], cwd=project, env=environment, stdout=log, stderr=log
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    deadline = time.monotonic() + 30
    while True:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{PATH}", timeout=5):
            return process, port
        if time.monotonic() > deadline:
            raise SystemExit(
                f"{command} does not answer: {(project.parent / 'log').read_text(encoding='utf-8')[-2000:]}"
            )
        time.sleep(0.1)


async def ask(port: int) -> None:
    """Send the requests of one round."""

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(REQUESTS // CLIENTS):
            writer.write(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert b" 200 " in head, head
            await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        writer.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


def seconds_of(pid: int) -> float:
    """Return the time that processors have spent on a process and its children."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + sum(map(seconds_of, map(int, children)))


if __name__ == "__main__":
    sys.exit(main())

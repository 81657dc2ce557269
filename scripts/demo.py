"""The template at work: `make demo` generates a service into build/, tests it, starts it and asks it.

The service is for the Python that runs this script. Every step says what it does and how long it took.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
SLUG = "flask-service"
PATIENCE = 60  # seconds until a service that does not answer is given up


def main() -> int:
    supported: list[str] = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["python_version"]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    if python not in supported:
        print(f"demo: this is Python {python}; run it with one of {', '.join(supported)}: make demo PYTHON=python3.13")
        return 1
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    project = BUILD / SLUG
    try:
        shutil.rmtree(project, ignore_errors=True)
        answers = [f"python_version={python}"]
        run(f"Generate a service for Python {python}, and compile its locks", ROOT,
            sys.executable, "-m", "cookiecutter", "--no-input", "--default-config", "-o", str(BUILD), str(ROOT), *answers)  # fmt: skip
        run("Install what its locks list", project, "make", "setup")
        run("Run its tests", project, "make", "test")
        say("Start it, and ask it")
        with serving(project) as address:
            for path in ("/readyz", "/"):
                with urllib.request.urlopen(f"{address}{path}", timeout=5) as answer:
                    show(path, answer.read().decode())
    except KeyboardInterrupt:
        print("\ndemo: interrupted; what was made so far is in build/.")
        return 130
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    say("That was it. Next")
    steps = {
        f"cd {project.relative_to(ROOT)} && make run": "serve it at http://localhost:8000",
        f"cd {project.relative_to(ROOT)} && make": "list everything else it can do",
        ".venv/bin/cookiecutter gh:org/template": "start a service of your own",
    }
    for command, meaning in steps.items():
        print(f"  {command:40}  {meaning}")
    return 0


def say(title: str) -> None:
    """Announce a step."""
    print(f"\n== {title} ==", flush=True)


def run(title: str, where: Path, *command: str) -> None:
    """Run a command with its output shown. Raises CalledProcessError when it fails."""
    say(title)
    started = time.monotonic()
    subprocess.run(command, cwd=where, check=True)
    print(f"   ({time.monotonic() - started:.0f} s)", flush=True)


@contextmanager
def serving(project: Path) -> Iterator[str]:
    """Serve the project with gunicorn; yield its address once it answers, stop it in the end.

    Raises:
        OSError: it did not start.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [".venv/bin/gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1"]
    server = subprocess.Popen(command, cwd=project, env={**os.environ, "APP_ENV": "development"})
    deadline = time.monotonic() + PATIENCE
    try:
        while server.poll() is None and time.monotonic() < deadline:
            with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=5):
                break
            time.sleep(0.1)
        else:
            raise OSError("the service did not start; see above")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)


def show(path: str, answer: str) -> None:
    """Print an answer, indented under its path."""
    print(f"\nGET {path}", *(f"    {line}" for line in answer.splitlines()), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""How gunicorn serves the application in a container. Every value can be checked with: gunicorn --check-config"""

import signal
import socket
import sys
from pathlib import Path
from typing import Any

from gunicorn import glogging  # type: ignore[import-untyped]

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # until gunicorn listens: the first process ignores it else

from {{ cookiecutter.package_name }}.core import metrics, serving  # noqa: E402
from {{ cookiecutter.package_name }}.core.logs import log_config  # noqa: E402
from {{ cookiecutter.package_name }}.core.settings import METRICS_PORT, SettingsError, load_settings  # noqa: E402

try:
    settings = load_settings()
except SettingsError as error:  # before any worker starts, and without a traceback
    raise SystemExit(f"The service cannot start.\n{error}") from None

every = "[::]" if socket.has_dualstack_ipv6() else "0.0.0.0"
bind = [f"{every}:{settings.port}", f"{every}:{METRICS_PORT}"]

# An event loop takes in requests and runs the application in threads: see core/serving.py.
wsgi_app = "{{ cookiecutter.package_name }}.core.serving:front()"
worker_class = "asgi"
workers = settings.web_concurrency
worker_connections = 10_000
asgi_lifespan = "off"

limit_request_line = 8190  # bytes; the most there is, as of most proxies

# The application alone decides which proxies to trust: TRUSTED_PROXIES.
forwarded_allow_ips = ""

# The heartbeat files must not wait for a disk, and the root file system may be read-only.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
control_socket_disable = True

timeout = 30  # seconds until a process whose event loop stands still is replaced
graceful_timeout = serving.GRACE_SECONDS
keepalive = 75  # seconds; longer than a load balancer keeps idle connections (usually 60)

logconfig_dict = log_config(settings)


class Logger(glogging.Logger):  # type: ignore[misc]
    """gunicorn's own words; the application logs its requests itself, with their ids."""

    access_log_enabled = False


logger_class = Logger


def on_starting(_server: Any) -> None:
    """Begin to count."""
    metrics.begin()


def when_ready(server: Any) -> None:
    """Stop in two steps: say on /readyz that it is time to go elsewhere, then take in no more."""

    def stop(_number: int, frame: Any) -> None:
        if serving.draining[0]:
            signal.setitimer(signal.ITIMER_REAL, 0)
            server.signal(signal.SIGTERM, frame)
        else:
            serving.draining[0] = 1
            signal.setitimer(signal.ITIMER_REAL, max(settings.drain_seconds, 0.001))

    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGTERM, stop)


def post_fork(_server: Any, _worker: Any) -> None:
    """Let a new process count."""
    metrics.take_room()


def child_exit(server: Any, worker: Any) -> None:
    """Keep what a process has counted. What goes wrong with it stops nothing."""
    try:
        metrics.keep(worker.pid)
    except Exception:
        server.log.exception("what a process has counted is lost")

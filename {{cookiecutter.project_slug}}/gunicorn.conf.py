"""How gunicorn serves the application in a container. Every value can be checked with: gunicorn --check-config"""

import os
from pathlib import Path
from typing import Any

from {{ cookiecutter.package_name }}.core import metrics
from {{ cookiecutter.package_name }}.core.logs import log_config
from {{ cookiecutter.package_name }}.core.settings import METRICS_PORT, SettingsError, load_settings

try:
    settings = load_settings()
except SettingsError as error:  # before any worker starts, and without a traceback
    raise SystemExit(f"The service cannot start.\n{error}") from None

wsgi_app = "{{ cookiecutter.package_name }}:create_app()"
bind = [f"0.0.0.0:{settings.port}", f"0.0.0.0:{METRICS_PORT}"]

worker_class = "gthread"
workers = settings.web_concurrency
threads = settings.web_threads

limit_request_line = 8190  # bytes; the most there is, as of most proxies

# The application alone decides which proxies to trust: TRUSTED_PROXIES.
forwarded_allow_ips = ""

# The heartbeat files must not wait for a disk, and the root file system may be read-only.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
control_socket_disable = True

timeout = 30  # seconds until a worker that no longer reports is replaced
graceful_timeout = 25  # seconds to finish requests after SIGTERM; let the orchestrator wait 30 before it kills
keepalive = 75  # seconds; longer than a load balancer keeps idle connections (usually 60)

# The application logs its requests itself, with their ids.
accesslog = None
logconfig_dict = log_config(settings)


def on_starting(server: Any) -> None:
    """Begin to count."""
    metrics.forget()
    if not os.environ.get(metrics.FOLDER) and settings.web_concurrency > 1:
        server.log.warning("each worker has metrics of its own: set %s to a folder", metrics.FOLDER)

"""What runs the jobs: `celery --app {{ cookiecutter.package_name }}.worker worker`."""

from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_process_shutdown

from {{ cookiecutter.package_name }} import create_app
from {{ cookiecutter.package_name }}.core import tracing
from {{ cookiecutter.package_name }}.core.settings import SettingsError


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Keep Celery from setting up its own."""


@worker_process_shutdown.connect
def send_traces(**_: Any) -> None:
    """Send what the process has not sent yet."""
    tracing.send_what_is_left()


try:
    flask = create_app()
except SettingsError as error:  # without a traceback
    raise SystemExit(f"The worker cannot start.\n{error}") from None

app: Celery = flask.extensions["celery"]

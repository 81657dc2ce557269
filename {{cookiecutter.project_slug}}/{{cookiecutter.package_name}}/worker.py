"""What runs the jobs: `celery --app {{ cookiecutter.package_name }}.worker worker`."""

import logging
import warnings
from pathlib import Path
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import celeryd_init, heartbeat_sent, setup_logging, worker_process_shutdown
from kombu.transport import redis

from {{ cookiecutter.package_name }} import create_app
from {{ cookiecutter.package_name }}.core import tracing
from {{ cookiecutter.package_name }}.core.settings import SettingsError

ALIVE = Path("/tmp/worker-alive")
"""What the loop of a worker touches every two seconds: probes look at its age."""

NO_JOB = (AttributeError, LookupError, TypeError, ValueError)
"""What is raised while a job is read that is none."""

logger = logging.getLogger(__name__)


@heartbeat_sent.connect
def beat(**_: Any) -> None:
    """Say that the loop goes round."""
    ALIVE.touch()


class Channel(redis.Channel):
    """A connection to Redis that gives a worker jobs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Connect. A worker that tries so again and again, because Redis is away, is alive."""
        beat()
        super().__init__(*args, **kwargs)

    def _brpop_read(self, **options: Any) -> Any:
        """Take a job off the list, or what is none: that would end the worker."""
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except NO_JOB:
            logger.exception("what was in the list of jobs is none, and was dropped")


redis.Transport.Channel = Channel


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Keep Celery from setting up its own."""


@celeryd_init.connect
def show_no_banner(instance: Any, **_: Any) -> None:
    """Leave out what is no line of the log, and the warning that the image's user has no name."""
    instance.quiet = True
    warnings.simplefilter("ignore", SecurityWarning)


@worker_process_shutdown.connect
def send_traces(**_: Any) -> None:
    """Send what the process has not sent yet."""
    tracing.send_what_is_left()


try:
    flask = create_app()
except SettingsError as error:  # without a traceback
    raise SystemExit(f"The worker cannot start.\n{error}") from None

app: Celery = flask.extensions["celery"]

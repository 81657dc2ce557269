"""What runs the jobs: `celery --app {{ cookiecutter.package_name }}.worker worker`."""

import logging
import warnings
from pathlib import Path
from typing import Annotated, Any

from billiard import get_logger
from celery import Celery
from celery.apps import worker as program
from celery.exceptions import SecurityWarning
from celery.signals import celeryd_init, heartbeat_sent, setup_logging, worker_process_shutdown
from kombu.serialization import prepare_accept_content
from kombu.transport import redis, virtual
from pydantic import BaseModel, ConfigDict, Field

from {{ cookiecutter.package_name }} import create_app
from {{ cookiecutter.package_name }}.core import tracing
from {{ cookiecutter.package_name }}.core.settings import SettingsError

ALIVE = Path("/tmp/worker-alive")
"""What the loop of a worker touches every two seconds: probes look at its age."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

OF_CELERY = ("celery.pidbox", "reply.celery.pidbox", "celeryev")
"""By which exchanges workers talk to each other, and not of jobs."""

NO_JOB = (AttributeError, LookupError, TypeError, ValueError)
"""What is raised while a job is read that is none."""

logger = logging.getLogger(__name__)


@heartbeat_sent.connect
def beat(**_: Any) -> None:
    """Say that the loop goes round."""
    ALIVE.touch()


class Signature(BaseModel):
    """Another job that is ordered when one has ended."""

    task: str


class Job(BaseModel):
    """What Celery reads of a job, mostly where a mistake would end the worker, which would meet it again."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    task: str
    id: str
    unnamed: list[Any]
    named: dict[str, Any]
    retries: int = Field(default=0, ge=0)
    timelimit: list[Seconds | None] | None = Field(None, min_length=2, max_length=2)
    eta: str | None = None
    expires: str | None = None
    shadow: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    group_index: int | None = None
    ignore_result: bool | None = None
    replaced_task_nesting: int = 0
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None
    callbacks: list[Signature] | None = None
    errbacks: list[Signature] | None = None
    chain: list[Signature] | None = None
    chord: Signature | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    priority: int | None = None
    delivery_tag: str
    exchange: str | None = None
    routing_key: str | None = None


class Message(virtual.Message):
    """What Redis has for a worker: a job, or a question of those who look after workers."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        """Read it. Raises ValueError when it is a job that cannot be run."""
        try:
            super().__init__(payload, channel=channel, **options)
            if self.delivery_info.get("exchange") not in OF_CELERY:
                self.accept = prepare_accept_content(app.conf.accept_content)
                content = self.decode()
                if isinstance(content, dict):  # as Celery 3 sent it
                    content = content.get("args", []), content.get("kwargs", {}), content
                unnamed, named, more = content
                arguments = {"unnamed": unnamed, "named": named}
                Job.model_validate((more or {}) | self.headers | self.properties | self.delivery_info | arguments)
        except Exception as error:
            raise ValueError(f"this is no job: {error}") from error


class Channel(redis.Channel):
    """A connection to Redis that gives a worker jobs."""

    Message = Message

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
    """Keep Celery from setting up its own, and have it log what it would print, when it stops or a process dies."""
    program.safe_say = lambda message, *_: logger.info(message)  # type: ignore[attr-defined]
    pool = get_logger()
    pool.propagate = True
    pool.setLevel(logging.WARNING)


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

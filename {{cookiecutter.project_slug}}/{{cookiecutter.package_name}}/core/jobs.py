"""Jobs that outlive a request: Redis keeps them, `celery --app {{ cookiecutter.package_name }}.worker worker` runs them.

A job is acknowledged when it has ended, not when it begins: one whose worker dies runs again, so it has to bear being
run twice. One that a server has failed is retried.
"""

import logging
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import redis
from celery import Celery, Signature, Task
from celery.app.task import Context
from celery.exceptions import Reject
from celery.signals import before_task_publish, task_postrun, task_prerun
from celery.utils.time import get_exponential_backoff_interval
from click import ClickException
from flask import Flask, Response, current_app
from kombu.exceptions import OperationalError as BrokerError
{%- if cookiecutter.database != "none" %}
from sqlalchemy.exc import OperationalError as DatabaseError
{%- endif %}
from werkzeug.exceptions import ServiceUnavailable

from {{ cookiecutter.package_name }}.about import SLUG
from {{ cookiecutter.package_name }}.core.errors import problem
from {{ cookiecutter.package_name }}.core.health import add_check
from {{ cookiecutter.package_name }}.core.logs import request_id
from {{ cookiecutter.package_name }}.core.settings import Settings

REDIS_FAILURES = (
    BrokerError,
    redis.ConnectionError,
    redis.TimeoutError,
    redis.OutOfMemoryError,
    redis.ReadOnlyError,  # it has become a replica
)
FAILURES = {% if cookiecutter.database != "none" %}(*REDIS_FAILURES, DatabaseError){% else %}REDIS_FAILURES{% endif %}
"""Errors that pass once the server is back: a job that meets one is retried."""

LONGEST_PAUSE = 30
"""Seconds between two tries of a job, at most."""

DEATHS = 5
"""How often a job whose process has died is run again: it may be what kills them, and others die with it."""

SLOW = 0.1
"""Seconds within which Redis answers when it is well."""

logger = logging.getLogger(__name__)


class Gate:
    """Lets only some threads wait while Redis hangs, and one alone once it has let one down."""

    def __init__(self, threads: int) -> None:
        """Say how many may wait."""
        self.threads, self.hangs = threads, False
        self.waiting: list[float] = []

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask Redis meanwhile. Raises TimeoutError of Redis at once while enough others wait."""
        now = time.monotonic()
        if self.waiting and (self.hangs or (len(self.waiting) >= self.threads and now - self.waiting[0] > SLOW)):
            raise redis.TimeoutError("Redis does not answer others either")
        self.waiting.append(now)
        try:
            yield
            self.hangs = False
        except REDIS_FAILURES:
            self.hangs = time.monotonic() - now > SLOW
            raise
        finally:
            self.waiting.remove(now)


class Store(redis.Redis):
    """What is kept in Redis beside the jobs."""

    gate: Gate

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Ask for something."""
        with self.gate.asking():
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


class Orders(Celery):
    """Celery as the application orders jobs."""

    gate: Gate

    def send_task(self, *args: Any, **options: Any) -> Any:
        """Order a job."""
        with self.gate.asking():
            return super().send_task(*args, **options)


def init_app(app: Flask) -> None:
    """Set up Celery and a connection to Redis, and make readiness depend on it."""
    settings: Settings = app.config["SETTINGS"]
    url = settings.redis_url.get_secret_value()
    app.extensions["celery"] = make_celery(app, settings)
    app.extensions["redis"] = Store.from_url(
        url, decode_responses=True, socket_timeout=settings.redis_timeout, socket_connect_timeout=settings.redis_timeout
    )
    app.extensions["celery"].gate = app.extensions["redis"].gate = Gate(settings.web_threads // 2)
    for error in REDIS_FAILURES:
        app.register_error_handler(error, unavailable)
    add_check(app, "redis", ping)

    @app.cli.command("find-redis")
    def find_redis() -> None:
        """Say on a developer's machine how to start Redis, when it does not answer."""
        try:
            ping()
        except redis.RedisError:
            raise ClickException(
                "Redis does not answer; start it with: docker compose up --detach --wait redis"
            ) from None


def ping() -> None:
    """Raise a RedisError when Redis does not answer."""
    store().ping()


def unavailable(_error: Exception) -> Response:
    """Return the answer to a request that needed Redis, which did not answer."""
    logger.warning("Redis failed", exc_info=True)
    return problem(ServiceUnavailable("A service that this needs is not available; try again later.", retry_after=5))


def make_celery(app: Flask, settings: Settings) -> Celery:
    """Return Celery for the jobs of the application."""

    class Job(Task[..., Any]):
        """A task that runs in the application's context, and is retried when a server or its own process fails."""

        default_retry_delay = 1
        max_retries = 50  # a server may be away for some minutes
        retry_backoff = True
        retry_backoff_max = LONGEST_PAUSE
        retry_on_worker_lost = True

        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                try:
                    return super().__call__(*args, **kwargs)
                except FAILURES as error:  # `autoretry_for` is left to the jobs
                    pause = get_exponential_backoff_interval(1, self.request.retries, LONGEST_PAUSE, full_jitter=True)
                    self.retry(exc=error, countdown=pause)

        def signature_from_request(self, request: Context | None = None, *args: Any, **options: Any) -> Signature[Any]:
            """Return the next try of a job. In a worker no job is at work: its process has died, which counts as many."""
            if request and not self.request.id:
                share = max(1, (self.max_retries or 50) // DEATHS)
                options["retries"] = request.retries + share
                options["countdown"] = get_exponential_backoff_interval(2, request.retries // share, LONGEST_PAUSE)
            found: Signature[Any] = super().signature_from_request(request, *args, **options)
            return found

        def retry(self, *args: Any, **kwargs: Any) -> NoReturn:
            """Retry later, or at once while Redis does not take that; Celery would give the job up."""
            try:
                raise super().retry(*args, **kwargs)
            except Reject as error:
                reason = error.args[0]
                raise Reject(reason, requeue=isinstance(reason, FAILURES)) from None

    celery = Orders(app.import_name, task_cls=Job)
    url = settings.redis_url.get_secret_value()
    celery.conf.update(
        broker_url=url,
        broker_use_ssl={"ssl_cert_reqs": ssl.CERT_REQUIRED} if url.startswith("rediss:") else None,
        broker_connection_retry_on_startup=True,
        broker_channel_error_retry=True,  # Redis is full
        # A job that no worker has ended for so long goes to another one: longer than any may take. The prefix lets
        # services share a Redis.
        broker_transport_options={
            "global_keyprefix": f"{SLUG}:",
            "visibility_timeout": 2 * settings.job_timeout + LONGEST_PAUSE,
            "socket_timeout": settings.redis_timeout,
            "socket_connect_timeout": settings.redis_timeout,
            "unacked_restore_throttle": 1,  # look for such jobs every ten seconds
        },
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_publish_retry_policy={"max_retries": 1},
        task_soft_time_limit=settings.job_timeout,
        task_time_limit=settings.job_timeout + 5,
        worker_concurrency=settings.job_concurrency,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_prefetch_multiplier=1,
    )
    celery.set_default()
    return celery


def store() -> redis.Redis:
    """Return the connection to Redis of the current application."""
    found: redis.Redis = current_app.extensions["redis"]
    return found


@before_task_publish.connect
def send_with_a_job(headers: dict[str, Any], **_: object) -> None:
    """Let a job know the request that ordered it, and workers not log its arguments.

    One that is sent again without a request still knows that of the first time.
    """
    headers.setdefault("request_id", request_id.get())
    headers.update(argsrepr="(...)", kwargsrepr="{...}")


@task_prerun.connect
def take_request_id(task: Task[..., Any], **_: object) -> None:
    """Put the id of that request into what the job logs."""
    request_id.set(getattr(task.request, "request_id", None))


@task_postrun.connect
def forget_request_id(**_: object) -> None:
    """Forget it when the job has ended."""
    request_id.set(None)

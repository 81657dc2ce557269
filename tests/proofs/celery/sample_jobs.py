"""Jobs for the tests: `celery --app tests.sample_jobs worker` runs them."""

import os
import signal
import time
from unittest.mock import patch

import redis
from celery import Task, shared_task

from orders.core import jobs
from orders.core.logs import request_id

jobs.LONGEST_PAUSE = 1  # the tests are in a hurry

from orders.worker import app  # noqa: E402, F401


@shared_task(soft_time_limit=60, time_limit=60)
def wait_for_go(name: str) -> None:
    """Tell which process runs the job and for which request, wait for permission to end, and tell that it has ended."""
    jobs.store().rpush("requests", str(request_id.get()))
    jobs.store().rpush("began", os.getpid())
    while not jobs.store().exists("go"):
        time.sleep(0.05)
    jobs.store().rpush("ended", name)


@shared_task(bind=True)
def lose_the_retry(self: Task[..., None], name: str) -> None:
    """Lose the connection, then what would have been the retry, then end."""
    if jobs.store().incr("tries") == 1:
        with patch("celery.canvas.Signature.apply_async", side_effect=redis.ConnectionError):
            self.retry()
    jobs.store().rpush("ended", name)


@shared_task(max_retries=2)
def kill_its_process(name: str) -> None:
    """End the process as a lack of memory does."""
    jobs.store().incr("tries")
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task
def kill_its_process_again(name: str) -> None:
    """End the process, as often as one may."""
    kill_its_process(name)


@shared_task(bind=True)
def retry_with_what_cannot_be_sent(self: Task[..., None], name: str) -> None:
    """Ask for a retry that nobody could read."""
    jobs.store().incr("tries")
    self.retry(kwargs={"name": object()})


@shared_task
def tell_the_request(name: str) -> None:
    """Tell which request the job belongs to."""
    jobs.store().rpush("ended", f"{name} {request_id.get()}")


@shared_task(autoretry_for=(KeyError,))
def fail_twice(name: str) -> None:
    """Lose the connection twice, then end; the job has failures of its own to be retried for."""
    if jobs.store().incr("tries") < 3:
        raise redis.ConnectionError
    jobs.store().rpush("ended", name)

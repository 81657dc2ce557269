"""Real workers, killed in the middle of a job. tests/test_service.py puts this into services named orders."""

import itertools
import json
import math
import os
import signal
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from celery import chain, group
from flask import Flask
from pydantic import SecretStr
from redis import Redis

from orders.about import SLUG
from orders.core import jobs
from orders.core.logs import request_id
from orders.core.settings import Settings

pytestmark = pytest.mark.usefixtures("redis_server")


def enqueue(app: Flask, job: str, name: str) -> None:
    """Hand one of the sample jobs to whoever runs them."""
    app.extensions["celery"].send_task(f"tests.sample_jobs.{job}", [name])


@pytest.fixture
def kept(app: Flask) -> Redis:
    """What the jobs leave in Redis."""
    found: Redis = app.extensions["redis"]
    return found


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """What the workers say."""
    return tmp_path / "worker.log"


@contextmanager
def worker(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker; end it with everything it has started."""
    values = settings.model_dump(exclude_none=True)
    secrets = {name: value.get_secret_value() for name, value in values.items() if hasattr(value, "get_secret_value")}
    variables = {name.upper(): str(value) for name, value in (values | secrets).items()} | {"JOB_TIMEOUT": "2"}
    command = [sys.executable, "-m", "celery", "--app", "tests.sample_jobs", "worker"]
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=os.environ | variables, stderr=output, start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(condition: Callable[[], bool], log: Path, seconds: float = 60) -> None:
    """Wait until something is so, with the log of the workers as the message when it never is."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
        time.sleep(0.05)


def stored(job: str, body: object) -> dict[str, Any]:
    """Return what a job is in Redis."""
    return {
        "body": b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": f"tests.sample_jobs.{job}", "id": "1"},
        "properties": {
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": "celery"},
            "delivery_tag": "1",
        },
    }


def test_a_job_whose_process_is_killed_runs_again(app: Flask, kept: Redis, settings: Settings, log: Path) -> None:
    token = request_id.set("abc-1")
    enqueue(app, "wait_for_go", "a")
    request_id.reset(token)
    with worker(settings, log):
        wait_until(lambda: kept.llen("began") == 1, log)
        os.kill(int(kept.lrange("began", 0, 0)[0]), signal.SIGKILL)
        kept.set("go", 1)
        wait_until(lambda: kept.lrange("ended", 0, -1) == ["a"], log)
    assert kept.llen("began") == 2
    assert kept.lrange("requests", 0, -1) == ["abc-1", "abc-1"]


def test_a_job_that_release_1_0_has_stored_is_run(kept: Redis, settings: Settings, log: Path) -> None:
    """Where jobs lie, and in which form, does not change: a release that did would lose what is waiting."""
    kept.lpush("orders:celery", json.dumps(stored("wait_for_go", [["a"], {}, None])))
    kept.set("go", 1)
    with worker(settings, log):
        wait_until(lambda: kept.lrange("ended", 0, -1) == ["a"], log)


def test_jobs_of_a_worker_that_is_killed_are_run_by_another(
    app: Flask, kept: Redis, settings: Settings, log: Path
) -> None:
    for name in "abcd":
        enqueue(app, "wait_for_go", name)
    with worker(settings, log):
        wait_until(lambda: kept.llen("began") == 2, log)
        # Redis has them all: none is on its way to the worker, where it would be lost (see docs/jobs.md).
        wait_until(lambda: kept.llen(f"{SLUG}:celery") + kept.hlen(f"{SLUG}:unacked") == 4, log)
    assert kept.exists(f"{SLUG}:unacked")
    kept.set("go", 1)
    with worker(settings, log):
        wait_until(lambda: kept.llen("ended") == 4, log)
        wait_until(lambda: not kept.exists(f"{SLUG}:unacked"), log)
    assert set(kept.lrange("ended", 0, -1)) == set("abcd")


def test_a_worker_that_is_told_to_stop_ends_its_job_first(
    app: Flask, kept: Redis, settings: Settings, log: Path
) -> None:
    enqueue(app, "wait_for_go", "a")
    with worker(settings, log) as process:
        wait_until(lambda: kept.llen("began") == 1, log)
        process.terminate()
        time.sleep(0.2)
        kept.set("go", 1)
        assert process.wait(timeout=60) == 0
    assert kept.lrange("ended", 0, -1) == ["a"]
    assert kept.llen(f"{SLUG}:celery") == 0


def test_a_job_that_fails_for_a_while_is_retried(app: Flask, kept: Redis, settings: Settings, log: Path) -> None:
    enqueue(app, "fail_twice", "what nobody should read")
    with worker(settings, log):
        wait_until(lambda: kept.lrange("ended", 0, -1) == ["what nobody should read"], log)
    assert kept.get("tries") == "3"
    said = log.read_text(encoding="utf-8")
    assert "sample_jobs.fail_twice" in said
    assert "what nobody should read" not in said


def test_a_retry_that_redis_does_not_take_is_not_the_end(
    app: Flask, kept: Redis, settings: Settings, log: Path
) -> None:
    enqueue(app, "lose_the_retry", "a")
    with worker(settings, log):
        wait_until(lambda: kept.lrange("ended", 0, -1) == ["a"], log)


def test_a_retry_that_cannot_be_sent_ends_the_job(app: Flask, kept: Redis, settings: Settings, log: Path) -> None:
    enqueue(app, "retry_with_what_cannot_be_sent", "a")
    with worker(settings, log):
        wait_until(lambda: kept.get("tries") is not None and not kept.exists(f"{SLUG}:unacked"), log)
        enqueue(app, "wait_for_go", "b")
        wait_until(lambda: kept.llen("began") == 1, log)
    assert kept.get("tries") == "1"


def test_a_job_knows_the_request_that_ordered_it_and_no_other(
    app: Flask, kept: Redis, settings: Settings, log: Path
) -> None:
    for name, request in (("a", "abc-1"), ("b", None)):
        token = request_id.set(request)
        enqueue(app, "tell_the_request", name)
        request_id.reset(token)
    with worker(settings, log):
        wait_until(lambda: kept.llen("ended") == 2, log)
    assert set(kept.lrange("ended", 0, -1)) == {"a abc-1", "b None"}


def test_other_services_may_use_the_same_redis(app: Flask, kept: Redis, settings: Settings, log: Path) -> None:
    enqueue(app, "wait_for_go", "a")
    with worker(settings, log):
        wait_until(lambda: kept.llen("began") == 1, log)
        enqueue(app, "wait_for_go", "b")
        keys = map(str, kept.keys("*"))
        assert {key for key in keys if not key.startswith(f"{SLUG}:")} == {"began", "requests"}  # of the job


def test_a_worker_outlives_a_redis_that_is_full(app: Flask, kept: Redis, settings: Settings, log: Path) -> None:
    enqueue(app, "tell_the_request", "a")
    kept.config_set("maxmemory", "1")
    try:
        with worker(settings, log):
            wait_until(lambda: "used memory" in log.read_text(encoding="utf-8"), log)
            kept.config_set("maxmemory", "0")
            enqueue(app, "tell_the_request", "b")
            wait_until(lambda: "b None" in kept.lrange("ended", 0, -1), log)
    finally:
        kept.config_set("maxmemory", "0")


def test_a_redis_with_tls_has_to_prove_who_it_is(app: Flask, settings: Settings) -> None:
    secure = settings.model_copy(update={"redis_url": SecretStr("rediss://redis:6380/0")})
    with jobs.make_celery(app, secure).connection_for_write() as connection:
        assert connection.ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED}


@pytest.mark.parametrize(("job", "tries"), [("kill_its_process", 3), ("kill_its_process_again", 6)])
def test_a_job_that_kills_its_process_does_not_do_so_for_ever(
    app: Flask, kept: Redis, settings: Settings, log: Path, job: str, tries: int
) -> None:
    enqueue(app, job, "a")
    with worker(settings, log):
        wait_until(lambda: kept.get("tries") == str(tries), log)
        enqueue(app, "tell_the_request", "b")
        wait_until(lambda: kept.lrange("ended", 0, -1) == ["b None"] and not kept.exists(f"{SLUG}:unacked"), log)
        time.sleep(3)  # longer than the pause before another try
    assert kept.get("tries") == str(tries)


def test_what_is_no_job_stops_no_worker(app: Flask, kept: Redis, settings: Settings, log: Path) -> None:
    garbage: list[str | bytes] = ["", b"\xff", "garbage", "null", "5", "[]", "{}", '"a"', '{"properties": {}}']
    no_job = {"properties": {"delivery_tag": "a", "delivery_info": {}}, "headers": {}, "content-type": "a"}
    garbage += [json.dumps(no_job | {"body": body}) for body in (None, 5, "garbage", "e30=")]
    with worker(settings, log) as process:
        for text in garbage:
            kept.lpush(f"{SLUG}:celery", text)
        enqueue(app, "tell_the_request", "a")
        wait_until(lambda: kept.lrange("ended", 0, -1) == ["a None"], log)
        assert process.poll() is None
    assert kept.llen(f"{SLUG}:celery") == 0
    assert "Traceback" in log.read_text(encoding="utf-8")


WRONG: list[Any] = ["a", "9999-12-31T23:59:59", 5, -1, 10**400, math.inf, math.nan, True, None, [], {}, {"a": 1}, [{}]]
WRONG += [[5], ["a", "b"], [-1, math.nan], {"task": "a"}, [{"task": ["a"]}]]
HEADERS = "lang task id shadow eta expires group group_index retries timelimit root_id parent_id argsrepr kwargsrepr"
HEADERS += " origin ignore_result replaced_task_nesting stamped_headers stamps compression request_id delivery_info"
PROPERTIES = "correlation_id reply_to delivery_mode delivery_info priority body_encoding delivery_tag"
DELIVERY = "exchange routing_key priority redelivered"
EMBEDDED = "callbacks errbacks chain chord"
OLD = "task id args kwargs retries timelimit eta expires callbacks errbacks"  # of what Celery 3 sent


def almost(wrong: object) -> Iterator[dict[str, Any]]:
    """Yield jobs with something in a place where it ought not to be."""
    good = stored("tell_the_request", [["a"], {}, None])
    headers, properties = good["headers"], good["properties"]
    yield from (good | {part: wrong} for part in good)
    yield from (good | {"headers": headers | {name: wrong}} for name in HEADERS.split())
    yield from (good | {"properties": properties | {name: wrong}} for name in PROPERTIES.split())
    for name in DELIVERY.split():
        delivery = properties["delivery_info"] | {name: wrong}
        yield good | {"properties": properties | {"delivery_info": delivery}}
    bodies = [wrong, [wrong, {}, None], [["a"], wrong, None], [["a"], {}, wrong]]
    for name, kwargs in itertools.product(EMBEDDED.split(), ({}, {"a": "so it fails"})):
        bodies.append([["a"], kwargs, {name: wrong}])
    yield from (stored("tell_the_request", body) for body in bodies)
    for name in OLD.split():
        old = stored("tell_the_request", {"task": headers["task"], "id": "1", "args": ["a"], "kwargs": {}, name: wrong})
        yield from (old, old | {"headers": {}})


def test_what_is_almost_a_job_stops_no_worker(app: Flask, kept: Redis, settings: Settings, log: Path) -> None:
    with worker(settings, log) as process:
        for job in itertools.chain(*map(almost, WRONG)):
            kept.lpush(f"{SLUG}:celery", json.dumps(job))
        enqueue(app, "tell_the_request", "the last")
        wait_until(lambda: process.poll() is not None or "the last None" in kept.lrange("ended", 0, -1), log)
        assert process.poll() is None, log.read_text(encoding="utf-8")[-3000:]
        wait_until(lambda: kept.exists(f"{SLUG}:unacked", f"{SLUG}:celery") == 0, log)
    with worker(settings, log):
        enqueue(app, "tell_the_request", "another")
        wait_until(lambda: "another None" in kept.lrange("ended", 0, -1), log)


def test_a_job_may_order_others(app: Flask, kept: Redis, settings: Settings, log: Path) -> None:
    celery = app.extensions["celery"]
    first, then = (celery.signature("tests.sample_jobs.tell_the_request", [name], immutable=True) for name in "ab")
    chain(first.set(expires=60, soft_time_limit=5), group(then, then)).apply_async(link_error=then)
    with worker(settings, log):
        wait_until(lambda: kept.lrange("ended", 0, -1) == ["a None", "b None", "b None"], log)

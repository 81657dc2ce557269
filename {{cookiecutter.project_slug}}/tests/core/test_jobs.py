import pytest
import redis
from celery import Celery, shared_task
from celery.app.task import Context
from flask import Flask
from flask.testing import FlaskClient

from {{ cookiecutter.package_name }}.about import SLUG
from {{ cookiecutter.package_name }}.core import jobs
from {{ cookiecutter.package_name }}.core.jobs import store


@shared_task
def probe(secret: str) -> None:
    """Do nothing."""


@pytest.fixture
def app(app: Flask) -> Flask:
    """An application that orders a job."""

    @app.post("/order")
    def order() -> str:
        probe.delay("hunter2")
        return "ordered"

    return app


def test_while_redis_hangs_some_wait_and_the_others_do_not(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    gate: jobs.Gate = app.extensions["redis"].gate
    gate.threads = 2
    tried = []

    def be_asked_by_others_too(*_: object, **__: object) -> None:
        tried.append(1)
        assert app.test_client().post("/order").status_code == 503
        raise redis.TimeoutError

    monkeypatch.setattr(jobs, "SLOW", -1)
    with monkeypatch.context() as patched:
        patched.setattr(Celery, "send_task", be_asked_by_others_too)
        patched.setattr(redis.Redis, "execute_command", be_asked_by_others_too)
        for tries in (2, 3, 4):  # two until it is known to hang, and then one
            assert app.test_client().post("/order").status_code == 503
            assert len(tried) == tries
        assert app.test_client().get("/readyz").status_code == 503
        assert len(tried) == 5
        patched.setattr(Celery, "send_task", lambda *_, **__: None)
        assert app.test_client().post("/order").status_code == 200
        assert not gate.hangs


@pytest.mark.usefixtures("redis_server")
def test_an_order_is_one_job_that_knows_its_request(app: Flask, client: FlaskClient) -> None:
    client.post("/order", headers={"X-Request-ID": "abc-1"})
    with app.app_context():
        (job,) = store().lrange(f"{SLUG}:celery", 0, -1)
    assert '"request_id": "abc-1"' in job
    assert '"argsrepr": "(...)"' in job


def test_without_redis_nothing_is_ordered_and_nothing_is_ready(client: FlaskClient) -> None:
    assert client.post("/order").status_code == 503
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "redis" in response.text


def test_a_job_whose_process_dies_again_and_again_waits_longer_and_longer(app: Flask) -> None:
    job = app.extensions["celery"].tasks[probe.name]
    pauses, retries = [], 0
    while retries < job.max_retries:
        again = job.signature_from_request(Context(id="a", args=["hunter2"], kwargs={}, retries=retries), countdown=1)
        retries = again.options["retries"]
        pauses.append(again.options["countdown"])
    assert pauses == [2, 4, 8, 16, 30]

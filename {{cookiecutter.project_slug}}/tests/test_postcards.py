import json
from typing import get_args
from unittest.mock import patch
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from kombu.exceptions import OperationalError

from {{ cookiecutter.package_name }}.about import SLUG
from {{ cookiecutter.package_name }}.greetings import GREETINGS
from {{ cookiecutter.package_name }}.jobs import store
from {{ cookiecutter.package_name }}.postcards import NewPostcard, write_postcard

ORDER = {"language": "fr", "name": "Ana"}


@pytest.mark.usefixtures("redis_server")
def test_a_postcard_is_ordered_and_then_written_however_often_its_job_runs(app: Flask, client: FlaskClient) -> None:
    response = client.post("/api/postcards", json=ORDER)
    assert response.status_code == 202
    card = json.loads(response.text)["id"]
    assert client.get(f"/api/postcards/{card}").json == {"id": card, "state": "ordered", "text": None}
    for _ in range(2):
        write_postcard(card, **ORDER)
        assert client.get(f"/api/postcards/{card}").json == {"id": card, "state": "written", "text": "Bonjour, Ana!"}


@pytest.mark.usefixtures("redis_server")
def test_an_order_is_one_job_that_knows_its_request(app: Flask, client: FlaskClient) -> None:
    client.post("/api/postcards", json=ORDER, headers={"X-Request-ID": "abc-1"})
    with app.app_context():
        (job,) = store().lrange(f"{SLUG}:celery", 0, -1)
    assert '"request_id": "abc-1"' in job


@pytest.mark.usefixtures("redis_server")
def test_a_postcard_that_was_never_ordered_is_not_there_even_when_its_job_runs(client: FlaskClient) -> None:
    card = str(uuid4())
    write_postcard(card, **ORDER)
    assert client.get(f"/api/postcards/{card}").status_code == 404


def test_without_redis_nothing_is_ordered_and_nothing_is_ready(client: FlaskClient) -> None:
    assert client.post("/api/postcards", json=ORDER).status_code == 503
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "redis" in response.text


@pytest.mark.usefixtures("redis_server")
def test_an_order_that_celery_does_not_take_is_refused(client: FlaskClient) -> None:
    with patch.object(write_postcard, "delay", side_effect=OperationalError):
        assert client.post("/api/postcards", json=ORDER).status_code == 503


def test_there_are_postcards_in_every_language() -> None:
    assert set(get_args(NewPostcard.model_fields["language"].annotation)) == set(GREETINGS)

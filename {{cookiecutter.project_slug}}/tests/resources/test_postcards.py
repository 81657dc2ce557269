"""Tests of the sample: make forget-sample takes them away."""

from unittest.mock import patch
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from kombu.exceptions import OperationalError

from {{ cookiecutter.package_name }}.resources.postcards import write_postcard

ORDER = {"name": "Ana", "place": "Lyon"}


@pytest.mark.usefixtures("redis_server")
def test_a_postcard_is_ordered_and_then_written_however_often_its_job_runs(client: FlaskClient) -> None:
    response = client.post("/api/postcards", json=ORDER)
    assert response.status_code == 202
    assert response.json is not None
    card = response.json["id"]
    assert client.get(response.headers["Location"]).json == {"id": card, "state": "ordered", "text": None}
    for _ in range(2):
        write_postcard(card, **ORDER)
        written = {"id": card, "state": "written", "text": "Dear Ana, greetings from Lyon!"}
        assert client.get(f"/api/postcards/{card}").json == written


@pytest.mark.usefixtures("redis_server")
def test_a_postcard_that_was_never_ordered_is_not_there_even_when_its_job_runs(client: FlaskClient) -> None:
    card = str(uuid4())
    write_postcard(card, **ORDER)
    assert client.get(f"/api/postcards/{card}").status_code == 404


@pytest.mark.usefixtures("redis_server")
def test_an_order_that_celery_does_not_take_is_refused(client: FlaskClient) -> None:
    with patch.object(write_postcard, "delay", side_effect=OperationalError):
        assert client.post("/api/postcards", json=ORDER).status_code == 503

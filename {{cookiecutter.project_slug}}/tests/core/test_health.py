import pytest
from flask import Flask
from flask.testing import FlaskClient

from {{ cookiecutter.package_name }}.core.health import add_check


def test_livez_answers(client: FlaskClient) -> None:
    assert client.get("/livez").json == {"status": "alive"}


@pytest.mark.usefixtures("servers")
def test_readyz_answers_when_every_check_passes(app: Flask, client: FlaskClient) -> None:
    add_check(app, "queue", lambda: None)
    assert client.get("/readyz").json == {"status": "ready", "checks": [{% if cookiecutter.database != "none" %}"database", {% endif %}{% if cookiecutter.background_jobs == "celery" %}"redis", {% endif %}"queue"]}


def test_readyz_names_what_fails_and_keeps_the_reason_to_the_logs(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ConnectionError("the password is hunter2")

    add_check(app, "queue", broken)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "queue" in response.text
    assert "hunter2" not in response.text
    assert "hunter2" in caplog.text
